"""Random keys as pure functions of seed, step, purpose and example.

The key of a draw is `fold_in` of the run's key with the step, the player and critic
step, the purpose, and the example's number in the global batch. No key is state, so a
resumed run draws what an uninterrupted one would have drawn. None depends on the
device, so neither does any draw on the number of devices.
"""

from collections.abc import Callable
from typing import Any

import jax

from jaxgan.types import Array, Key

# Purposes. Within one turn each kind of draw folds its own number in, so that, for
# example, latents and interpolation are independent although they share the turn's key.
LATENTS, INTERPOLATION, LABELS, DEQUANTIZATION, NOISE, POOL, DROPOUT = range(7)
# Constants folded into the run's key outside training steps: for the first parameters,
# pictures of samples, and held-out metrics. Steps fold in their number 0, 1, 2, ...,
# an int32, which never reaches these.
INIT, SAMPLES, HELDOUT = 2**32 - 1, 2**32 - 2, 2**32 - 3


def example_keys(key: Key, index: Array) -> Key:
    """Return one key for each example [b].

    `index` int32 [b] has the examples' numbers in the global batch.
    """
    return jax.vmap(jax.random.fold_in, (None, 0))(key, index)


def draw_per_example(
    sampler: Callable[[Key], Any], key: Key, purpose: int, index: Array
) -> Any:
    """Return `sampler(key of the example)` for each example, stacked [b, ...].

    Args:
        sampler: key -> one example's draw, an array [...] or a tree of arrays.
        key: of the turn or of the critic step.
        purpose: LATENTS, INTERPOLATION, ...
        index: numbers int32 [b] of the examples in the global batch.
    """
    # Not one call for [b, ...]: by it, each device would draw the values of the first
    # b examples, whichever share of the batch it has.
    keys = example_keys(jax.random.fold_in(key, purpose), index)
    return jax.vmap(sampler)(keys)
