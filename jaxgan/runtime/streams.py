"""Standard input, output and error: closed, broken and full ones."""

import io
import os
import sys
from typing import TextIO

MODES = {"stdin": "r", "stdout": "w", "stderr": "w"}


class Output(io.TextIOWrapper):
    """Standard output or error, on which a line may fail and the program go on.

    Attributes:
        may_fail: whether text that cannot be written is dropped. Otherwise OSError is
            raised, as by other streams.
    """

    may_fail = False

    def write(self, text: str) -> int:
        """Write a text; returns its length."""
        try:
            super().write(text)
        except OSError as error:
            self._drop_or_raise(error)
        return len(text)

    def flush(self) -> None:
        """Write what is in the buffer."""
        try:
            super().flush()
        except OSError as error:
            self._drop_or_raise(error)

    def _drop_or_raise(self, error: OSError) -> None:
        if not self.may_fail:
            raise OSError(error.errno, error.strerror, "standard output") from error


def prepare() -> None:
    """Make standard streams safe to use, whatever the caller has made of them.

    Streams that are closed (`2>&-`) are opened on the null device. Text that cannot be
    written to standard error is dropped. Letters that the encoding lacks are escaped.
    """
    for descriptor, (name, mode) in enumerate(MODES.items()):
        open_if_closed(descriptor, name, mode)
    sys.stdout, errors = _as_output(sys.stdout), _as_output(sys.stderr)
    errors.may_fail = True
    sys.stderr = errors


def open_if_closed(descriptor: int, name: str, mode: str) -> None:
    """Open the standard stream `name` on the null device if the caller has closed it.

    Python sets such a stream to None. And the first file that is opened, which may be a
    checkpoint, would get its number, to which libraries in C++ write their messages.
    """
    try:
        os.fstat(descriptor)
    except OSError:
        os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, hence this one
        os.set_inheritable(descriptor, True)
    if getattr(sys, name) is None:
        stream = open(descriptor, mode, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        # `_as_output` takes the buffer, which is closed if nothing else holds `stream`.
        setattr(sys, f"__{name}__", stream)


def _as_output(stream: TextIO) -> Output:
    return Output(
        stream.buffer,
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.isatty(),
        write_through=getattr(stream, "write_through", False),
    )


def let_output_fail() -> None:
    """Have this program go on when a line on standard output cannot be written.

    The reader of a pipe may have gone (`| head`), or the disk of a log may be full. A
    command calls it whose product are files, and whose lines only tell its progress.
    """
    if isinstance(sys.stdout, Output):
        sys.stdout.may_fail = True


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is open and a terminal."""
    return stream is not None and not stream.closed and stream.isatty()
