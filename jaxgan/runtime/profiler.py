"""A profile of a few training calls, for TensorBoard and Perfetto."""

from pathlib import Path

import jax

from jaxgan.types import GanState

# Before call 2, most recipes have compiled both of their programs.
FIRST_CALL, LAST_CALL = 2, 4


class Profiler:
    """Traces calls 2 to 4 of the training loop into a folder.

    Args:
        folder: where the trace is written; None traces nothing.
    """

    def __init__(self, folder: Path | None):
        self.folder = folder

    def before_call(self, number: int) -> None:
        """Start the trace if call `number`, counted from 0, is the first to trace."""
        if self.folder is not None and number == FIRST_CALL:
            jax.profiler.start_trace(str(self.folder), create_perfetto_trace=True)

    def after_call(self, number: int, state: GanState) -> None:
        """Stop the trace if call `number`, which gave `state`, is the last to trace."""
        if self.folder is not None and number == LAST_CALL:
            jax.block_until_ready(state)
            jax.profiler.stop_trace()
