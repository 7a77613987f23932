"""Checksums of a checkpoint's files, which reveal even one flipped byte.

Orbax has checksums only for shard indices: a checkpoint with a flipped byte in its
largest file restores wrong values without an error.
"""

import hashlib
import json
from pathlib import Path

from jaxgan.files import storage

FILE_NAME = "checksums.json"
UNFINISHED = "it was not finished"


def compute_checksums(folder: Path) -> dict[str, str]:
    """Return {path relative to `folder`: SHA-256} of all files except FILE_NAME."""
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in storage.list_files(folder)
        if Path(name).name != FILE_NAME
    }


def write_checksums(folder: Path) -> None:
    """Write the checksums of a finished checkpoint; the file is never half written."""
    checksums = compute_checksums(folder)
    storage.write(folder / FILE_NAME, json.dumps(checksums, indent=1))


def find_damage(folder: Path) -> str | None:
    """Return what is wrong with a checkpoint, or None if all its files are sound."""
    try:
        expected = json.loads((folder / FILE_NAME).read_text())
    except FileNotFoundError:
        return UNFINISHED
    except ValueError:
        return f"{FILE_NAME} is not readable"
    found = compute_checksums(folder)
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            return f"{name} is missing"
        if expected.get(name) != found[name]:
            return f"{name} does not match its checksum"
    return None
