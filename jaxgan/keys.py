"""Random keys as pure functions of seed, step, purpose and example.

The key of a draw is `fold_in` of the run's key with the step, the player and critic
step, the purpose and the example's number in the global batch. No key is state, and
none depends on the device, so resuming is exact and the number of devices is free.
"""

from collections.abc import Callable
from typing import Any

import jax

from jaxgan.types import Array, Key

# Purposes: each draw within a turn folds its own number in.
LATENTS, INTERPOLATION, LABELS, DEQUANTIZATION, NOISE, POOL, DROPOUT = range(7)
# What a key of the run is used for besides the steps, which fold in 0, 1, 2, ...
INIT, SAMPLES, HELDOUT = 2**32 - 1, 2**32 - 2, 2**32 - 3


def example_keys(key: Key, index: Array) -> Key:
    """Return one key [b] for each of the examples with numbers `index` int32 [b]."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, index)


def draw(sampler: Callable[[Key], Any], key: Key, purpose: int, index: Array) -> Any:
    """Return `sampler(key of the example)` for each example, stacked [b, ...].

    `index` int32 [b] has the examples' numbers in the global batch.
    """
    keys = example_keys(jax.random.fold_in(key, purpose), index)
    return jax.vmap(sampler)(keys)
