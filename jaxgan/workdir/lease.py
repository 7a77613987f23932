"""A lease: a lock file that its holder must renew, for where there are no file locks.

A bucket, and some network file systems, do not release a lock when its holder dies.
There the lock is a file that the holder writes anew at every heartbeat. Whoever finds
the file watches it first, and takes it over only if no heartbeat comes.

Taking a lease is one atomic step: of several processes that try at the same time,
exactly one succeeds.
"""

import itertools
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jaxgan.errors import UserError
from jaxgan.files import storage
from jaxgan.workdir.atomic_files import BucketObject, LocalFile, Version

# The holder renews its lease every HEARTBEAT_SECONDS. Another process takes the lease
# over only after WATCH_SECONDS without a heartbeat: four in a row would have been
# missed, so that one slow answer of a bucket does not make a living run look dead.
HEARTBEAT_SECONDS = 5.0
WATCH_SECONDS = 20.0


@contextmanager
def hold_lease(path: Path, holder: str) -> Iterator[None]:
    """Hold the lease at `path`, which a thread of this process renews.

    Args:
        path: the lease file.
        holder: words that name this process and no other, with a comma before the
            last of them, which error messages leave out.

    Raises:
        UserError: another process holds the lease.
        WriteFailed: the bucket does not take it.
    """
    file = BucketObject(path) if storage.is_remote(path) else LocalFile(path)
    stale = file.read()
    if stale.text:  # an empty file is left where a file lock was tried
        watch_for_heartbeat(file, stale, path)
    if stale.text is not None:
        file.delete(stale)
    file.create(f"{holder} 0")
    found = file.read()
    if not found.has(holder):  # another process is quicker
        raise in_use_error(path, (found.text or "") if found != stale else "")
    ended = threading.Event()
    thread = threading.Thread(
        target=send_heartbeats, args=(file, path, holder, ended), daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        # Whatever goes wrong: a lease that nobody renews is taken over anyway.
        with suppress(Exception):
            found = file.read()
            if found.has(holder):
                file.delete(found)


def watch_for_heartbeat(
    file: LocalFile | BucketObject, found: Version, path: Path
) -> None:
    """Wait WATCH_SECONDS; raises UserError if the lease is renewed meanwhile."""
    print(
        f"jaxgan: waiting up to {WATCH_SECONDS:g} s to see whether the lock "
        f"{path} still has a holder",
        flush=True,
    )
    limit = time.monotonic() + WATCH_SECONDS
    now = found
    while time.monotonic() < limit and now == found:
        time.sleep(WATCH_SECONDS / 20)
        now = file.read()
    if now.text is not None and now != found:
        raise in_use_error(path, now.text)


def send_heartbeats(
    file: LocalFile | BucketObject, path: Path, holder: str, ended: threading.Event
) -> None:
    """Renew a lease until `ended` is set; end this process if another one took it."""
    for count in itertools.count(1):
        if ended.wait(HEARTBEAT_SECONDS):
            return
        with suppress(Exception):  # the network may be back at the next heartbeat
            found = file.read()
            if not found.has(holder):
                break
            file.overwrite(found, f"{holder} {count}")
    end_process(path)


def end_process(path: Path) -> None:
    """End this process, which was silent for so long that another one took its lease.

    It may have been suspended, or without a network. The other run goes on.
    """
    try:
        print(
            f"jaxgan: error: {path}: another run took the lock while this one sent no "
            "heartbeat; the other one goes on, this one ends",
            file=sys.stderr,
            flush=True,
        )
    finally:
        os._exit(1)


def in_use_error(path: Path, text: str) -> UserError:
    """Return the error for a lock that another process holds; `text` names it."""
    process = text.rpartition(",")[0] or "another process"
    return UserError(
        f"--workdir = {path.parent}: {process} is training there; let it end, or give "
        "another --workdir"
    )
