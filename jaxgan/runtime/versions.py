"""The versions of code and packages that the processes of a run have in common."""

import hashlib
import platform
from importlib import metadata
from pathlib import Path

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def versions() -> dict[str, str]:
    """Return what the processes of a run must have in common: code and packages."""
    sources = hashlib.sha256()
    root = Path(__file__).parents[1]
    for file in sorted(root.rglob("*.py")):
        sources.update(f"{file.relative_to(root).as_posix()}\n".encode())
        sources.update(file.read_bytes())
    found = {name: metadata.version(name) for name in PACKAGES}
    python = {"Python": platform.python_version(), "jaxgan": sources.hexdigest()[:12]}
    return python | found
