"""The first thing that a command does when it is run as a program."""

from jaxgan.runtime import signals, streams


def start() -> None:
    """Make the standard streams safe to use, and answer signals from now on.

    Commands call it before their slow imports.
    """
    streams.prepare()
    signals.end_program_at_signals()
