"""The loop's own numbers, which a checkpoint holds as JSON beside the arrays."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from jaxgan.files import json_text
from jaxgan.workdir.damage import Damaged, read_file

FILE_NAME = "loop/metadata"  # as Orbax names it
Loop = dict[str, Any]


class Key(NamedTuple):
    """One key of the loop's numbers.

    Attributes:
        accepts: returns whether a value can be the key's.
        words: what the value must be, for the message.
        required: whether every checkpoint has the key.
    """

    accepts: Callable[[Any], bool]
    words: str
    required: bool = True


def is_whole(value: Any) -> bool:
    """Return whether a value is an integer of 0 or more."""
    return type(value) is int and value >= 0


def is_finite(value: Any) -> bool:
    """Return whether a value is a finite number."""
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:  # an integer above 1.8e308
        return False


def is_shape(value: Any) -> bool:
    """Return whether a value is a list of sizes of 1 or more."""
    return isinstance(value, list) and all(is_whole(n) and n > 0 for n in value)


def is_table(accepts: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return a function that tells whether all values of an object are accepted."""
    return lambda value: isinstance(value, dict) and all(map(accepts, value.values()))


def is_part(value: Any) -> bool:
    """Return whether a value is what `data.fingerprint` tells of a part of the data."""
    return (
        isinstance(value, dict)
        and is_whole(value.get("count"))
        and isinstance(value.get("digest"), str)
    )


# A key that was added later is not required: older checkpoints can be resumed.
KEYS = {
    "digest": Key(lambda value: isinstance(value, str), "a text"),
    "shape": Key(is_shape, "a list of sizes"),
    "num_classes": Key(is_whole, "a number of classes"),
    "sums": Key(is_table(is_finite), "numbers by metric"),
    "counts": Key(is_table(is_whole), "counts by metric"),
    "seconds": Key(is_finite, "a number"),
    "data": Key(is_table(is_part), "counts and digests by part", required=False),
    "fields": Key(is_table(lambda _: True), "values by field", required=False),
}


def parse_loop(content: bytes) -> Loop:
    """Return the loop's numbers from the content of FILE_NAME.

    Raises:
        Damaged: names the first key that is missing or has a wrong value.
    """
    try:
        loop = json_text.parse_object(content)
    except ValueError as error:
        raise Damaged(f"{FILE_NAME} is not readable") from error
    for name, key in KEYS.items():
        if name not in loop:
            if key.required:
                raise Damaged(f"{FILE_NAME} lacks {name}")
        elif not key.accepts(loop[name]):
            raise Damaged(f"{FILE_NAME}: {name} is not {key.words}")
    if loop["sums"].keys() != loop["counts"].keys():
        raise Damaged(f"{FILE_NAME}: sums and counts are of different metrics")
    return loop


def read_loop(folder: Path) -> Loop:
    """Return the loop's numbers from the folder of one checkpoint.

    Raises:
        Damaged: they are missing, or not what a run writes.
        OSError: the file cannot be read, which is no damage.
    """
    return parse_loop(read_file(folder, FILE_NAME))
