"""The state that a run starts from: a checkpoint's, a warm start, or a new one."""

from typing import Any

import jax

from jaxgan.experiment import Experiment
from jaxgan.experiment.feed import Feed
from jaxgan.types import Gan, GanState
from jaxgan.workdir.checkpoint_manager import Checkpoints
from jaxgan.workdir.warm_start import Networks, read_networks, warm_start


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
    networks = check_init_from(experiment, feed, like)
    state = jax.jit(gan.init)(key)
    experiment.check_critic(feed.shape, feed.num_classes, state.critic.params)
    if networks:
        state = warm_start(state, networks)
    return state, {"sums": {}, "counts": {}, "seconds": 0.0}


def check_init_from(experiment: Experiment, feed: Feed, like: GanState) -> Networks:
    """Return the networks that `train.init_from` names, none if it is empty.

    `like` is the state at step 0, or only its shapes.

    Raises:
        UserError: `train.init_from` cannot be used.
    """
    if not experiment.init_from:
        return {}
    return read_networks(experiment, like, feed.shape)
