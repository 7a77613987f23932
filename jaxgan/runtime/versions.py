"""Versions that all processes of a run must have in common: packages and code."""

import hashlib
import platform
from importlib import metadata
from pathlib import Path

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def installed_versions() -> dict[str, str]:
    """Return {name: version} of Python, the packages, and this package's source code.

    The version of 'jaxgan' is a hash of its source files, because two checkouts of
    one release may differ.
    """
    sources = hashlib.sha256()
    root = Path(__file__).parents[1]
    for file in sorted(root.rglob("*.py")):
        sources.update(f"{file.relative_to(root).as_posix()}\n".encode())
        sources.update(file.read_bytes())
    packages = {name: metadata.version(name) for name in PACKAGES}
    python = {"Python": platform.python_version(), "jaxgan": sources.hexdigest()[:12]}
    return python | packages
