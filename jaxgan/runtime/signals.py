"""Signals that end a run between two training calls, after everything is saved."""

import signal
from types import FrameType


class StopSignals:
    """A context in which SIGTERM and SIGINT are only noted, for the loop to act on.

    Attributes:
        received: the number of the last signal, 0 if there was none.
    """

    def __init__(self) -> None:
        self.received = 0

    def __enter__(self) -> "StopSignals":
        numbers = signal.SIGINT, signal.SIGTERM
        self._previous = {n: signal.signal(n, self._note) for n in numbers}
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
