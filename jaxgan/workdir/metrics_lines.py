"""The lines of `metrics.jsonl` that a resumed run keeps."""

import sys
from pathlib import Path

from jaxgan.files import json_text, storage


def keep_lines(path: Path, step: int) -> None:
    """Keep the lines of `metrics.jsonl` up to `step`; create the file if there is none.

    The steps after `step` are taken again and write the same lines, so those lines are
    dropped. Lines that are not a run's are moved to `metrics.jsonl.damaged`, and
    reported on stderr, as is a missing file beside a checkpoint.

    Args:
        path: the file.
        step: the step of the checkpoint from which the run goes on; 0 without one.

    Raises:
        WriteFailed, OSError: the file cannot be read or written.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        if step:
            report(
                f"{path}: missing beside the checkpoint of step {step}; the lines up "
                "to there are lost"
            )
        # An empty file, so that a file that is missing at the next start was deleted.
        storage.write(path, "", durable=True)
        return
    kept, damaged = sort_lines(content, step)
    if damaged:
        aside = path.with_name(f"{path.name}.damaged")
        storage.append(aside, b"".join(line + b"\n" for line in damaged))
        count = len(damaged)
        lines = "1 line that is" if count == 1 else f"{count} lines that are"
        report(f"{path}: {lines} not of this run, moved to {aside}")
    if step == 0 and content.strip() and not damaged:
        report(f"{path}: no checkpoint is there, so its lines are written again")
    whole = b"".join(line + b"\n" for line in kept)
    if whole != content:
        storage.write(path, whole, durable=True)


def sort_lines(content: bytes, step: int) -> tuple[list[bytes], list[bytes]]:
    """Return the lines to keep, and those that are not a run's, in their order.

    A run's line is a JSON object with an integer `step` above that of the line before.
    Blank lines, and lines of steps after `step`, are in neither list.
    """
    kept: list[bytes] = []
    damaged: list[bytes] = []
    latest = 0
    for line in content.split(b"\n"):
        if not line.strip():
            continue
        number = step_of(line)
        if number is not None and number > step:
            continue
        if number is None or number <= latest:
            damaged.append(line)
            continue
        kept.append(line.removeprefix(b"\xef\xbb\xbf").rstrip())
        latest = number
    return kept, damaged


def step_of(line: bytes) -> int | None:
    """Return the step of a line of metrics, or None if it is not one."""
    try:
        number = json_text.parse_object(line).get("step")
    except ValueError:
        return None
    return number if type(number) is int else None


def report(text: str) -> None:
    """Print a line about the file on stderr."""
    print(f"jaxgan: {text}", file=sys.stderr)
