"""A lease: a lock file that its holder must renew, used where file locks are missing.

A bucket, and some network file systems, do not release a lock when its holder dies.
There the lock is a file that the holder rewrites at every heartbeat. A process that
finds the file watches it first, and takes it over only if no heartbeat comes.

Taking a lease is one atomic step: if several processes try at the same time, exactly
one succeeds.
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
# over only after WATCH_SECONDS without a heartbeat, which is four missed in a row: a
# live run does not look dead because of one slow answer from the bucket.
HEARTBEAT_SECONDS = 5.0
WATCH_SECONDS = 20.0


@contextmanager
def hold_lease(path: Path, holder: str) -> Iterator[None]:
    """Hold the lease at `path`, which a thread of this process renews.

    Args:
        path: the lease file.
        holder: a text that only this process has, in the form 'NAME, TOKEN'; error
            messages show only the name.

    Raises:
        UserError: another process holds the lease.
        WriteFailed: the bucket does not accept the lease file.
    """
    file = BucketObject(path) if storage.is_remote(path) else LocalFile(path)
    stale = file.read()
    if stale.text:  # a failed attempt at a file lock leaves an empty file
        watch_for_heartbeat(file, stale, path)
    if stale.text is not None:
        file.delete(stale)
    file.create(f"{holder} 0")
    found = file.read()
    if not found.has(holder):  # another process was faster
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
        # An error here does no harm: a lease that nobody renews is taken over anyway.
        with suppress(Exception):
            found = file.read()
            if found.has(holder):
                file.delete(found)


def watch_for_heartbeat(
    file: LocalFile | BucketObject, found: Version, path: Path
) -> None:
    """Wait up to WATCH_SECONDS; raise UserError if the lease is renewed meanwhile."""
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
    """Renew a lease until `ended` is set; end this process if another one took it.

    A file that was deleted is created again, unless so much time has passed since the
    last heartbeat that another run may have come, and ended, in between.
    """
    renewed = time.time()  # which also counts while the machine is suspended
    for count in itertools.count(1):
        if ended.wait(HEARTBEAT_SECONDS):
            return
        with suppress(Exception):  # the network may be back at the next heartbeat
            found = file.read()
            if found.text is None and time.time() - renewed < WATCH_SECONDS:
                file.create(f"{holder} {count}")
                found = file.read()
            if not found.has(holder):
                break
            file.overwrite(found, f"{holder} {count}")
            renewed = time.time()
    end_process(path)


def end_process(path: Path) -> None:
    """End this process: it sent no heartbeat, so another process took its lease.

    This process may have been suspended or without a network. The other run goes on.
    """
    try:
        print(
            f"jaxgan: error: {path}: another run took the lock while this one sent no "
            "heartbeat; the other run goes on, this one ends",
            file=sys.stderr,
            flush=True,
        )
    finally:
        os._exit(1)


def in_use_error(path: Path, text: str) -> UserError:
    """Return the error for a lock that another process holds; `text` names it."""
    process = text.rpartition(",")[0] or "another process"
    return UserError(
        f"--workdir = {path.parent}: {process} is training there; wait until it "
        "ends, or give another --workdir"
    )
