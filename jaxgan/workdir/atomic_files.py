"""Files that several processes change in atomic steps, in a folder or a bucket.

If several processes create the same file at the same time, exactly one succeeds. A file
is deleted only if its content is still what was read. Neither step reports whether it
succeeded. To find out, read the file: its content names the process that wrote it.
"""

import os
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from jaxgan.files import buckets, storage

# A process holds its claim (see `LocalFile.delete`) for milliseconds. An older claim is
# left over from a process that died.
CLAIM_SECONDS = 20.0


class Version(NamedTuple):
    """The content of a file when it was read.

    Attributes:
        text: the content, None if there is no file.
        generation: the bucket's number for this content, 0 if there is no object;
            always 0 on a file system.
    """

    text: str | None
    generation: int = 0

    def has(self, words: str) -> bool:
        """Return whether these words are in the content."""
        return self.text is not None and words in self.text


class LocalFile:
    """A file in a folder, created atomically by `os.link`."""

    def __init__(self, path: Path):
        self.path = path

    def read(self) -> Version:
        """Return the current content."""
        with suppress(FileNotFoundError):
            return Version(self.path.read_text(errors="replace"))
        return Version(None)

    def create(self, text: str) -> None:
        """Write the file unless it exists; `read` then shows whose it is."""
        written = self._write_beside(text)
        try:
            # With open(path, "x"), others could read the file while it is still empty.
            os.link(written, self.path)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            with suppress(FileExistsError), open(self.path, "x") as file:
                file.write(text)
        finally:
            written.unlink()

    def overwrite(self, found: Version, text: str) -> None:
        """Replace the content of a file that was just read as `found`.

        Reading and replacing are two steps, which does no harm to a lease: only its
        holder overwrites it, and a process that took it over between the two steps
        notices at its next heartbeat.
        """
        os.replace(self._write_beside(text), self.path)

    def delete(self, found: Version) -> None:
        """Delete the file if its content is still that of `found`.

        A second file, the claim, keeps all other processes out while this one compares
        and deletes.
        """
        claim = self.path.with_name(f"{self.path.name}.claim")
        try:
            claim.touch(exist_ok=False)  # O_CREAT | O_EXCL
        except FileExistsError:
            # Another process is deleting the file, or died while it did. If it died,
            # the claim is removed here, and the next start of this run succeeds.
            with suppress(FileNotFoundError):
                if time.time() - claim.stat().st_mtime > CLAIM_SECONDS:
                    claim.unlink()
            return
        try:
            if self.read() == found:
                self.path.unlink()
        finally:
            claim.unlink(missing_ok=True)

    def _write_beside(self, text: str) -> Path:
        beside = self.path.with_name(f"{self.path.name}.{uuid.uuid4().hex}")
        try:
            beside.write_text(text)
        except OSError:  # for example a full disk: leave no partial file behind
            beside.unlink(missing_ok=True)
            raise
        return beside


class BucketObject:
    """An object in a bucket. Every change names the generation that it expects.

    The server refuses a change (HTTP status 412) if the object has a different
    generation by then. Generation 0 stands for "there is no object".
    (https://cloud.google.com/storage/docs/request-preconditions)
    """

    def __init__(self, path: Path):
        import fsspec

        # epath passes the same argument, so fsspec returns epath's client, which has
        # credentials.
        self._client: Any = fsspec.filesystem("gcs", finalize_on_close=True)
        self._path = path
        url = os.fspath(path).removeprefix(buckets.PREFIX)
        self._bucket, _, self._name = url.partition("/")

    def read(self) -> Version:
        """Return the current content and its generation, from a single response."""
        with suppress(FileNotFoundError):
            headers, content = self._client.call(
                "GET",
                "b/{}/o/{}",
                self._bucket,
                self._name,
                alt="media",
                # Publicly readable objects are cached for an hour by default.
                headers={"Cache-Control": "no-cache"},
            )
            return Version(
                content.decode(errors="replace"), int(headers["X-Goog-Generation"])
            )
        return Version(None)

    def create(self, text: str) -> None:
        """Write the object unless it exists; `read` then shows whose it is.

        Raises:
            WriteFailed: the bucket does not accept the object.
        """
        with storage.raise_write_failed(self._path):
            self.overwrite(Version(None), text)

    def overwrite(self, found: Version, text: str) -> None:
        """Write the object if it still has the generation of `found`."""
        # A direct request to the JSON API, because gcsfs.pipe_file can expect only
        # generation 0 (mode="create").
        url = self._client.base.replace("/storage/", "/upload/storage/", 1)
        # gcsfs repeats a request whose answer was lost. The server then refuses the
        # second request because the first one succeeded, so only reading the object
        # shows whose it is.
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
        """Delete the object if it still has the generation of `found`.

        Raises:
            WriteFailed: the bucket does not allow the deletion.
        """
        gone = suppress(FileExistsError, FileNotFoundError)
        with storage.raise_write_failed(self._path), gone:
            self._client.call(
                "DELETE",
                "b/{}/o/{}",
                self._bucket,
                self._name,
                ifGenerationMatch=str(found.generation),
            )
