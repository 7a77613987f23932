"""Signals that end a run between two calls, once all is saved."""

import signal
from typing import Any


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
