"""Penalties on the critic's gradient with respect to its input.

A penalty is `(score, key, real, fake, *, index) -> Penalty`. `score` maps examples
[b, ...] to scores [b]; it closes over the critic's parameters, so that a penalty can be
tested in closed form with `lambda x: x @ w`, without a network. Each score must depend
only on its own example (`check_examples_independent`). `index` int32 [b] is the
examples' numbers in the global batch, by which random draws are made; 0, 1, ... by
default.

All arithmetic is float32 at least, and float64 where the examples are, whatever the
precision outside.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgan import keys
from jaxgan.errors import UserError
from jaxgan.types import Key

Score = Callable[[Float[Array, "b ..."]], Float[Array, " b"]]
Examples = Float[Array, "b ..."]
Index = Int[Array, " b"]


class Penalty(NamedTuple):
    """What a penalty returns.

    Attributes:
        value: the penalty [], >= 0, before it is weighted; a term of the critic's
            loss, which is minimised.
        gradient_norm: the mean norm [] of the gradients that it looked at, a metric.
    """

    value: Float[Array, ""]
    gradient_norm: Float[Array, ""]


def gradient_norms(score: Score, examples: Examples) -> Float[Array, " b"]:
    """Return ||grad_x D(x)||_2 of each example [b], over all axes but the first.

    `examples` is [b, ...]. The gradient of the norm at a zero gradient is zero.
    """
    # The square root's derivative is infinite at 0, which a zero-initialised output
    # layer reaches, and 0 * inf is NaN. The inner `where` keeps the infinity out of
    # the branch that is not taken, where the backward pass would meet it as well. An
    # eps in the root would move the norms: compare_gan's 1e-4 makes 0.01 of 0.
    squares = squared_gradient_norms(score, examples)
    positive = squares > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1.0)), 0.0)


def squared_gradient_norms(score: Score, examples: Examples) -> Float[Array, " b"]:
    """Return ||grad_x D(x)||_2^2 of each example [b], over all axes but the first."""
    examples = promote_to_float32(examples)
    # GPUs and TPUs multiply float32 matrices in TF32 or bfloat16 by default. The
    # penalty is trained through the gradient of a gradient, which such rounding makes
    # useless: in float16, StudioGAN's turns to NaN after about 1,500 steps (its issue
    # 175; docs/papers.md, "Penalties").
    with jax.default_matmul_precision("highest"):
        # Score i depends only on example i, so row i of the sum's gradient is its
        # gradient. A vmap of the gradient would hide a critic that mixes examples.
        # Training differentiates this once more, again in reverse mode. Forward over
        # reverse gives the same to 1e-15 in float64, but took 1.04 times as long for
        # the tutorial's critic (CPU), with 2 % more operations; and the convolutions'
        # own gradients (models/convolutions) have no forward mode.
        gradients = jax.grad(lambda x: jnp.sum(score(x)))(examples)
    gradients = promote_to_float32(gradients)
    # Public code that takes one axis of images, or one norm over the whole batch, has
    # another penalty than the paper's.
    return jnp.sum(jnp.square(gradients), axis=tuple(range(1, gradients.ndim)))


def gradient_penalty(
    score: Score,
    key: Key,
    real: Examples,
    fake: Examples,
    *,
    target: float = 1.0,
    one_sided: bool = False,
    index: Index | None = None,
) -> Penalty:
    """Return E (||grad D(x')||_2 / target - 1)^2 at x' = e x + (1 - e) G(z).

    WGAN-GP (arXiv 1704.00028) equation 3 and Algorithm 1, with one e ~ U[0, 1] for
    each example. `one_sided` takes max(0, ||.|| / target - 1)^2 (its appendix C).

    Args:
        score: examples [b, ...] -> scores [b].
        key: of this critic step.
        real: x [b, ...]. The penalty depends on the range of its values.
        fake: G(z) [b, ...].
        target: the norm at which the penalty is zero, > 0; 1 in the paper.
        one_sided: whether norms below `target` cost nothing.
        index: numbers [b] of the examples in the global batch.
    """
    index = example_indices(real) if index is None else index
    epsilon = keys.draw_per_example(jax.random.uniform, key, keys.INTERPOLATION, index)
    real, fake = promote_to_float32(real), promote_to_float32(fake)
    # [b, 1, ...]: one for each example. Public code with one for the whole batch
    # samples fewer lines; one for each pixel would leave the line between two images.
    epsilon = epsilon.astype(real.dtype).reshape((-1,) + (1,) * (real.ndim - 1))
    norms = gradient_norms(score, epsilon * real + (1 - epsilon) * fake)
    return norm_penalty(norms, target, one_sided)


def dragan(
    score: Score,
    key: Key,
    real: Examples,
    fake: Examples,
    *,
    noise_variance: float,
    target: float = 1.0,
    one_sided: bool = False,
    index: Index | None = None,
) -> Penalty:
    """Return E (||grad D(x + d)||_2 / target - 1)^2, d ~ N(0, noise_variance I).

    DRAGAN (arXiv 1705.07215v5) equation 1. There the covariance c I has c ~ 10, the
    weight is ~ 10 and the target 1.

    Arguments are those of `gradient_penalty`; of real and fake [b, ...] only the real
    examples are used. `noise_variance` is c, >= 0, in squared units of the examples.
    """
    del fake
    real = promote_to_float32(real)
    # The paper's Gaussian noise, not the 0.5 std U[0, 1) of its first code, which the
    # authors call outdated (kodalinaveen3/DRAGAN issue 6).
    noise = keys.draw_per_example(
        lambda k: jax.random.normal(k, real.shape[1:], real.dtype),
        key,
        keys.NOISE,
        example_indices(real) if index is None else index,
    )
    norms = gradient_norms(score, real + jnp.sqrt(noise_variance) * noise)
    return norm_penalty(norms, target, one_sided)


def r1(
    score: Score,
    key: Key,
    real: Examples,
    fake: Examples,
    *,
    index: Index | None = None,
) -> Penalty:
    """Return E ||grad D(x)||_2^2 / 2 at real examples [b, ...].

    Mescheder et al. (arXiv 1801.04406) equation 9; the weight is their gamma.
    `key`, `fake` and `index` are not used: nothing is drawn.
    """
    del key, fake, index
    squares = squared_gradient_norms(score, real)
    # This root needs no guard at 0: it is a metric, which nothing differentiates.
    return Penalty(jnp.mean(squares) / 2, jnp.mean(jnp.sqrt(squares)))


def norm_penalty(norms: Float[Array, " b"], target: float, one_sided: bool) -> Penalty:
    """Return E (norm / target - 1)^2 of norms [b]; one-sided, of those above target."""
    distance = norms / target - 1
    if one_sided:
        distance = jnp.maximum(distance, 0)
    return Penalty(jnp.mean(jnp.square(distance)), jnp.mean(norms))


def example_indices(examples: Examples) -> Index:
    """Return 0, 1, ..., b - 1 int32 [b] for a whole batch of examples [b, ...]."""
    return jnp.arange(examples.shape[0])


def promote_to_float32(x: Array) -> Array:
    """Return `x` [...] in float32, or in float64 where it is float64."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def check_examples_independent(score: Score, examples: Examples) -> None:
    """Check that a score depends on no other example of the batch.

    With BatchNorm or minibatch statistics, the gradient of one example's score is not
    defined by that example, and the penalty is not the paper's (WGAN-GP, section 4).

    Args:
        score: examples [b, ...] -> scores [b].
        examples: [b, ...], at least two.

    Raises:
        UserError: d(score 0)/d(examples 1, 2, ...) is not exactly zero.
    """
    others = jax.jit(jax.grad(lambda x: score(x)[0]))(examples)[1:]
    if bool(jnp.any(others != 0)):
        raise UserError(
            "critic.name: the critic mixes the examples of a batch (BatchNorm or "
            "minibatch statistics), so no gradient penalty is defined; use "
            "LayerNorm or no normalisation"
        )
