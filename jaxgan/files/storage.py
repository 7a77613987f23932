"""Files of a run, read and written in a local folder or below gs:// (extra `gcs`).

A local path is a `pathlib.Path`, a remote one an `epath.Path` with the same methods.
This module holds the operations that differ between the two: checking, writing,
appending, listing, moving and deleting. `buckets` holds what only gs:// paths need.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jaxgan.errors import UserError, printable
from jaxgan.files import buckets
from jaxgan.files.buckets import is_remote

__all__ = [
    "WriteFailed", "append", "checked_path", "delete", "expand_home", "is_remote",
    "list_files", "make_folder", "move", "whole_file", "write",
]  # fmt: skip

# Errors of a path that no disk could hold: the user's mistake. `make_folder` takes
# ENOENT for one of them: it makes every parent, and only in places such as /proc can
# none be made.
IMPOSSIBLE = {
    errno.ENOTDIR: "lies below a file",
    errno.ENAMETOOLONG: "is too long, or a name in it is",
    errno.ELOOP: "has a link that leads to itself",
    errno.EINVAL: "is no name that this file system takes",
}


class WriteFailed(Exception):
    """A file in a bucket could not be written; the message says why."""


def checked_path(text: str, field: str) -> Path:
    """Return the path that a user gave as `field`, a flag or a field of the config.

    A `~` at its start becomes the home folder. Nothing has to exist there yet.

    Raises:
        UserError: nothing can exist there: the path is too long, lies below a file, or
            names an unknown user's home; or as `buckets.check_access` does.
    """
    text = expand_home(text, field)
    buckets.check_access(text, field)
    path = buckets.to_path(text)
    if not is_remote(path):
        try:
            path.lstat()
        except ValueError as error:  # a NUL, or a lone surrogate
            raise UserError(
                f"{field} = {printable(text)}: has a character that no path can have"
            ) from error
        except OSError as error:
            if error.errno in IMPOSSIBLE:
                raise _impossible(field, path, error) from error
    return path


def expand_home(text: str, field: str) -> str:
    """Return a path with a `~` or `~user` at its start replaced by the home folder.

    Raises:
        UserError: there is no such user, and nothing of this name.
    """
    expanded = os.path.expanduser(text)
    if expanded.startswith("~") and not os.path.lexists(expanded):
        user = printable(expanded.partition("/")[0])
        raise UserError(
            f"{field} = {printable(text)}: the home of {user} is not known; give the "
            "whole path (./~ for what is really named so)"
        )
    return expanded


def make_folder(path: Path, field: str) -> None:
    """Make a folder that a user gave as `field`, and its parents; it may exist.

    Raises:
        UserError: no folder can be made there, whatever the rights and the space.
        OSError: the disk refuses it.
    """
    if is_remote(path):
        path.mkdir(parents=True, exist_ok=True)
        return
    try:
        # Not by `parents=True`, which fails for a thousand folders in one another.
        for folder in reversed([path, *path.parents]):
            if not folder.is_dir():
                folder.mkdir(exist_ok=True)
    except OSError as error:
        if error.errno in (*IMPOSSIBLE, errno.EEXIST, errno.ENOENT):
            raise _impossible(field, path, error) from error
        raise


def _impossible(field: str, path: Path, error: OSError) -> UserError:
    others = {
        errno.EEXIST: "exists and is no folder",
        errno.ENOENT: "no folder can be made there",
    }
    reason = (IMPOSSIBLE | others)[error.errno or 0]
    return UserError(f"{field} = {printable(path)}: {reason}; give another path")


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
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path beside `path`; at the end, the file written there becomes `path`.

    After an error, such as a full disk, no part of a file is left, and an older file is
    as it was. The name beside is hidden, so that it is never taken for an image, and
    short, because that of `path` may be as long as the file system allows.

    Raises:
        OSError: as in the block, naming `path`.
    """
    temporary = path.with_name(f".{path.name[:40]}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        # `write` names no file when the disk is full.
        if error.filename in (None, os.fspath(temporary)):
            error.filename, error.filename2 = os.fspath(path), None
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


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
        except OSError as error:
            file.truncate(end)
            error.filename = os.fspath(path)  # a full disk's error names no file
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
