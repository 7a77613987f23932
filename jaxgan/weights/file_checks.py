"""Checks of a file of weights before a network is built from it.

The file may be damaged or forged: its definition may have any type and size.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict

from jaxgan.errors import UserError, printable
from jaxgan.types import PyTree

# A critic with more layers that halve an image would take images of 2^20 pixels a side.
MOST_LAYERS = 16


def is_definition(player: str, network: Any) -> bool:
    """Return whether a value has the form of a network's definition."""
    if not isinstance(network, dict) or {"axis_name", "dtype"} & network.keys():
        return False
    channels = network.get("channels")
    counts: list[Any] = [channels, network.get("input_channels", channels)]
    if player == "critic":
        counts.append(network.get("num_layers"))
    return (
        isinstance(network.get("name"), str)
        and all(type(count) is int and count > 0 for count in counts)
        and counts[2:] <= [MOST_LAYERS]
        and all(type(value) in (str, int, float, bool) for value in network.values())
        and all(len(f"{name}{value}") < 100 for name, value in network.items())
        and all(math.isfinite(x) for x in network.values() if isinstance(x, float))
    )


def check_size(
    path: Path,
    arrays: Mapping[str, np.ndarray | jax.ShapeDtypeStruct],
    network: Mapping[str, Any],
) -> None:
    """Raise UserError for a network that is larger than its file.

    A forged file may describe a network that takes minutes to build, or whose sizes
    overflow.
    """
    layers = [network.get("num_layers", 0)]
    layers += map(int, re.findall(r"resnet_(\d{1,9})", network["name"]))
    if max(layers) > len(arrays):
        raise UserError(f"{path}: holds fewer arrays than its network has layers")
    numbers = sum(math.prod(array.shape) for array in arrays.values())
    sizes = [value for value in network.values() if type(value) is int]
    if max(sizes) > numbers:
        raise UserError(
            f"{path}: its network has a size of {printable(max(sizes))}, but the file "
            f"holds only {numbers:,} numbers"
        )


def check_finite(path: Path, variables: PyTree) -> None:
    """Raise UserError naming the first array that float32 cannot hold."""
    for name, array in flatten_dict(variables, sep="/").items():
        with np.errstate(over="ignore"):
            finite = np.isfinite(array.astype(np.float32))
        if not finite.all():
            raise UserError(
                f"{path}: array {name} has {np.sum(~finite):,} of {finite.size:,} "
                "numbers that are NaN, infinite or beyond float32; did its training "
                "fail?"
            )
