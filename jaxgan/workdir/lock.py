"""The lock of a workdir: one run holds it at a time, and a dead run does not keep it.

Where the file system has file locks, the kernel releases a lock when its process ends.
Elsewhere, for example in a bucket, the lock is a lease (`lease.py`).
"""

import fcntl
import os
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, NamedTuple

from jaxgan.errors import UserError
from jaxgan.files import storage
from jaxgan.runtime.signals import clean_up
from jaxgan.workdir.lease import hold_lease, in_use_error

FILE_NAME = ".lock"


class LockLost(Exception):
    """Another run holds the lock that this one held; the message says which."""


class Lock(NamedTuple):
    """The lock of a workdir, held by this process.

    Attributes:
        token: a text that only this holder's lock file contains.
        confirm: checks that the lock is still ours; quick enough to be called often.
            It restores a lock file that was deleted, and then returns True. It raises
            LockLost if another run has taken the lock.
    """

    token: str
    confirm: Callable[[], bool]


@contextmanager
def hold_lock(workdir: Path) -> Iterator[Lock]:
    """Hold the lock of a workdir; create the folder if it does not exist.

    A folder that was created here and is still empty at the end is removed again.

    Raises:
        UserError: another live process holds the lock, or no folder can be made there.
        WriteFailed: the workdir's bucket does not accept the lock file.
    """
    token = uuid.uuid4().hex
    holder = f"process {os.getpid()} on {socket.gethostname()}, {token}"
    is_new = not workdir.exists() and not storage.is_remote(workdir)
    storage.make_folder(workdir, "--workdir")
    hold = hold_lease if storage.is_remote(workdir) else hold_file_lock

    def remove_folder() -> None:
        with suppress(OSError):
            workdir.rmdir()  # fails, as it should, if the folder is not empty

    with (
        clean_up(remove_folder) if is_new else nullcontext(),
        hold(workdir / FILE_NAME, holder) as confirm,
    ):
        yield Lock(token, confirm or (lambda: False))


def is_lock_visible(workdir: Path, token: str, wait_seconds: float = 70.0) -> bool:
    """Return whether this process sees the lock file that contains `token`.

    It waits up to `wait_seconds`, because NFS may show a new file a minute late.
    """
    limit = time.monotonic() + wait_seconds
    while time.monotonic() < limit:
        with suppress(OSError):
            if token in (workdir / FILE_NAME).read_text():
                return True
        time.sleep(0.2)
    return False


@contextmanager
def hold_file_lock(path: Path, holder: str) -> Iterator[Callable[[], bool] | None]:
    """Hold a lock that the kernel releases when the process ends.

    Where the file system has no such locks, hold a lease instead.

    Yields:
        `Lock.confirm`; None for a lease, which is renewed and watched by a thread.

    Raises:
        UserError: another process holds the lock.
    """
    held = FileLock(path, holder)
    try:
        held.take()
    except NoFileLocks:
        with hold_lease(path, holder):
            yield None
        return
    with clean_up(held.release):
        yield held.confirm


class NoFileLocks(Exception):
    """The file system has no file locks."""


class FileLock:
    """A lock on a file, which the kernel releases when this process ends."""

    def __init__(self, path: Path, holder: str):
        self.path = path
        self.holder = holder
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Take the lock.

        Raises:
            UserError: another process holds it.
            NoFileLocks: the file system has none.
        """
        while not self.is_ours():
            self.close()
            self._file = open(self.path, "a+", errors="replace")  # noqa: SIM115
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._file.seek(0)
                text = self._file.read()
                self.close()
                raise in_use_error(self.path, text) from None
            except OSError as error:
                self.close()
                raise NoFileLocks from error
            # Between our open and flock, the last holder may have removed the file.
            # Then we have locked a file that nobody else will find: try again.
        assert self._file is not None
        self._file.truncate(0)
        self._file.write(self.holder)
        self._file.flush()

    def is_ours(self) -> bool:
        """Return whether the file at the path is the one that we have opened."""
        if self._file is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), os.stat(self.path))
        except FileNotFoundError:
            return False

    def confirm(self) -> bool:
        """Check that the lock is still ours; return whether it had to be restored.

        Raises:
            LockLost: another run has taken the lock.
            OSError: the workdir does not exist any more.
        """
        try:
            if self.is_ours():
                return False
            self.take()
        except FileNotFoundError:
            raise
        except (OSError, NoFileLocks):  # a file server that does not answer now
            return False
        except UserError as error:
            raise LockLost(
                f"{self.path}: was deleted or replaced, and another run has taken the "
                "lock; the other run goes on, this one ends"
            ) from error
        print(
            f"jaxgan: {self.path}: was deleted or replaced; this run has restored it",
            file=sys.stderr,
        )
        return True

    def release(self) -> None:
        """Remove the file, but not one that another run has put in its place."""
        with suppress(OSError):
            if self.is_ours():
                self.path.unlink()
        self.close()

    def close(self) -> None:
        """Close the file, which releases the kernel's lock."""
        if self._file is not None:
            self._file.close()
            self._file = None
