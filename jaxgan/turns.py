"""Turns: the steps of a GAN's algorithm as pure functions, and their composition.

A turn is `(state, batch, key) -> (state, batch, metrics)`. Within a `chain`, what one
turn computes and a later one needs travels in the batch. A whole algorithm then reads
like the paper's algorithm box. WGAN is
`alternate(chain(critic_turn, clip_weights(0.01)), generator_turn)`.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxgan.gradients import Loss, Player, accumulate_gradients
from jaxgan.types import Batch, GanState, Key, Metrics, Optimizer, PyTree

Turn = Callable[[GanState, Batch, Key], tuple[GanState, Batch, Metrics]]

# `alternate` folds them into the step's key, so that its two players share no draw.
CRITIC, GENERATOR = 0, 1


def turn(
    player: Player,
    loss: Loss,
    optimizer: Optimizer,
    axis_name: str | None = None,
    accumulate_steps: int = 1,
) -> Turn:
    """Return the turn in which `player` takes one optimizer step down its `loss`.

    Only this player's parameters, running statistics and optimizer state change.
    `Outcome.for_later_turns` joins the batch. Adds the metric
    `learning_rate/<player>` [].

    Args:
        player: whose parameters the loss is differentiated with respect to.
        loss: a mean over the examples of the batch that it is given; it is minimised.
        optimizer: its learning rate is taken at `state.step`, the generator's step.
        axis_name: the mapped axis of the devices, over which gradients and metrics
            are averaged; None on one device.
        accumulate_steps: number of micro-batches; must divide the batch on a device.
    """
    gradient = jax.grad(loss, has_aux=True)
    if accumulate_steps > 1:
        gradient = accumulate_gradients(gradient, player, accumulate_steps)

    def update_player(state: GanState, batch: Batch, key: Key):
        network = getattr(state, player)
        gradients, outcome = gradient(network.params, state, batch, key)
        batch_stats, metrics, for_later_turns = outcome
        if axis_name is not None:
            # Shares of the batch are equal, so the mean of their means is the whole
            # batch's. Running statistics are equal already: BatchNorm averages over
            # the axis in the forward pass. Without this line pmap would silently
            # return one device's values; the tests use vmap, which raises.
            gradients, metrics = lax.pmean((gradients, metrics), axis_name)
        # The rate is applied here and not in `tx`, because a schedule within `tx`
        # counts the updates of its own player: the critic's would end n_critic times
        # too early (docs/papers.md, "JAX, Flax and Optax").
        rate = optimizer.learning_rate(state.step)
        direction, opt_state = optimizer.tx.update(
            gradients, network.opt_state, network.params
        )
        # In float64 mode the rate is float64; the parameters keep their own type.
        updates = jax.tree.map(lambda d: (-rate * d).astype(d.dtype), direction)
        network = network.replace(
            params=optax.apply_updates(network.params, updates),
            batch_stats=batch_stats,
            opt_state=opt_state,
        )
        metrics = metrics | {f"learning_rate/{player}": rate}
        return state.replace(**{player: network}), batch | for_later_turns, metrics

    return update_player


def chain(*turns: Turn) -> Turn:
    """Return the turn that takes `turns` one after the other, under one key.

    Each turn gets the state and the batch of the one before. Their metrics are
    merged; of two with one name the later counts.
    """

    def take_turns(state: GanState, batch: Batch, key: Key):
        metrics: Metrics = {}
        for each in turns:
            state, batch, more = each(state, batch, key)
            metrics = metrics | more
        return state, batch, metrics

    return take_turns


def alternate(critic_turn: Turn, generator_turn: Turn) -> Turn:
    """Return n_critic critic turns, each with new data, then one generator turn.

    The two loops of WGAN's and WGAN-GP's Algorithm 1. Leaves of the batch are
    [n_critic, b, ...]; the generator's turn gets the last critic turn's [b, ...].
    The critic's turns have the keys `critic_keys`. Metrics of the critic come back as
    [n_critic].
    """

    def take_turns(state: GanState, batch: Batch, key: Key):
        def critic_step(state, batch_and_key):
            state, _, metrics = critic_turn(state, *batch_and_key)
            return state, metrics

        # A scan compiles the critic's turn once, where the 100 critic steps of WGAN's
        # start would be 100 copies. Metrics keep the n_critic axis: the loop averages
        # over all critic steps of a log line, whose n_critic may change (100, then 5).
        n_critic = jax.tree.leaves(batch)[0].shape[0]
        state, critic_metrics = lax.scan(
            critic_step, state, (batch, critic_keys(key, n_critic))
        )
        # No batch is read for the generator's turn: the papers' losses look at no real
        # data. It uses the size and the indices of this one.
        last = jax.tree.map(lambda x: x[-1], batch)
        state, _, metrics = generator_turn(
            state, last, jax.random.fold_in(key, GENERATOR)
        )
        return state, batch, critic_metrics | metrics

    return take_turns


def critic_keys(key: Key, n_critic: int) -> Key:
    """Return the keys [n_critic] that `alternate` gives to the critic's turns.

    Turn i has `fold_in(fold_in(key, CRITIC), i)`, so no draw is shared between turns.
    """
    critic_key = jax.random.fold_in(key, CRITIC)
    return jax.vmap(jax.random.fold_in, (None, 0))(critic_key, jnp.arange(n_critic))


def drop_n_critic_axis(whole_turn: Turn) -> Turn:
    """Return the turn that takes leaves [1, b, ...] and gives `whole_turn` [b, ...].

    Feed, devices and loop know one layout of a batch, [n_critic, b, ...]. CycleGAN
    takes one critic step an iteration, on the fakes of its generators' turn, so it
    has no inner loop to scan and drops the axis.
    """

    def take_turn(state: GanState, batch: Batch, key: Key):
        return whole_turn(state, jax.tree.map(lambda x: x[0], batch), key)

    return take_turn


def clip_weights(clip: float) -> Turn:
    """Return the turn that clips every parameter of the critic to [-clip, clip].

    WGAN (arXiv 1701.07875), Algorithm 1 line 7. Metric `critic/weights_at_clip` []:
    the share of the critic's parameters at the bound, in [0, 1].
    """

    # All parameters, the scale and bias of BatchNorm included, as the authors' code
    # does (martinarjovsky/WassersteinGAN, main.py l.184-187).
    def clip_critic(state: GanState, batch: Batch, key: Key):
        params = clip_params(state.critic.params, clip)
        # Clipping pushes the weights to its two bounds (WGAN-GP, figure 1b): how far
        # this has gone shows whether `clip` suits the network.
        leaves = jax.tree.leaves(params)
        at_clip = sum(jnp.sum(jnp.abs(leaf) >= clip) for leaf in leaves)
        share = at_clip / sum(leaf.size for leaf in leaves)
        state = state.replace(critic=state.critic.replace(params=params))
        return state, batch, {"critic/weights_at_clip": share}

    return clip_critic


def clip_params(params: PyTree, clip: float) -> PyTree:
    """Return `params` with every element clipped to [-clip, clip], shapes unchanged."""
    return jax.tree.map(partial(jnp.clip, min=-clip, max=clip), params)


def average_generator(decay: float) -> Turn:
    """Return the turn that updates the moving average of the generator.

    `state.memory['average']` is {'params', 'batch_stats'} and becomes
    decay * average + (1 - decay) * generator, with `decay` in [0, 1). Training never
    reads it; samples come from it. Not in the three papers: Progressive GAN (arXiv
    1710.10196), appendix A.1, has a decay of 0.999.
    """

    def update_average(state: GanState, batch: Batch, key: Key):
        # Running statistics are averaged as well: those of the latest weights do not
        # fit the average of the weights.
        average = optax.incremental_update(
            generator_variables(state), state.memory["average"], step_size=1 - decay
        )
        memory = state.memory | {"average": average}
        return state.replace(memory=memory), batch, {}

    return update_average


def generator_variables(state: GanState) -> dict[str, PyTree]:
    """Return {'params', 'batch_stats'} of the generator, as Linen's `apply` takes."""
    return {
        "params": state.generator.params,
        "batch_stats": state.generator.batch_stats,
    }


