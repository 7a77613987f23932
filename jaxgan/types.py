"""The state of a GAN (arrays only) and the functions that make up a GAN."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from flax import struct

Array = jax.Array
Key = jax.Array  # a typed key, `jax.random.key(seed)`
PyTree = Any
Batch = dict[str, Any]
Metrics = dict[str, Array]
Schedule = Callable[[Array], Array]


class Network(struct.PyTreeNode):
    """All that training changes about one player.

    Attributes:
        params: parameters of the player's module.
        batch_stats: running statistics of its BatchNorm layers, `{}` without any.
        opt_state: state of its optax transformation.
    """

    params: PyTree
    batch_stats: PyTree
    opt_state: PyTree


class GanState(struct.PyTreeNode):
    """The whole state of training: a scan carry, a pmap argument, a checkpoint.

    Attributes:
        step: int32 [], generator updates so far.
        generator: the generator.
        critic: the critic.
        memory: what a GAN remembers besides its players, by name: 'average', the
            moving average of the generator; 'pool', CycleGAN's generated images.
    """

    step: Array
    generator: Network
    critic: Network
    memory: dict[str, PyTree] = struct.field(default_factory=dict)


class Gan(NamedTuple):
    """A GAN as pure functions; modules, optimizers and weights are closed over.

    Attributes:
        init: key -> state.
        train_step: (state, batch, key) -> (state, metrics). `key` is the run's; the
            step folds `state.step` into it. A metric is a scalar, or an array whose
            elements count alike in a mean (one for each critic step).
        sample: (state, batch, key) -> images by name. Of a WGAN `batch['label']` is
            int32 [n], and `batch['latents']` [n, z] replaces the drawn latents; of a
            CycleGAN the batch has the images 'a' and 'b' to translate.
        evaluate: (state, batch, key) -> metrics on held-out examples, maybe none.
    """

    init: Callable[[Key], GanState]
    train_step: Callable[[GanState, Batch, Key], tuple[GanState, Metrics]]
    sample: Callable[[GanState, Batch, Key], dict[str, Array]]
    evaluate: Callable[[GanState, Batch, Key], Metrics]


class Optimizer(NamedTuple):
    """A gradient transformation, and its learning rate as a function of the step.

    The rate is apart from `tx` because it follows the *generator's* step, also for
    the critic, which makes `n_critic` updates a step (wgan.md section 8, item 1).
    """

    tx: Any
    learning_rate: Schedule
