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
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from jaxgan.errors import UserError
from jaxgan.files import buckets, storage

# The holder renews its lease every HEARTBEAT_SECONDS. Another process takes the lease
# over only after WATCH_SECONDS without a heartbeat: four in a row would have been
# missed, so that one slow answer of a bucket does not make a living run look dead.
HEARTBEAT_SECONDS = 5.0
WATCH_SECONDS = 20.0


class Version(NamedTuple):
    """What was read of a lease file.

    Attributes:
        text: its content, None where there is no file.
        generation: the bucket's number of this content, 0 where there is no object;
            always 0 on a file system.
    """

    text: str | None
    generation: int = 0

    def is_of(self, holder: str) -> bool:
        """Return whether this holder wrote it."""
        return self.text is not None and holder in self.text


class LocalFile:
    """A lease file in a folder. The atomic step is `os.link`."""

    def __init__(self, path: Path):
        self.path = path

    def read(self) -> Version:
        """Return what is there now."""
        with suppress(FileNotFoundError):
            return Version(self.path.read_text())
        return Version(None)

    def create(self, text: str) -> None:
        """Write the file unless there is one; `read` then tells whose it is."""
        written = self._write_beside(text)
        try:
            # Unlike open(path, "x") this never shows the file empty.
            os.link(written, self.path)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            with suppress(FileExistsError), open(self.path, "x") as file:
                file.write(text)
        finally:
            written.unlink()

    def overwrite(self, found: Version, text: str) -> None:
        """Replace the content of a file of which `found` was just read.

        Not one step with that reading. It does no harm: only the holder overwrites,
        and a process that took the lease over in between ends at its next heartbeat.
        """
        os.replace(self._write_beside(text), self.path)

    def delete(self, found: Version) -> None:
        """Delete the file if its content is still that of `found`.

        A second file keeps all others out while this process looks and deletes.
        """
        claim = self.path.with_name(f"{self.path.name}.claim")
        try:
            claim.touch(exist_ok=False)  # O_CREAT | O_EXCL
        except FileExistsError:
            # Another process is about to delete. Or it died while it did: then the
            # claim is removed now, and the next start of this run succeeds.
            with suppress(FileNotFoundError):
                if time.time() - claim.stat().st_mtime > WATCH_SECONDS:
                    claim.unlink()
            return
        try:
            if self.read() == found:
                self.path.unlink()
        finally:
            claim.unlink(missing_ok=True)

    def _write_beside(self, text: str) -> Path:
        beside = self.path.with_name(f"{self.path.name}.{uuid.uuid4().hex}")
        beside.write_text(text)
        return beside


class BucketObject:
    """A lease file in a bucket. Every change names the generation that it expects.

    The server refuses a change (HTTP status 412) if the object has another generation
    by then. Generation 0 stands for "there is no object".
    (https://cloud.google.com/storage/docs/request-preconditions)
    """

    def __init__(self, path: Path):
        import fsspec

        # With the argument that epath gives: the same client, which has credentials.
        self._client: Any = fsspec.filesystem("gcs", finalize_on_close=True)
        self._path = path
        url = os.fspath(path).removeprefix(buckets.PREFIX)
        self._bucket, _, self._name = url.partition("/")

    def read(self) -> Version:
        """Return what is there now: content and generation of one answer."""
        with suppress(FileNotFoundError):
            headers, content = self._client.call(
                "GET",
                "b/{}/o/{}",
                self._bucket,
                self._name,
                alt="media",
                # Objects that everyone may read are cached for an hour by default.
                headers={"Cache-Control": "no-cache"},
            )
            return Version(content.decode(), int(headers["X-Goog-Generation"]))
        return Version(None)

    def create(self, text: str) -> None:
        """Write the object unless there is one; `read` then tells whose it is.

        Raises:
            WriteFailed: the bucket does not take it.
        """
        try:
            self.overwrite(Version(None), text)
        except Exception as error:  # of gcsfs, google.auth, aiohttp and requests
            raise storage.WriteFailed(
                f"{self._path}: could not be written ({buckets.reason(error)})"
            ) from error

    def overwrite(self, found: Version, text: str) -> None:
        """Write the object if it still has the generation of `found`."""
        # gcsfs's own pipe_file knows of no generation but 0 (mode="create").
        url = self._client.base.replace("/storage/", "/upload/storage/", 1)
        # gcsfs sends a request again when the answer was lost. Then the server refuses
        # the second one, because of the first: so only reading tells who has it.
        with suppress(FileExistsError):  # what gcsfs raises for status 412
            self._client.call(
                "POST",
                f"{url}b/{{}}/o",
                self._bucket,
                uploadType="media",
                name=self._name,
                ifGenerationMatch=str(found.generation),
                data=text.encode(),
            )

    def delete(self, found: Version) -> None:
        """Delete the object if it still has the generation of `found`."""
        with suppress(FileExistsError, FileNotFoundError):
            self._client.call(
                "DELETE",
                "b/{}/o/{}",
                self._bucket,
                self._name,
                ifGenerationMatch=str(found.generation),
            )


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
    if not found.is_of(holder):  # another process is quicker
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
            if found.is_of(holder):
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
            if not found.is_of(holder):
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