def sampling_variables(state: GanState) -> dict[str, PyTree]:
    """Return {'params', 'batch_stats'} to sample with: the moving average if kept."""
    return state.memory.get("average") or generator_variables(state)


def as_train_step(
    whole_turn: Turn, axis_name: str | None = None
) -> Callable[[GanState, Batch, Key], tuple[GanState, Metrics]]:
    """Return `train_step(state, batch, key)` of an algorithm's whole turn.

    It folds `state.step` into the run's key, and counts the step. Leaves of the batch
    are [n_critic, b, ...], with `axis_name` this device's share of them. `index`
    int32 [n_critic, b] joins the batch: the examples' numbers in the global batch, by
    which everything random is drawn.
    """

    def train_step(state: GanState, batch: Batch, key: Key):
        # The state holds no key, so a resumed run draws what it would have drawn.
        key = jax.random.fold_in(key, state.step)
        n_critic, count = jax.tree.leaves(batch)[0].shape[:2]
        # Device d has the contiguous share d of the batch, so its numbers, and all that
        # is drawn by them, are those of one device with the whole batch.
        first = 0 if axis_name is None else lax.axis_index(axis_name) * count
        index = first + jnp.arange(count, dtype=jnp.int32)
        index = jnp.broadcast_to(index, (n_critic, count))
        state, _, metrics = whole_turn(state, batch | {"index": index}, key)
        return state.replace(step=state.step + 1), metrics

    return train_step
