"""Checksums of our own for a folder: one flipped byte in any file is found."""

import hashlib
import json
from pathlib import Path

from jaxgan.files import storage

SUMS = "checksums.json"
UNFINISHED = "it was not finished"


def sums_of(path: Path) -> dict[str, str]:
    """Return {file, relative to path: SHA-256} for every file but the sums' own."""
    return {
        name: hashlib.sha256((path / name).read_bytes()).hexdigest()
        for name in storage.list_files(path)
        if Path(name).name != SUMS
    }


def write_sums(path: Path) -> None:
    """Write the checksums of a finished checkpoint, all or nothing."""
    storage.write(path / SUMS, json.dumps(sums_of(path), indent=1))


def damage(path: Path) -> str | None:
    """Return what is wrong with a checkpoint, None for a sound one."""
    try:
        expected = json.loads((path / SUMS).read_text())
    except FileNotFoundError:
        return UNFINISHED
    except ValueError:
        return f"{SUMS} is not readable"
    found = sums_of(path)
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            return f"{name} is missing"
        if expected.get(name) != found[name]:
            return f"{name} has another checksum"
    return None
