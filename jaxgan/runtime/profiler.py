"""A profile of a few training calls, for TensorBoard and Perfetto."""

from pathlib import Path

import jax

from jaxgan.types import GanState

# Before call 2, most recipes have compiled both of their programs.
FIRST_CALL, LAST_CALL = 2, 4


class Profiler:
    """Traces calls 2 to 4 of the training loop into a folder; fewer in a short run.

    Args:
        folder: where the trace is written; None traces nothing.
    """

    def __init__(self, folder: Path | None):
        self.folder = folder

    def before_call(self, number: int) -> None:
        """Start the trace if call `number`, counted from 0, is the first to trace."""
        if self.folder is not None and number == FIRST_CALL:
            jax.profiler.start_trace(str(self.folder), create_perfetto_trace=True)

    def after_call(self, number: int, state: GanState, is_end: bool) -> None:
        """Write the trace if call `number`, which gave `state`, is the last to trace.

        `is_end` says that the run ends after this call.
        """
        if self.folder is None or number > LAST_CALL:
            return
        if is_end and number < FIRST_CALL:
            calls = f"{FIRST_CALL + 1} calls or more (train.steps_per_call)"
            print(f"jaxgan: --profile: no trace, which needs {calls}", flush=True)
        elif is_end or number == LAST_CALL:
            jax.block_until_ready(state)
            jax.profiler.stop_trace()
