"""Files of a run: in a folder of this machine, or below gs:// (extra `gcs`).

A local path is a `pathlib.Path`, a remote one an `epath.Path` with the same methods;
here is what differs between them.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jaxgan.files import buckets


class WriteFailed(Exception):
    """A file in a bucket could not be written: says why."""


def path(text: str, field: str) -> Path:
    """Return the path that a user gave as `field`; raises UserError if not usable."""
    buckets.check(text, field)
    return buckets.path(text)


def is_remote(path: Path) -> bool:
    """Return whether a path lies in a bucket."""
    return buckets.is_remote(path)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Raise WriteFailed for whatever the clients of a bucket raise."""
    try:
        yield
    except Exception as error:  # of gcsfs, google.auth, aiohttp and requests
        raise WriteFailed(
            f"{path}: could not be written ({buckets.reason(error)}); what was saved "
            "before is kept"
        ) from error


def write(path: Path, content: str | bytes) -> None:
    """Write a file so that it is never seen half written.

    Raises:
        WriteFailed: its bucket does not take it; OSError: its folder does not.
    """
    data = content.encode() if isinstance(content, str) else content
    if is_remote(path):
        with _writing(path):
            path.write_bytes(data)  # an object appears when all of it is there
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def append(path: Path, line: str) -> None:
    """Add a line to a text file; a bucket has its object written anew.

    Raises:
        WriteFailed, OSError: as `write` does.
    """
    if is_remote(path):
        with _writing(path):
            before = path.read_text() if path.exists() else ""
            path.write_text(before + line)
        return
    with open(path, "a") as file:
        file.write(line)


def files(folder: Path) -> list[str]:
    """Return the paths of all files below a folder, relative to it, sorted."""
    if not is_remote(folder):
        found = (file for file in folder.rglob("*") if file.is_file())
        return sorted(file.relative_to(folder).as_posix() for file in found)
    root = os.fspath(folder)
    return sorted(name.removeprefix(f"{root}/") for name in buckets.files(root))


def move(folder: Path, target: Path) -> None:
    """Move a folder to a path where there is none yet."""
    if not is_remote(folder):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, target)
        return
    for name in files(folder):
        (target / name).write_bytes((folder / name).read_bytes())
    folder.rmtree()  # type: ignore[attr-defined]
