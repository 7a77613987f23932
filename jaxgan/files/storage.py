"""Files of a run, read and written in a local folder or below gs:// (extra `gcs`).

A local path is a `pathlib.Path`, a remote one an `epath.Path` with the same methods.
This module holds the operations that differ between the two: checking, writing,
appending, listing, moving and deleting. `buckets` holds what only gs:// paths need.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jaxgan.files import buckets
from jaxgan.files.buckets import is_remote

__all__ = [
    "WriteFailed", "append", "checked_path", "delete", "is_remote", "list_files",
    "move", "write",
]  # fmt: skip


class WriteFailed(Exception):
    """A file in a bucket could not be written; the message says why."""


def checked_path(text: str, field: str) -> Path:
    """Return the path that a user gave as `field`, after checking access to its bucket.

    Raises:
        UserError: as `buckets.check_access` does.
    """
    buckets.check_access(text, field)
    return buckets.to_path(text)


@contextmanager
def raise_write_failed(path: Path) -> Iterator[None]:
    """Raise WriteFailed in place of any error that a bucket's client raises."""
    try:
        yield
    except Exception as error:  # gcsfs, google.auth, aiohttp or requests raise it
        raise WriteFailed(
            f"{path}: could not be written ({buckets.describe_error(error)}); what was "
            "saved before is kept"
        ) from error


def write(path: Path, content: str | bytes, durable: bool = False) -> None:
    """Write a file so that no reader ever sees half of it, making its folder.

    With `durable`, not even a loss of power leaves a local file empty or half written.

    Raises:
        WriteFailed: a file in a bucket could not be written.
        OSError: a local file could not be written.
    """
    data = content.encode() if isinstance(content, str) else content
    if is_remote(path):
        with raise_write_failed(path):
            path.write_bytes(data)  # an object appears only when it is complete
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with open(temporary, "wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    os.replace(temporary, path)


def append(path: Path, content: str | bytes) -> None:
    """Append whole lines to a file; in a bucket, the object is written again.

    When this returns, the lines are on the disk. If it fails, for example because the
    disk is full, none of them is in the file.

    Raises:
        WriteFailed, OSError: as `write` does.
    """
    data = content.encode() if isinstance(content, str) else content
    if is_remote(path):
        with raise_write_failed(path):
            before = path.read_bytes() if path.exists() else b""
            path.write_bytes(before + data)
        return
    with open(path, "ab", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        try:
            left = memoryview(data)
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(end)
            raise


def list_files(folder: Path) -> list[str]:
    """Return the paths of all files below a folder, relative to it and sorted.

    Raises:
        OSError: a local folder cannot be read.
        UserError: a folder in a bucket cannot be listed.
    """
    root = os.fspath(folder)
    if is_remote(folder):
        found = buckets.list_objects(root)
        return sorted(name.removeprefix(f"{root}/") for name in found)

    def fail(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    return sorted(
        (Path(place) / name).relative_to(folder).as_posix()
        for place, _, names in os.walk(root, onerror=fail)
        for name in names
    )


def delete(folder: Path) -> None:
    """Delete a folder and all that is in it; for a link, only the link.

    Raises:
        WriteFailed, OSError: as `write` does.
    """
    if is_remote(folder):
        with raise_write_failed(folder):
            folder.rmtree()  # type: ignore[attr-defined]
    elif folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder)


def move(folder: Path, target: Path) -> None:
    """Move a folder or file to a path at which nothing exists yet.

    Raises:
        OSError: it cannot be moved; nothing was changed.
    """
    if not is_remote(folder):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.rename(target)
        except OSError as error:
            if error.errno != errno.EXDEV:  # a path on another disk
                raise
            # Not for every error: it copies, and then deletes what it may delete.
            shutil.move(folder, target)
        return
    for name in list_files(folder):
        (target / name).write_bytes((folder / name).read_bytes())
    folder.rmtree()  # type: ignore[attr-defined]
