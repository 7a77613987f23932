"""The state that a run starts from: a checkpoint's, a warm start, or a new one."""

from typing import Any

import jax

from jaxgan.experiment import Experiment
from jaxgan.experiment.feed import Feed
from jaxgan.types import Gan, GanState
from jaxgan.workdir.checkpoint_manager import Checkpoints
from jaxgan.workdir.warm_start import read_networks, warm_start


def restore_or_init(
    experiment: Experiment, gan: Gan, feed: Feed, checkpoints: Checkpoints
) -> tuple[GanState, dict[str, Any]]:
    """Return the state to start from, and the loop's own numbers.

    The state comes from the newest sound checkpoint. Without one it is new, with the
    networks of `init_from` if that is given.
    """
    key = jax.random.key(experiment.seed)
    like = jax.eval_shape(gan.init, key)
    restored = checkpoints.restore(like)
    if restored is not None:
        return restored
    # Before the first function is compiled, which may take a minute.
    networks = {}
    if experiment.init_from:
        networks = read_networks(experiment, like, feed.shape)
    state = jax.jit(gan.init)(key)
    experiment.check_critic(feed.shape, feed.num_classes, state.critic.params)
    if networks:
        state = warm_start(state, networks)
    return state, {"sums": {}, "counts": {}, "seconds": 0.0}


def check_init_from(experiment: Experiment) -> None:
    """Raise UserError if `train.init_from` cannot be used; for a dry run."""
    if experiment.init_from:
        feed = experiment.feed(experiment.load_data())
        gan = experiment.gan(feed.shape, feed.num_classes)
        like = jax.eval_shape(gan.init, jax.random.key(experiment.seed))
        read_networks(experiment, like, feed.shape)
