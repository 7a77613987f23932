"""The state of a GAN (arrays only) and the functions that make up a GAN."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from flax import struct

Array = jax.Array
Key = jax.Array  # a typed key, `jax.random.key(seed)`
PyTree = Any
Batch = dict[str, Any]
Metrics = dict[str, Array]
Schedule = Callable[[Array], Array]


class Network(struct.PyTreeNode):
    """All that training changes in one player, generator or critic.

    Attributes:
        params: parameters of the player's module.
        batch_stats: running statistics of its BatchNorm layers, `{}` if it has none.
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
        memory: what a GAN keeps besides its players, by name: 'average', the moving
            average of the generator; 'pool', CycleGAN's earlier generated images.
    """

    step: Array
    generator: Network
    critic: Network
    memory: dict[str, PyTree] = struct.field(default_factory=dict)


class LatentInputs(NamedTuple):
    """The inputs of `Gan.sample` for a GAN that draws examples from latents.

    Attributes:
        labels: int32 [n], one class for each sample; zeros without classes.
        latents: [n, z], or None to draw them from the key.
    """

    labels: Array | np.ndarray
    latents: Array | np.ndarray | None = None


class DomainImages(NamedTuple):
    """The inputs of `Gan.sample` and `Gan.evaluate` for a GAN that translates images.

    Attributes:
        a: images of domain a, uint8 [n, h, w, c], or floats in [-1, 1].
        b: images of domain b, likewise.
        truth_b: what the images `a` look like in domain b, if that is known.
        truth_a: what the images `b` look like in domain a.
    """

    a: Array | np.ndarray
    b: Array | np.ndarray
    truth_b: Array | np.ndarray | None = None
    truth_a: Array | np.ndarray | None = None


class Gan(NamedTuple):
    """A GAN as pure functions; modules, optimizers and weights are closed over.

    Attributes:
        init: key -> the state at step 0.
        train_step: (state, batch, key) -> (state, metrics). `key` is the run's key; the
            step folds `state.step` into it. A metric is a scalar, or an array with one
            element for each critic step.
        sample: (state, inputs, key) -> images by name. `inputs` are LatentInputs or
            DomainImages, depending on the GAN's family (`jaxgan.gans`).
        evaluate: (state, batch, key) -> metrics on held-out examples, {} for none. The
            batch is {'image', 'label'}, or DomainImages.
    """

    init: Callable[[Key], GanState]
    train_step: Callable[[GanState, Batch, Key], tuple[GanState, Metrics]]
    sample: Callable[[GanState, Any, Key], dict[str, Array]]
    evaluate: Callable[[GanState, Any, Key], Metrics]


class Optimizer(NamedTuple):
    """A gradient transformation, and its learning rate as a function of the step.

    The rate is not part of `tx`. An optax schedule inside the critic's `tx` would count
    the critic's updates: a step has n_critic of them, so a linear decay would reach
    zero n_critic times too early. `learning_rate` is a function of `GanState.step`,
    which counts the generator's updates (igul222's gan_cifar_resnet.py feeds both
    players the same `iteration`).
    """

    tx: optax.GradientTransformation
    learning_rate: Schedule
