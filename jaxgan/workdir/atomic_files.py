"""Files that several processes change in atomic steps, in a folder or a bucket.

Of several processes that create one file at the same time, exactly one succeeds; a file
is deleted only if it is still what was read. Neither step says whether it succeeded:
`read` does, as the content names the process that wrote it.
"""

import os
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from jaxgan.files import buckets, storage

# Claims (`LocalFile.delete`) are held for milliseconds. An older one is of a process
# that died.
CLAIM_SECONDS = 20.0


class Version(NamedTuple):
    """What was read of a file.

    Attributes:
        text: its content, None where there is no file.
        generation: the bucket's number of this content, 0 where there is no object;
            always 0 on a file system.
    """

    text: str | None
    generation: int = 0

    def has(self, words: str) -> bool:
        """Return whether these words are in the content."""
        return self.text is not None and words in self.text


class LocalFile:
    """A file in a folder. What makes its creation atomic is `os.link`."""

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

        Not in one step with that reading. That does no harm to a lease: only its holder
        overwrites it, and a process that took it over in between finds out at its next
        heartbeat.
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
        except OSError:  # a full disk: nothing may pile up
            beside.unlink(missing_ok=True)
            raise
        return beside


class BucketObject:
    """An object in a bucket. Every change names the generation that it expects.

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
        with storage.raise_write_failed(self._path):
            self.overwrite(Version(None), text)

    def overwrite(self, found: Version, text: str) -> None:
        """Write the object if it still has the generation of `found`."""
        # A request of the JSON API itself, because gcsfs.pipe_file can name only
        # generation 0 (mode="create").
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
        """Delete the object if it still has the generation of `found`.

        Raises:
            WriteFailed: the bucket does not allow it.
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
