"""Samples, held-out examples and scores: what the loop and the verbs draw alike."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxgan import data, images, keys, parallel
from jaxgan.types import Gan, GanState, Key


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
    alone = parallel.on_one_device(state)
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
        return images.scatter(drawn, real)
    return images.grid(images.encode(drawn, value_range))
