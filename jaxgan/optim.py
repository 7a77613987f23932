"""Optimizers of the papers, to the constants of their authors' frameworks."""

import jax.numpy as jnp
import optax

from jaxgan.errors import unknown
from jaxgan.types import Array, Optimizer, Schedule

NAMES = ("adam", "rmsprop", "rmsprop_tensorflow", "sgd")


def optimizer(
    *, name: str, learning_rate: float, b1: float, b2: float, decay_steps: int
) -> Optimizer:
    """Return the optimizer `name`; `b1` and `b2` are Adam's and ignored by others.

    * `adam`: PyTorch's and optax's, eps 1e-8 outside the square root.
    * `rmsprop`: PyTorch's defaults, which WGAN's authors use: decay 0.99, eps 1e-8
      outside the square root, mean square from 0.
    * `rmsprop_tensorflow`: TensorFlow 1's, which igul222 uses: decay 0.9, eps 1e-10
      inside the square root, mean square from 1.
    * `sgd`: plain.

    Raises:
        UserError: `name` is none of these.
    """
    if name == "adam":
        tx = optax.scale_by_adam(b1=b1, b2=b2, eps=1e-8)
    elif name == "rmsprop":
        tx = optax.scale_by_rms(decay=0.99, eps=1e-8, eps_in_sqrt=False)
    elif name == "rmsprop_tensorflow":
        tx = optax.scale_by_rms(
            decay=0.9, eps=1e-10, eps_in_sqrt=True, initial_scale=1.0
        )
    elif name == "sgd":
        tx = optax.identity()
    else:
        raise unknown("optimizer.*.name", name, NAMES)
    return Optimizer(tx, linear_decay(learning_rate, decay_steps))


def linear_decay(learning_rate: float, decay_steps: int) -> Schedule:
    """Return step -> learning_rate * max(0, 1 - step / decay_steps).

    Constant for `decay_steps = 0`. `step` counts generator updates, for the critic
    as well (igul222's gan_cifar_resnet.py feeds `iteration` to both).
    """

    def schedule(step: Array) -> Array:
        if not decay_steps:
            return jnp.asarray(learning_rate, jnp.result_type(float))
        done = step.astype(jnp.result_type(float)) / decay_steps
        return learning_rate * jnp.maximum(0.0, 1 - done)

    return schedule


def constant_then_decay(
    learning_rate: float,
    constant: int,
    decay: int,
    *,
    epoch_examples: int = 1,
    batch_size: int = 1,
) -> Schedule:
    """Return step -> learning_rate * (1 - max(0, k - constant) / (decay + 1)), >= 0.

    k = 1, 2, ... is the epoch of the step, which begins at example step * batch_size
    of an endless stream; with an epoch of one example it is the step. `decay = 0`
    keeps the rate. Upstream's `linear` policy at its HEAD (get_scheduler, and
    update_learning_rate at the end of an epoch): a staircase that is 1 at epoch
    `constant`, decay / (decay + 1) at the next, 1 / (decay + 1) at the last.
    """

    def schedule(step: Array) -> Array:
        if not decay:
            return jnp.asarray(learning_rate, jnp.result_type(float))
        whole, rest = jnp.divmod(step, epoch_examples)  # no product that overflows
        epoch = 1 + whole * batch_size + rest * batch_size // epoch_examples
        over = jnp.maximum(0, epoch - constant).astype(jnp.result_type(float))
        return learning_rate * jnp.maximum(0.0, 1 - over / (decay + 1))

    return schedule
