"""Checksums of a checkpoint's files, which reveal even one flipped byte.

Orbax has checksums only for shard indices: a checkpoint with a flipped byte in its
largest file restores wrong values without an error.

Only the files that the run wrote count. Operating systems and file servers put files of
their own into any folder.
"""

import hashlib
import json
from pathlib import Path

from jaxgan.files import json_text, storage
from jaxgan.workdir.damage import Damaged, read_file

FILE_NAME = "checksums.json"
UNFINISHED = "it was not finished"
# Beside names that begin with one of `.@#~`, such as .DS_Store, ._NAME, .nfs0001,
# @eaDir and #recycle. No file of Orbax has such a name.
FOREIGN = {"thumbs.db", "ehthumbs.db", "desktop.ini"}
# If this file exists, Orbax 0.12 reads it, in an older format, in place of the arrays.
# No other file that was added to a checkpoint changed what Orbax restores.
MISLEADING = "state/checkpoint"


def is_foreign(name: str) -> bool:
    """Return whether a relative path is that of a file which no run writes."""
    return any(
        part.startswith((".", "@", "#", "~")) or part.lower() in FOREIGN
        for part in name.split("/")
    )


def compute_checksums(folder: Path) -> dict[str, str]:
    """Return {path relative to `folder`: SHA-256} of all files of a checkpoint."""
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in storage.list_files(folder)
        if Path(name).name != FILE_NAME and not is_foreign(name)
    }


def write_checksums(folder: Path) -> None:
    """Write the checksums of a finished checkpoint; the file is never half written."""
    checksums = compute_checksums(folder)
    storage.write(folder / FILE_NAME, json.dumps(checksums, indent=1), durable=True)


def parse_checksums(content: bytes) -> dict[str, str]:
    """Return {path: SHA-256} from the content of FILE_NAME; raises Damaged."""
    try:
        checksums = json_text.parse_object(content)
    except ValueError as error:
        raise Damaged(f"{FILE_NAME} is not readable") from error
    if not checksums or not all(isinstance(sum_, str) for sum_ in checksums.values()):
        raise Damaged(f"{FILE_NAME} holds no checksums")
    return checksums


def read_checksums(folder: Path) -> dict[str, str] | None:
    """Return the checksums of a checkpoint; None if it was not finished.

    Raises:
        Damaged: they are there, but are none.
    """
    try:
        return parse_checksums(read_file(folder, FILE_NAME))
    except Damaged as damage:
        if isinstance(damage.__cause__, FileNotFoundError):
            return None
        raise


def compare_checksum(folder: Path, name: str, checksum: str | None) -> None:
    """Raise Damaged unless one file of a checkpoint has this checksum."""
    if hashlib.sha256(read_file(folder, name)).hexdigest() != checksum:
        raise Damaged(f"{name} does not match its checksum")


def check_file(folder: Path, name: str) -> None:
    """Raise Damaged unless one file of a checkpoint has its checksum.

    A checkpoint that was not finished has no checksums yet, and passes.
    """
    expected = read_checksums(folder)
    if expected is not None:
        compare_checksum(folder, name, expected.get(name))


def find_damage(folder: Path) -> str | None:
    """Return what is wrong with a checkpoint's files, or None if all are sound.

    Raises:
        OSError: a file cannot be read, which is no damage: see `damage`.
    """
    if folder.is_file():
        return "it is a file, not a folder"
    try:
        expected = read_checksums(folder)
        if expected is None:
            return UNFINISHED
        for name, checksum in sorted(expected.items()):
            if not is_foreign(name):  # an earlier version listed such files too
                compare_checksum(folder, name, checksum)
        if MISLEADING not in expected and (folder / MISLEADING).exists():
            raise Damaged(f"{MISLEADING} does not belong to it")
    except Damaged as damage:
        return str(damage)
    return None
