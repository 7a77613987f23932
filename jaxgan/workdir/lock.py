"""One run at a time in a workdir: a lock that a dead process does not hold for ever."""

import fcntl
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jaxgan.errors import UserError
from jaxgan.files import storage

NAME = ".lock"
# Of a lock that no file system watches over, as in a bucket: it is written anew while
# its holder lives, and taken over when that has not happened for a while.
RENEW_SECONDS, WATCH_SECONDS, SETTLE_SECONDS = 5.0, 20.0, 2.0


@contextmanager
def locked(workdir: Path) -> Iterator[str]:
    """Hold the lock of a workdir, which is made if it is not there.

    A workdir that stays empty is removed again.

    Yields:
        A word that no other holder's lock file has in it.

    Raises:
        UserError: another process that is alive holds it.
    """
    word = uuid.uuid4().hex
    holder = f"process {os.getpid()} on {socket.gethostname()}, {word}"
    new = not workdir.exists() and not storage.is_remote(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    if storage.is_remote(workdir):
        hold = leased(workdir / NAME, holder)
    else:
        hold = flocked(workdir / NAME, holder)
    try:
        with hold:
            yield word
    finally:
        if new:
            with suppress(OSError):
                workdir.rmdir()  # fails, as it should, where there is anything


def seen(workdir: Path, word: str, wait_seconds: float = 70.0) -> bool:
    """Return whether the lock that is held with `word` lies in this folder."""
    limit = time.monotonic() + wait_seconds
    while time.monotonic() < limit:
        with suppress(OSError):
            if word in (workdir / NAME).read_text():
                return True
        time.sleep(0.2)  # NFS may show it a minute late
    return False


@contextmanager
def flocked(path: Path, holder: str) -> Iterator[None]:
    """Hold a file lock, which the kernel releases when the process ends."""
    while True:
        file = open(path, "a+")  # noqa: SIM115 (closed below)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            other = file.read()
            file.close()
            raise refusal(path, other) from None
        except OSError:  # a file system without such locks
            file.close()
            with leased(path, holder):
                yield
            return
        # Its holder may have removed the file before it let go of the lock.
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


@contextmanager
def leased(path: Path, holder: str) -> Iterator[None]:
    """Hold a file that is renewed by a thread of this process."""
    found = content(path)
    if found:  # an empty one is left where a file lock was tried
        print(
            f"jaxgan: waiting up to {WATCH_SECONDS:g} s to see whether the lock "
            f"{path} still has a holder",
            flush=True,
        )
        limit = time.monotonic() + WATCH_SECONDS
        while time.monotonic() < limit and content(path) == found:
            time.sleep(WATCH_SECONDS / 20)
        if content(path) not in (found, None):
            raise refusal(path, found)
    storage.write(path, f"{holder} 0")
    time.sleep(SETTLE_SECONDS)
    other = content(path) or ""
    if holder not in other:  # another one wrote at the same time
        raise refusal(path, other)
    ended = threading.Event()

    def renew() -> None:
        count = 0
        while not ended.wait(RENEW_SECONDS):
            count += 1
            with suppress(Exception):  # the next time may go
                if holder not in (content(path) or ""):
                    lost(path)
                storage.write(path, f"{holder} {count}")

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with suppress(Exception):  # of whatever kind: the lock goes stale by itself
            if holder in (content(path) or ""):
                path.unlink()


def lost(path: Path) -> None:
    """End this process, which was away so long that another one took its lock."""
    try:
        print(
            f"jaxgan: error: {path}: another run took the lock while this one was not "
            "heard of; it goes on there, this one ends",
            file=sys.stderr,
            flush=True,
        )
    finally:
        os._exit(1)


def content(path: Path) -> str | None:
    """Return the text of a lock, None where there is none."""
    with suppress(FileNotFoundError):
        return path.read_text()
    return None


def refusal(path: Path, other: str) -> UserError:
    """Return the error that names who holds a lock."""
    who = other.rpartition(",")[0] or "another process"
    return UserError(
        f"--workdir = {path.parent}: {who} is training there; let it end, or give "
        "another --workdir"
    )
