"""Gradients of a player's loss: what a loss is, and accumulation over micro-batches."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxgan.types import Array, Batch, GanState, Key, Metrics, PyTree

Player = Literal["generator", "critic"]


class Outcome(NamedTuple):
    """What a loss returns besides its value.

    Attributes:
        batch_stats: the player's new running statistics.
        metrics: scalars [] by name.
        for_later_turns: arrays [b, ...] by the name that they get in the batch.
    """

    batch_stats: PyTree
    metrics: Metrics
    # CycleGAN's fakes. Were the critics' turn to generate them again, XLA would not
    # merge the two passes: 21 convolutions where 17 suffice, 30 % more work.
    for_later_turns: Batch = {}  # noqa: RUF012 (never changed)


# (params, state, batch, key) -> loss [], its outcome
Loss = Callable[[PyTree, GanState, Batch, Key], tuple[Array, Outcome]]
# The same -> gradients of the params, the outcome
Gradient = Callable[[PyTree, GanState, Batch, Key], tuple[PyTree, Outcome]]


def accumulate_gradients(gradient: Gradient, player: Player, count: int) -> Gradient:
    """Return the gradient function that takes a batch as `count` micro-batches.

    Leaves of the batch are [b, ...], and `count` must divide b. Gradients and metrics
    are the means over the micro-batches, which are those of the whole batch where the
    loss is a mean over examples. BatchNorm is not: it normalises within a micro-batch,
    and its running statistics move once for each. `Outcome.for_later_turns` comes
    back in the order of the batch.
    """

    # Micro-batch k has the examples whose numbers are k modulo `count`. Devices have
    # contiguous shares of the batch, so only this gives the same micro-batches, and
    # the same BatchNorm, on any number of devices.
    def split(x: Array) -> Array:
        """Return [b, ...] as [count, b / count, ...]."""
        return x.reshape(-1, count, *x.shape[1:]).swapaxes(0, 1)

    def merge(x: Array) -> Array:
        """Return [count, b / count, ...] as [b, ...], in the order before `split`."""
        return x.swapaxes(0, 1).reshape(-1, *x.shape[2:])

    def mean_gradient(params: PyTree, state: GanState, batch: Batch, key: Key):
        network = getattr(state, player)

        def add_micro_batch(carry: tuple[PyTree, PyTree], micro_batch: Batch):
            batch_stats, total = carry
            now = network.replace(batch_stats=batch_stats)
            # All under one key: draws differ by the examples' own indices.
            gradients, (batch_stats, metrics, for_later_turns) = gradient(
                params, state.replace(**{player: now}), micro_batch, key
            )
            total = jax.tree.map(jnp.add, total, gradients)
            return (batch_stats, total), (metrics, for_later_turns)

        # A scan, so that the activations of one micro-batch are in memory at a time;
        # gradients are summed in its carry, not stacked, for the same reason.
        zeros = jax.tree.map(jnp.zeros_like, params)
        micro_batches = jax.tree.map(split, batch)
        (batch_stats, total), (metrics, for_later_turns) = lax.scan(
            add_micro_batch, (network.batch_stats, zeros), micro_batches
        )
        return jax.tree.map(lambda x: x / count, total), Outcome(
            batch_stats,
            jax.tree.map(lambda x: x.mean(axis=0), metrics),
            jax.tree.map(merge, for_later_turns),
        )

    return mean_gradient
