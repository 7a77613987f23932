"""The first thing that a command does when it is run as a program."""

import sys
from typing import Any

from jaxgan.runtime import signals, streams


def start() -> None:
    """Make the standard streams safe to use, and answer signals from now on.

    Commands call it before their slow imports.
    """
    streams.prepare()
    signals.end_program_at_signals()
    sys.unraisablehook = print_unraisable


def print_unraisable(unraisable: Any) -> None:
    """Print an error that nothing can catch, but not those of late writes.

    After a write that failed, Orbax closes its event loop, while TensorStore still
    writes other arrays. Each of these then fails in a thread in C++, up to 223 lines in
    all. The error of the save itself says everything in one line.
    """
    if str(unraisable.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)
