"""Signals: they end the program at once, or after a loop has saved its work.

Python's handlers run only between two bytecodes of the main thread, which may be in
XLA's compiler for minutes. And an exception that a handler raises while JAX is imported
ends in a traceback, or in a segmentation fault (one of six tries). So a thread acts on
signals here: Python's handler in C sends it their numbers through a pipe, whatever the
main thread does.
"""

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

NUMBERS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
# Signals within this time count as one: `timeout` sends its signal twice, and when a
# terminal is closed, the kernel and the shell both send SIGHUP. A loop that has not
# noticed a signal by then is in a long call, and the user is told so.
REPEAT_SECONDS = 0.3
# How long to wait for a reader of stderr that does not read, such as a stopped pager.
WRITE_SECONDS = 1.0
# What the user is told of the first and the second signal while a run trains.
IN_TRAINING = (
    "stopping once the steps under way (or their compilation) are done and saved",
    "what was saved before is kept; run the same command to continue",
)

_loop: "StopSignals | None" = None
_clean_ups: list[Callable[[], object]] = []
_thread: threading.Thread | None = None


def end_program_at_signals() -> None:
    """From now on, SIGINT, SIGTERM and SIGHUP end this process in one line on stderr.

    The exit code is 128 + the signal's number. `StopSignals` lets a loop save first. A
    signal that is ignored already, as SIGHUP is after `nohup`, stays ignored. Only the
    main thread may call this.
    """
    global _thread
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    _thread = threading.Thread(
        target=_act_on_signals, args=(reading,), daemon=True, name="jaxgan-signals"
    )
    _thread.start()
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in NUMBERS:
        if signal.getsignal(number) != signal.SIG_IGN:
            # Without a handler of Python's own, the one in C would not be called.
            signal.signal(number, lambda number, frame: None)


def _act_on_signals(pipe: int) -> None:
    while True:
        for number in _read_numbers(pipe)[:1]:
            loop = _loop
            if loop is None or loop.number:
                _end_program(number, f"; {loop.kept}" if loop else "")
            else:
                loop.number = number
                time.sleep(REPEAT_SECONDS)
                _read_numbers(pipe, wait_seconds=0)
                if not loop.noticed:
                    name = signal.Signals(number).name
                    _write_line(f"jaxgan: {name}: {loop.notice}; again to stop now")


def _read_numbers(pipe: int, wait_seconds: float | None = None) -> list[int]:
    """Return the numbers of the signals that have come; by default, wait for one."""
    select.select([pipe], [], [], wait_seconds)
    with suppress(BlockingIOError):
        return [number for number in os.read(pipe, 4096) if number in NUMBERS]
    return []


def _end_program(number: int, kept: str) -> None:
    _write_line(f"jaxgan: error: stopped by {signal.Signals(number).name}{kept}")
    for action in reversed(_clean_ups):
        with suppress(Exception):
            action()
    # Nothing is unwound or finalized: the main thread may be anywhere.
    os._exit(128 + number)


def _write_line(text: str) -> None:
    with suppress(OSError):
        # On a terminal, below the progress bar.
        start = "\n" if os.isatty(2) else ""
        if select.select([], [2], [], WRITE_SECONDS)[1]:
            os.write(2, f"{start}{text}\n".encode())


@contextmanager
def clean_up(action: Callable[[], object]) -> Iterator[None]:
    """Call `action` at the end of the block, also if a signal ends the program in it.

    In that case another thread calls it, and the block is still running. It may be
    called twice.
    """
    _clean_ups.append(action)
    try:
        yield
    finally:
        action()
        _clean_ups.remove(action)


class StopSignals:
    """A context in which the first signal is only noted, for a loop to act on.

    A second signal, REPEAT_SECONDS later, ends the program at once. If the loop has not
    called `check` by then, a line on stderr says that the first one has been noted.

    Where `end_program_at_signals` was not called, as in a notebook, handlers of
    Python's own note the first signal, and a second one does what it did before. In
    another thread than the main one, no signal is noted.

    Args:
        notice: what happens after the first signal, for that line.
        kept: what is kept after the second one.
    """

    def __init__(self, notice: str, kept: str) -> None:
        self.notice, self.kept = notice, kept
        self.number = 0
        self.noticed = False
        self._previous: dict[int, object] = {}

    def check(self) -> int:
        """Return the number of the signal that has come, 0 if there was none."""
        self.noticed = self.number != 0
        return self.number

    def __enter__(self) -> "StopSignals":
        global _loop
        if _thread is not None:
            _loop = self
        elif threading.current_thread() is threading.main_thread():
            for number in NUMBERS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._previous[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._restore_handlers()

    def _restore_handlers(self) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())  # type: ignore[arg-type]

    def __exit__(self, *exception: object) -> None:
        global _loop
        _loop = None
        self._restore_handlers()
