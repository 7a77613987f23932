"""Turns: pure state transformations, and how an algorithm is composed of them.

A turn is `(state, batch, key) -> (state, batch, metrics)`. What one turn makes and a
later one needs travels in the batch.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxgan.types import Array, Batch, GanState, Key, Metrics, Optimizer, PyTree

Player = Literal["generator", "critic"]
Turn = Callable[[GanState, Batch, Key], tuple[GanState, Batch, Metrics]]

CRITIC, GENERATOR = 0, 1  # folded into the step's key


class Outcome(NamedTuple):
    """What a loss finds out besides its value.

    Attributes:
        batch_stats: the player's new running statistics.
        metrics: scalars by name.
        made: what a later turn of the step needs, by its name in the batch.
    """

    batch_stats: PyTree
    metrics: Metrics
    made: Batch = {}  # noqa: RUF012 (never changed)


# (params, state, batch, key) -> loss [], its outcome
Loss = Callable[[PyTree, GanState, Batch, Key], tuple[Array, Outcome]]
# The same -> gradients of the params, the outcome
Gradient = Callable[[PyTree, GanState, Batch, Key], tuple[PyTree, Outcome]]


def turn(
    player: Player,
    loss: Loss,
    optimizer: Optimizer,
    axis_name: str | None = None,
    accumulate_steps: int = 1,
) -> Turn:
    """Return the turn in which `player` takes one optimizer step down its `loss`.

    The loss is a mean over the examples at hand; with `axis_name`, gradients and
    metrics are averaged over that mapped axis (running statistics are the same on all
    devices, because BatchNorm averages over it). With `accumulate_steps` the loss sees
    the batch in so many parts. Only the player's own
    parameters and running statistics change. What the loss made joins the batch.
    Adds the metric `learning_rate/<player>`.
    """
    gradient = jax.grad(loss, has_aux=True)
    if accumulate_steps > 1:
        gradient = accumulated(gradient, player, accumulate_steps)

    def take(state: GanState, batch: Batch, key: Key):
        network = getattr(state, player)
        gradients, outcome = gradient(network.params, state, batch, key)
        batch_stats, metrics, made = outcome
        if axis_name is not None:
            gradients, metrics = lax.pmean((gradients, metrics), axis_name)
        rate = optimizer.learning_rate(state.step)
        direction, opt_state = optimizer.tx.update(
            gradients, network.opt_state, network.params
        )
        updates = jax.tree.map(lambda d: (-rate * d).astype(d.dtype), direction)
        network = network.replace(
            params=optax.apply_updates(network.params, updates),
            batch_stats=batch_stats,
            opt_state=opt_state,
        )
        metrics = metrics | {f"learning_rate/{player}": rate}
        return state.replace(**{player: network}), batch | made, metrics

    return take


def accumulated(gradient: Gradient, player: Player, count: int) -> Gradient:
    """Return the function that takes a batch in `count` equal parts, one by one.

    Part k has the examples whose numbers are k modulo `count`: the same ones on any
    number of devices. Gradients and metrics are the means over the parts, so those of
    the whole batch where the loss is a mean over examples. BatchNorm is not: it
    normalises within a part, and its running statistics move once for each. What the
    loss made of the parts is put together again.
    """

    def apart(x: Array) -> Array:
        return x.reshape(-1, count, *x.shape[1:]).swapaxes(0, 1)

    def together(x: Array) -> Array:
        return x.swapaxes(0, 1).reshape(-1, *x.shape[2:])

    def of_parts(params: PyTree, state: GanState, batch: Batch, key: Key):
        network = getattr(state, player)

        def part(carry: tuple[PyTree, PyTree], batch: Batch):
            batch_stats, total = carry
            now = network.replace(batch_stats=batch_stats)
            gradients, (batch_stats, metrics, made) = gradient(
                params, state.replace(**{player: now}), batch, key
            )
            total = jax.tree.map(jnp.add, total, gradients)
            return (batch_stats, total), (metrics, made)

        zeros = jax.tree.map(jnp.zeros_like, params)
        parts = jax.tree.map(apart, batch)
        (batch_stats, total), (metrics, made) = lax.scan(
            part, (network.batch_stats, zeros), parts
        )
        return jax.tree.map(lambda x: x / count, total), Outcome(
            batch_stats,
            jax.tree.map(lambda x: x.mean(axis=0), metrics),
            jax.tree.map(together, made),
        )

    return of_parts


def chain(*turns: Turn) -> Turn:
    """Return the turn that takes `turns` one after the other, under one key."""

    def take(state: GanState, batch: Batch, key: Key):
        metrics: Metrics = {}
        for each in turns:
            state, batch, more = each(state, batch, key)
            metrics = metrics | more
        return state, batch, metrics

    return take


def alternate(critic_turn: Turn, generator_turn: Turn) -> Turn:
    """Return n_critic critic turns, each with new data, then one generator turn.

    The leading axis of every leaf of the batch is n_critic; the generator's turn
    gets the batch of the last critic turn. Critic turn i has the key
    `fold_in(fold_in(key, CRITIC), i)`, so no draw is shared between critic turns.
    Metrics of the critic come back with the leading axis n_critic.
    """

    def take(state: GanState, batch: Batch, key: Key):
        critic_key = jax.random.fold_in(key, CRITIC)

        def critic_step(state, numbered):
            index, batch = numbered
            state, _, metrics = critic_turn(
                state, batch, jax.random.fold_in(critic_key, index)
            )
            return state, metrics

        n_critic = jax.tree.leaves(batch)[0].shape[0]
        state, critic_metrics = lax.scan(
            critic_step, state, (jnp.arange(n_critic), batch)
        )
        last = jax.tree.map(lambda x: x[-1], batch)
        state, _, metrics = generator_turn(
            state, last, jax.random.fold_in(key, GENERATOR)
        )
        return state, batch, critic_metrics | metrics

    return take


def once(whole_turn: Turn) -> Turn:
    """Return the turn for batches whose leading axis, n_critic, is 1 and goes away."""

    def take(state: GanState, batch: Batch, key: Key):
        return whole_turn(state, jax.tree.map(lambda x: x[0], batch), key)

    return take


def clip_weights(clip: float) -> Turn:
    """Return the turn that clips every parameter of the critic to [-clip, clip].

    All of them, the scale and bias of BatchNorm included, as the authors of WGAN do
    (martinarjovsky main.py l.184-187). Metric `critic/weights_at_clip`: the share of
    the critic's parameters at the bound, in [0, 1].
    """

    def take(state: GanState, batch: Batch, key: Key):
        params = clipped(state.critic.params, clip)
        leaves = jax.tree.leaves(params)
        at_clip = sum(jnp.sum(jnp.abs(leaf) >= clip) for leaf in leaves)
        share = at_clip / sum(leaf.size for leaf in leaves)
        state = state.replace(critic=state.critic.replace(params=params))
        return state, batch, {"critic/weights_at_clip": share}

    return take


def clipped(params: PyTree, clip: float) -> PyTree:
    """Return `params` with every element clipped to [-clip, clip]."""
    return jax.tree.map(partial(jnp.clip, min=-clip, max=clip), params)


def average_generator(decay: float) -> Turn:
    """Return the turn that updates the moving average of the generator.

    `state.memory['average']` is {'params', 'batch_stats'} and becomes
    decay * average + (1 - decay) * generator.
    """

    def take(state: GanState, batch: Batch, key: Key):
        new = generator_variables(state)
        average = jax.tree.map(
            lambda old, now: decay * old + (1 - decay) * now,
            state.memory["average"],
            new,
        )
        memory = state.memory | {"average": average}
        return state.replace(memory=memory), batch, {}

    return take


def generator_variables(state: GanState) -> dict[str, PyTree]:
    """Return the generator's variables in the form that Linen's `apply` takes."""
    return {
        "params": state.generator.params,
        "batch_stats": state.generator.batch_stats,
    }


def sampled_variables(state: GanState) -> dict[str, PyTree]:
    """Return the variables to sample with: the moving average where one is kept."""
    return state.memory.get("average") or generator_variables(state)


def as_train_step(
    whole_turn: Turn, axis_name: str | None = None
) -> Callable[[GanState, Batch, Key], tuple[GanState, Metrics]]:
    """Return `train_step(state, batch, key)` of an algorithm's whole turn.

    It folds `state.step` into the run's key, and counts the step. Leaves of the batch
    are [n_critic, b, ...], with `axis_name` this device's share of them; `index`
    int32 [n_critic, b] joins it, the examples' numbers in the global batch, by which
    everything random is drawn.
    """

    def train_step(state: GanState, batch: Batch, key: Key):
        key = jax.random.fold_in(key, state.step)
        n_critic, count = jax.tree.leaves(batch)[0].shape[:2]
        first = 0 if axis_name is None else lax.axis_index(axis_name) * count
        index = first + jnp.arange(count, dtype=jnp.int32)
        index = jnp.broadcast_to(index, (n_critic, count))
        state, _, metrics = whole_turn(state, batch | {"index": index}, key)
        return state.replace(step=state.step + 1), metrics

    return train_step
