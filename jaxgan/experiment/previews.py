"""Samples, held-out examples and scores: what the loop and the verbs draw alike."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxgan import data, keys, pixels
from jaxgan.files import pictures
from jaxgan.runtime import devices
from jaxgan.types import Batch, Gan, GanState, Key


def stack(source: data.Source, indices: np.ndarray) -> dict[str, np.ndarray]:
    """Return the examples of a source at int `indices` [n], stacked [n, ...]."""
    rows = [source[int(i)] for i in indices]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def sample_labels(config: ConfigDict, num_classes: int, count: int) -> np.ndarray:
    """Return labels int32 [count]: a class after the other, zeros without classes."""
    classes = num_classes if config.gan.get("conditional", False) else 1
    return (np.arange(count) % classes).astype(np.int32)


def draw_samples(
    sample: Callable[..., Any], state: GanState, labels: np.ndarray, key: Key
) -> np.ndarray:
    """Return samples [n, *shape], floats, one for each label, from a run's key."""
    key = jax.random.fold_in(key, keys.SAMPLES)
    alone = devices.on_one_device(state)
    return np.asarray(sample(alone, {"label": labels}, key)["samples"])


def draw_many(
    gan: Gan, state: GanState, labels: np.ndarray, seed: int, batch_size: int = 64
) -> np.ndarray:
    """Return samples [n, *shape], drawn in batches of `batch_size`.

    Every batch is full, so that with batch statistics each sample has as many
    neighbours as the others; what is drawn too much is dropped.
    """
    sample = jax.jit(gan.sample)
    padded = np.resize(labels, -(-len(labels) // batch_size) * batch_size)
    drawn = [
        draw_samples(
            sample,
            state,
            padded[first : first + batch_size],
            jax.random.fold_in(jax.random.key(seed), first),
        )
        for first in range(0, len(padded), batch_size)
    ]
    return np.concatenate(drawn)[: len(labels)]


def as_picture(drawn: np.ndarray, value_range: str, real: np.ndarray) -> np.ndarray:
    """Return samples as a picture: a grid of images, or points over real points."""
    if drawn.ndim == 2:
        return pictures.scatter(drawn, real)
    return pictures.grid(pixels.to_uint8(drawn, value_range))


def heldout_pair(pair: data.Pair, count: int) -> Batch:
    """Return held-out images 'a' and 'b' of two domains, `count` of each at most.

    They are spread evenly over the sets. Where the truth is known, 'truth_b' is what
    'a' looks like in domain b, and 'truth_a' the other way round.
    """
    batch = {}
    for name, source in (("a", pair.heldout_a), ("b", pair.heldout_b)):
        some = np.linspace(0, len(source) - 1, min(count, len(source)))
        batch[name] = stack(source, np.rint(some).astype(int))["image"]
    if pair.truth:
        batch |= {"truth_a": batch["a"], "truth_b": batch["b"]}
    return batch


def rows(batch: Batch, drawn: dict[str, Any]) -> np.ndarray:
    """Return a picture of translations: a row an image, real, translated, back again.

    First the images of a, then those of b; the truth comes last where it is known.
    """
    parts = []
    for real, there, back, truth in (
        ("a", "a2b", "a2b2a", "truth_b"),
        ("b", "b2a", "b2a2b", "truth_a"),
    ):
        made = [pixels.to_uint8(drawn[name], "symmetric") for name in (there, back)]
        columns = [batch[real], *made, *([batch[truth]] if truth in batch else [])]
        cells = np.stack(columns, axis=1)
        cells = cells.reshape(-1, *cells.shape[2:])
        parts.append(pictures.grid(cells, columns=len(columns)))
    gap = np.full((2, *parts[0].shape[1:]), 128, np.uint8)
    return np.concatenate([parts[0], gap, parts[1]])
