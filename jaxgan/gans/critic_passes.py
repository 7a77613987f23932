"""The critic's turn with fewer passes: what does not change is computed at once."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxgan.gans.players import Players
from jaxgan.turns import Turn, critic_keys, generator_variables
from jaxgan.types import Array, Batch, GanState, Key, PyTree

# Critic steps whose fakes are made at once; n_critic is 5 in the papers. The memory for
# the generator's layers grows with it, and WGAN's first generator steps have 100.
MOST_AT_ONCE = 10


def make_fakes(players: Players) -> Turn:
    """Return the turn that makes the fakes of all critic steps in one generator pass.

    It comes before `alternate` and adds `fake` [n_critic, b, *shape] to the batch. The
    generator does not change between the critic steps of an iteration, so these are the
    fakes that each critic step would make itself, from the same draws. With more than
    MOST_AT_ONCE critic steps, each does make its own.
    """

    def take(state: GanState, batch: Batch, key: Key):
        n_critic = batch["index"].shape[0]
        if n_critic > MOST_AT_ONCE:
            return state, batch, {}
        # A vmap, and not one batch of n_critic * b, from which BatchNorm would take its
        # statistics. JAX merges the batches where a layer treats all examples alike.
        own_keys = critic_keys(key, n_critic)
        fakes = jax.vmap(partial(generate, players, state))(batch, own_keys)
        return state, batch | {"fake": fakes}, {}

    return take


def fakes_for_critic(
    players: Players, state: GanState, batch: Batch, key: Key
) -> Array:
    """Return the fakes [b, *shape] of a critic's turn: `make_fakes`'s, or new ones."""
    return batch["fake"] if "fake" in batch else generate(players, state, batch, key)


def generate(players: Players, state: GanState, batch: Batch, key: Key) -> Array:
    """Return G(z, labels) [b, *shape], with new latents and the labels of the batch.

    So a conditional generator gets the labels of the real batch, as in igul222's
    gan_cifar_resnet.py.
    """
    latents = players.draw_latents(key, batch["index"])
    # The generator's new running statistics are dropped: its own turn updates them.
    return players.generate(generator_variables(state), latents, batch["label"])[0]


def score_both(
    score: Callable[[PyTree, Array], tuple[Any, ...]],
    batch_stats: PyTree,
    real: Array,
    fake: Array,
) -> tuple[list[Any], list[Any], PyTree]:
    """Return a critic's outputs for real examples and for fakes, and its statistics.

    In one pass over both, except with BatchNorm, which normalises real examples and
    fakes by separate statistics: WassersteinGAN, main.py l.189-207, and CycleGAN's
    backward_D_basic.

    Args:
        score: (running statistics, examples [b, ...]) -> (*outputs, new statistics).
        batch_stats: running statistics of the critic.
        real: [b, ...].
        fake: [b, ...].
    """
    if jax.tree.leaves(batch_stats):
        *of_real, batch_stats = score(batch_stats, real)
        *of_fake, batch_stats = score(batch_stats, fake)
        return of_real, of_fake, batch_stats
    *both, batch_stats = score(batch_stats, jnp.concatenate([real, fake]))
    count = real.shape[0]
    of_real = jax.tree.map(lambda x: x[:count], both)
    return of_real, jax.tree.map(lambda x: x[count:], both), batch_stats
