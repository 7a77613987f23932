"""Random keys as pure functions of seed, step, purpose and example.

The key of a draw is `fold_in` of the run's key with the step, the player and critic
step, the purpose and the example's index in the global batch. No key is state, and
none depends on the device, so resuming is exact and the number of devices is free.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxgan.types import Key

# Purposes: each draw within a turn folds its own number in.
LATENTS, INTERPOLATION, LABELS, DEQUANTIZATION, NOISE, POOL, DROPOUT = range(7)
# What a key of the run is used for besides the steps, which fold in 0, 1, 2, ...
INIT, SAMPLES, HELDOUT = 2**32 - 1, 2**32 - 2, 2**32 - 3


def example_keys(key: Key, count: int, axis_name: str | None = None) -> Key:
    """Return one key [count] for each example of this device's share of a batch.

    With `axis_name` the device's index is taken from that mapped axis, and the
    share's place in the global batch counted in: example i of device d has the key
    of example `d * count + i`.
    """
    first = 0 if axis_name is None else lax.axis_index(axis_name) * count
    return jax.vmap(jax.random.fold_in, (None, 0))(key, first + jnp.arange(count))


def draw(
    sampler: Callable[[Key], Any],
    key: Key,
    purpose: int,
    count: int,
    axis_name: str | None = None,
) -> Any:
    """Return `sampler(key of the example)` for each example, stacked [count, ...]."""
    keys = example_keys(jax.random.fold_in(key, purpose), count, axis_name)
    return jax.vmap(sampler)(keys)
