"""Files of a run, read and written in a local folder or below gs:// (extra `gcs`).

A local path is a `pathlib.Path`, a remote one an `epath.Path` with the same methods.
This module holds the operations that differ between the two: checking, writing,
appending, listing and moving. `buckets` holds what only gs:// paths need.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jaxgan.files import buckets
from jaxgan.files.buckets import is_remote

__all__ = [
    "WriteFailed", "append", "checked_path", "is_remote", "list_files", "move", "write",
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


def write(path: Path, content: str | bytes) -> None:
    """Write a file so that no reader ever sees half of it, making its folder.

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
    temporary.write_bytes(data)
    os.replace(temporary, path)


def append(path: Path, line: str) -> None:
    """Append a line to a text file; in a bucket, the whole object is written again.

    Raises:
        WriteFailed, OSError: as `write` does.
    """
    if is_remote(path):
        with raise_write_failed(path):
            before = path.read_text() if path.exists() else ""
            path.write_text(before + line)
        return
    with open(path, "a") as file:
        file.write(line)


def list_files(folder: Path) -> list[str]:
    """Return the paths of all files below a folder, relative to it and sorted."""
    if not is_remote(folder):
        found = (file for file in folder.rglob("*") if file.is_file())
        return sorted(file.relative_to(folder).as_posix() for file in found)
    root = os.fspath(folder)
    return sorted(name.removeprefix(f"{root}/") for name in buckets.list_objects(root))


def move(folder: Path, target: Path) -> None:
    """Move a folder to a path at which nothing exists yet."""
    if not is_remote(folder):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, target)
        return
    for name in list_files(folder):
        (target / name).write_bytes((folder / name).read_bytes())
    folder.rmtree()  # type: ignore[attr-defined]
