"""The data as the loop uses it: batches to train on, fixed examples to look at."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxgan.data import PairPlan, Plan, Source
from jaxgan.data.fingerprint import PartFacts
from jaxgan.data.memory import format_bytes
from jaxgan.runtime.device_data import DeviceData
from jaxgan.types import Batch, DomainImages, LatentInputs


class Feed(NamedTuple):
    """The data as the loop uses it.

    Attributes:
        shape: shape of one example.
        num_classes: number of classes; 0 without labels.
        plan: which examples make up a step.
        batches: calls -> their batches, one after another; plans of them if there is
            `device_data`.
        heldout: the batch for `Gan.evaluate`.
        fixed: the inputs for `Gan.sample`.
        picture: what `Gan.sample` returned for `fixed` -> uint8 [h, w, 1 | 3].
        about: lines about the examples: their number and shape, and what was left out.
        device_data: the examples to keep on the devices, if batches are made there.
        fingerprint: () -> {part: its number of examples and their digest}.
    """

    shape: tuple[int, ...]
    num_classes: int
    plan: Plan | PairPlan
    batches: Callable[[Iterable[range]], Iterator[Batch]]
    heldout: Batch | DomainImages
    fixed: LatentInputs | DomainImages
    picture: Callable[[dict[str, Any]], np.ndarray]
    about: list[str]
    device_data: DeviceData | None
    fingerprint: Callable[[], dict[str, PartFacts]]


def describe_device_data(device_data: DeviceData | None) -> list[str]:
    """Return the line about the examples on the devices, or none without any."""
    if device_data is None:
        return []
    size = format_bytes(device_data.num_bytes)
    return [f"the training examples are kept on the device ({size})"]


def stack_examples(source: Source, indices: np.ndarray) -> dict[str, np.ndarray]:
    """Return the examples of a source at int `indices` [n], stacked [n, ...]."""
    rows = [source[int(index)] for index in indices]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
