"""The process around the loop: signals, profiler, precision and determinism."""

import hashlib
import os
import platform
import signal
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from jaxgan.types import GanState


def configure(precision: str, deterministic: bool) -> None:
    """Set what has to be set before the first computation.

    `float32` multiplies matrices in full float32, `tf32` and `bfloat16` as the
    device does by default. `deterministic` makes a GPU choose reproducible kernels;
    CPUs and TPUs are reproducible without.
    """
    exact = precision == "float32"
    jax.config.update("jax_default_matmul_precision", "highest" if exact else None)
    if deterministic:
        flags = "--xla_gpu_deterministic_ops=true --xla_gpu_autotune_level=0"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()


PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def versions() -> dict[str, str]:
    """Return what the processes of a run must have in common: code and packages."""
    sources = hashlib.sha256()
    root = Path(__file__).parent
    for file in sorted(root.rglob("*.py")):
        sources.update(f"{file.relative_to(root).as_posix()}\n".encode())
        sources.update(file.read_bytes())
    found = {name: metadata.version(name) for name in PACKAGES}
    python = {"Python": platform.python_version(), "jaxgan": sources.hexdigest()[:12]}
    return python | found


class StopSignals:
    """Remembers SIGTERM or SIGINT, for the loop to end between two calls."""

    def __init__(self) -> None:
        self.received = 0

    def __enter__(self) -> "StopSignals":
        numbers = signal.SIGINT, signal.SIGTERM
        self._before = {n: signal.signal(n, self._receive) for n in numbers}
        return self

    def _receive(self, number: int, frame: Any) -> None:
        self.received = number

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Profiler:
    """Traces calls 2 to 4 (after both compilations of most recipes)."""

    def __init__(self, folder: Path | None):
        self.folder = folder

    def before(self, number: int) -> None:
        """Start the trace before its first call."""
        if self.folder is not None and number == 2:
            jax.profiler.start_trace(str(self.folder), create_perfetto_trace=True)

    def after(self, number: int, state: GanState) -> None:
        """Stop the trace after its last call."""
        if self.folder is not None and number == 4:
            jax.block_until_ready(state)
            jax.profiler.stop_trace()
