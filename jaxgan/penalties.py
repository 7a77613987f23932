"""Penalties on the critic's input gradient: (score, key, real, fake) -> scalar.

`score` maps examples [b, ...] to scores [b]; each score must depend on its own
example alone (`assert_examples_independent`), because the gradients of all examples
are taken at once as the gradient of the scores' sum. A penalty returns its value
before weighting, and the mean norm of the gradients it looked at. Random draws belong
to the examples by their `index` in the global batch, int32 [b]; 0, 1, ... by default.

The arithmetic is float32 at least, at matmul precision `highest`, whatever the
precision outside: lower precision makes the second-order gradient useless
(users.md section 6, item 4). float64 stays float64.
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
    """A penalty's value [] before weighting, and the mean gradient norm []."""

    value: Float[Array, ""]
    gradient_norm: Float[Array, ""]


def gradient_norms(score: Score, examples: Examples) -> Float[Array, " b"]:
    """Return ||grad_x D(x)||_2 for each example, over all axes but the first.

    The gradient of the norm at a zero gradient is taken as zero, where the plain
    square root gives NaN.
    """
    squares = squared_gradient_norms(score, examples)
    positive = squares > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1.0)), 0.0)


def squared_gradient_norms(score: Score, examples: Examples) -> Float[Array, " b"]:
    """Return ||grad_x D(x)||_2^2 for each example, over all axes but the first."""
    examples = at_least_float32(examples)
    with jax.default_matmul_precision("highest"):
        gradients = jax.grad(lambda x: jnp.sum(score(x)))(examples)
    gradients = at_least_float32(gradients)
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

    WGAN-GP (arXiv 1704.00028) equation 3 and Algorithm 1: one e ~ U[0, 1] for each
    example. `one_sided` takes max(0, ||.|| / target - 1)^2 (its appendix C).
    """
    index = numbers(real) if index is None else index
    epsilon = keys.draw(jax.random.uniform, key, keys.INTERPOLATION, index)
    real, fake = at_least_float32(real), at_least_float32(fake)
    epsilon = epsilon.astype(real.dtype).reshape((-1,) + (1,) * (real.ndim - 1))
    norms = gradient_norms(score, epsilon * real + (1 - epsilon) * fake)
    return distance_to_target(norms, target, one_sided)


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

    DRAGAN (arXiv 1705.07215v5) equation 1, with the paper's Gaussian noise of
    covariance c I (c ~ 10, weight ~ 10, target 1 there) around real examples; not the
    0.5 std U[0, 1) of its first code, which the authors call outdated
    (kodalinaveen3/DRAGAN issue 6). `fake` is not looked at.
    """
    del fake
    real = at_least_float32(real)
    noise = keys.draw(
        lambda k: jax.random.normal(k, real.shape[1:], real.dtype),
        key,
        keys.NOISE,
        numbers(real) if index is None else index,
    )
    norms = gradient_norms(score, real + jnp.sqrt(noise_variance) * noise)
    return distance_to_target(norms, target, one_sided)


def r1(
    score: Score,
    key: Key,
    real: Examples,
    fake: Examples,
    *,
    index: Index | None = None,
) -> Penalty:
    """Return E ||grad D(x)||_2^2 / 2 at real examples.

    Mescheder et al. (arXiv 1801.04406) equation 9; the weight is their gamma.
    `key`, `fake` and `index` are not looked at.
    """
    del key, fake, index
    squares = squared_gradient_norms(score, real)
    return Penalty(jnp.mean(squares) / 2, jnp.mean(jnp.sqrt(squares)))


def distance_to_target(
    norms: Float[Array, " b"], target: float, one_sided: bool
) -> Penalty:
    """Return E (norm / target - 1)^2, of norms above the target alone if one-sided."""
    distance = norms / target - 1
    if one_sided:
        distance = jnp.maximum(distance, 0)
    return Penalty(jnp.mean(jnp.square(distance)), jnp.mean(norms))


def numbers(examples: Examples) -> Index:
    """Return 0, 1, ... for the examples of a whole batch."""
    return jnp.arange(examples.shape[0])


def at_least_float32(x: Array) -> Array:
    """Return `x` in float32, or in float64 where it is float64."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def assert_examples_independent(score: Score, examples: Examples) -> None:
    """Raise UserError where a score depends on another example of the batch.

    Looks at d(score 0)/d(examples 1, 2, ...), which must be exactly zero: for such
    critics (BatchNorm, minibatch statistics) the gradient of one example's score is
    not defined by that example, and the penalty is not the paper's (section 4).
    """
    others = jax.jit(jax.grad(lambda x: score(x)[0]))(examples)[1:]
    if bool(jnp.any(others != 0)):
        raise UserError(
            "critic.name: the critic mixes the examples of a batch (BatchNorm or "
            "minibatch statistics), so no gradient penalty is defined; use "
            "LayerNorm or no normalisation"
        )
