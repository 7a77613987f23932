"""The lock of a workdir: one run holds it at a time, and a dead run does not keep it.

Where the file system has file locks, the kernel releases a lock when its process ends.
Elsewhere, for example in a bucket, the lock is a lease (`lease.py`).
"""

import fcntl
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jaxgan.files import storage
from jaxgan.workdir.lease import hold_lease, in_use_error

FILE_NAME = ".lock"


@contextmanager
def hold_lock(workdir: Path) -> Iterator[str]:
    """Hold the lock of a workdir; create the folder if it does not exist.

    A folder that was created here and is still empty at the end is removed again.

    Yields:
        A token that only this holder's lock file contains.

    Raises:
        UserError: another live process holds the lock, or no folder can be made there.
        WriteFailed: the workdir's bucket does not accept the lock file.
    """
    token = uuid.uuid4().hex
    holder = f"process {os.getpid()} on {socket.gethostname()}, {token}"
    is_new = not workdir.exists() and not storage.is_remote(workdir)
    storage.make_folder(workdir, "--workdir")
    hold = hold_lease if storage.is_remote(workdir) else hold_file_lock
    try:
        with hold(workdir / FILE_NAME, holder):
            yield token
    finally:
        if is_new:
            with suppress(OSError):
                workdir.rmdir()  # fails, as it should, if the folder is not empty


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
def hold_file_lock(path: Path, holder: str) -> Iterator[None]:
    """Hold a lock that the kernel releases when the process ends.

    Where the file system has no such locks, hold a lease instead.

    Raises:
        UserError: another process holds the lock.
    """
    while True:
        file = open(path, "a+")  # noqa: SIM115 (closed below)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            text = file.read()
            file.close()
            raise in_use_error(path, text) from None
        except OSError:  # a file system without file locks
            file.close()
            with hold_lease(path, holder):
                yield
            return
        # Between our open and flock, the last holder may have removed the file. Then
        # we have locked a file that nobody else will find: try again.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                break
        file.close()
    with file:
        file.truncate(0)
        file.write(holder)
        file.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
