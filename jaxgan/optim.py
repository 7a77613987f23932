"""Optimizers of the papers, to the constants of their authors' frameworks.

optax's defaults are those of neither framework (docs/papers.md, "JAX, Flax and Optax").
"""

import jax.numpy as jnp
import optax

from jaxgan.errors import unknown
from jaxgan.types import Array, Optimizer, Schedule

NAMES = ("adam", "rmsprop", "rmsprop_tensorflow", "sgd")


def optimizer(
    *, name: str, learning_rate: float, b1: float, b2: float, decay_steps: int
) -> Optimizer:
    """Return the optimizer `name`, its rate decaying linearly over `decay_steps`.

    * `adam`: PyTorch's and optax's, eps 1e-8 outside the square root.
    * `rmsprop`: PyTorch's defaults, which WGAN's authors use: decay 0.99, eps 1e-8
      outside the square root, mean square from 0.
    * `rmsprop_tensorflow`: TensorFlow 1's, which igul222 uses: decay 0.9, eps 1e-10
      inside the square root, mean square from 1.
    * `sgd`: plain.

    Args:
        name: one of NAMES.
        learning_rate: the rate at step 0, >= 0.
        b1: decay of Adam's mean gradient, in [0, 1); ignored by the others.
        b2: decay of Adam's mean square, in [0, 1); ignored by the others.
        decay_steps: steps of the generator until the rate is 0; with 0 it is constant.

    Raises:
        UserError: `name` is none of these.
    """
    # The `scale_by_*` forms, without a learning rate: `turns.turn` applies the rate,
    # because it follows the generator's step also for the critic.
    if name == "adam":
        tx = optax.scale_by_adam(b1=b1, b2=b2, eps=1e-8)
    elif name == "rmsprop":
        # Two forms, because they differ most where training begins. From a mean square
        # of 0 the first update is 10 times the rate whatever the gradient's size
        # (1 / sqrt(1 - 0.99)); from one of 1 it is about rate times gradient.
        tx = optax.scale_by_rms(decay=0.99, eps=1e-8, eps_in_sqrt=False)
    elif name == "rmsprop_tensorflow":
        tx = optax.scale_by_rms(
            decay=0.9, eps=1e-10, eps_in_sqrt=True, initial_scale=1.0
        )
    elif name == "sgd":
        # For comparisons: Adam hides a gradient that is wrong by a factor.
        tx = optax.identity()
    else:
        raise unknown("optimizer.*.name", name, NAMES)
    return Optimizer(tx, linear_decay(learning_rate, decay_steps))


def linear_decay(learning_rate: float, decay_steps: int) -> Schedule:
    """Return step [] -> learning_rate * max(0, 1 - step / decay_steps) [].

    Constant for `decay_steps = 0`. `step` int32 counts generator updates, for the
    critic as well: igul222's gan_cifar_resnet.py feeds `iteration` to both.
    """

    # Not optax.linear_schedule. Compiled, it does not end at 0, because XLA turns the
    # division into a product: of 1e-4 over 2,000 steps, -5e-12 is left for all later
    # steps, a negative rate. And in float64 mode it divides in float32. Before the end
    # of the decay the two have the same bits.
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
    """Return step [] -> learning_rate * max(0, 1 - max(0, k - constant) / (decay + 1)).

    Step s begins at example s * batch_size of an endless stream, and k = 1, 2, ... is
    the epoch of that example. With an epoch of one example and a batch of one, k is
    s + 1. `decay = 0` keeps the rate.

    The `linear` policy of the official CycleGAN code: get_scheduler in
    models/networks.py, and update_learning_rate at the end of an epoch. A staircase:
    1 at epoch `constant`, decay / (decay + 1) at the next, 1 / (decay + 1) at the last.

    Args:
        learning_rate: the rate at step 0, >= 0.
        constant: epochs at this rate, 100 in the paper.
        decay: epochs in which it decays, 100 in the paper.
        epoch_examples: examples in an epoch.
        batch_size: examples in a step.
    """

    # The official code's rule has changed three times since 2017; this is its HEAD's.
    # From 2020 to 2025 it set the rate at the beginning of an epoch, and trained the
    # last one at rate 0 (docs/papers.md, "CycleGAN: optimizer and schedule"). Ours,
    # because optax's piecewise schedules interpolate, or want the 100 stairs listed.
    def schedule(step: Array) -> Array:
        if not decay:
            return jnp.asarray(learning_rate, jnp.result_type(float))
        # Not step * batch_size // epoch_examples: in int32 that product overflows.
        whole, rest = jnp.divmod(step, epoch_examples)
        epoch = 1 + whole * batch_size + rest * batch_size // epoch_examples
        over = jnp.maximum(0, epoch - constant).astype(jnp.result_type(float))
        return learning_rate * jnp.maximum(0.0, 1 - over / (decay + 1))

    return schedule
