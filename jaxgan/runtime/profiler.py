"""A trace of a few training calls, for TensorBoard and Perfetto."""

from pathlib import Path

import jax

from jaxgan.types import GanState


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
