"""Penalties in closed form, without networks, and their second-order gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import keys, penalties
from jaxgan.errors import UserError

KEY = jax.random.key(0)


def pair(shape, dtype=jnp.float32):
    real, fake = jax.random.normal(jax.random.key(1), (2, *shape), dtype)
    return real, fake


def linear(w):
    return lambda x: jnp.tensordot(x, w, axes=x.ndim - 1)


def bilinear(x):
    """D(x) = |x|^2 / 2: the gradient is x."""
    return jnp.sum(jnp.square(x), axis=tuple(range(1, x.ndim))) / 2


@pytest.mark.parametrize("shape", [(5, 3), (4, 6, 2), (3, 4, 5, 2)])
def test_linear_critic_has_penalty_norm_minus_one_squared(shape):
    w = jax.random.normal(jax.random.key(2), shape[1:])
    value, norm = penalties.gradient_penalty(linear(w), KEY, *pair(shape))
    expected = float(np.linalg.norm(np.ravel(w)))
    assert norm == pytest.approx(expected, rel=1e-6)
    assert value == pytest.approx((expected - 1) ** 2, rel=1e-5)


# D(x) = 2 x over four inputs has norm 4: TF-GAN, losses_impl_test.py
# GradientPenaltyTest has the same three values.
@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, 9.0), ({"target": 2.0}, 1.0), ({"one_sided": True}, 9.0)],
)
def test_tf_gans_golden_values(options, expected):
    score = linear(jnp.full(4, 2.0))
    value, norm = penalties.gradient_penalty(score, KEY, *pair((8, 4)), **options)
    assert value == pytest.approx(expected, rel=1e-6)
    assert norm == pytest.approx(4.0, rel=1e-6)


def test_one_sided_costs_nothing_below_the_target():
    score = linear(jnp.full(4, 0.25))  # norm 0.5
    two = penalties.gradient_penalty(score, KEY, *pair((8, 4)))
    one = penalties.gradient_penalty(score, KEY, *pair((8, 4)), one_sided=True)
    assert two.value == pytest.approx(0.25)
    assert one.value == 0.0


@pytest.mark.parametrize("penalty", ["gradient_penalty", "dragan", "r1"])
def test_zero_critic_is_finite_with_finite_gradients(penalty):
    function = getattr(penalties, penalty)
    options = {"noise_variance": 1.0} if penalty == "dragan" else {}

    def value(w):
        return function(linear(w), KEY, *pair((8, 4)), **options).value

    found, gradient = jax.value_and_grad(value)(jnp.zeros(4))
    assert found == (0.0 if penalty == "r1" else 1.0)
    assert np.all(np.isfinite(gradient))


def test_interpolates_lie_between_with_one_epsilon_an_example():
    real, fake = jnp.ones((6, 4, 4, 1)), jnp.zeros((6, 4, 4, 1))
    seen = []

    def score(x):
        jax.debug.callback(lambda v: seen.append(np.asarray(v)), x)
        return jnp.sum(x, axis=(1, 2, 3))

    penalties.gradient_penalty(score, KEY, real, fake)
    jax.effects_barrier()
    points = seen[0].reshape(6, -1)
    assert np.all(points.std(axis=1) == 0)  # one epsilon for all of an example
    assert len(np.unique(points[:, 0])) == 6  # another for the next example
    assert points.min() >= 0
    assert points.max() <= 1


def test_epsilon_is_uniform():
    """The gradient of |x|^2 / 2 is x, so norms at (1, 0) are epsilon itself."""
    real, fake = jnp.ones((4096, 1)), jnp.zeros((4096, 1))
    epsilon = jnp.linalg.norm(
        keys.draw_per_example(
            jax.random.uniform, KEY, keys.INTERPOLATION, jnp.arange(4096)
        )[:, None],
        axis=1,
    )
    value, norm = penalties.gradient_penalty(bilinear, KEY, real, fake)
    assert norm == pytest.approx(float(epsilon.mean()), rel=1e-5)
    assert norm == pytest.approx(0.5, abs=0.02)
    assert value == pytest.approx(1 / 3, abs=0.02)  # E (e - 1)^2


def test_dragan_noise_has_the_given_variance():
    """With D = |x|^2 / 2 at x = 0, E norm^2 = n c; here n = 64 and c = 10."""
    real = jnp.zeros((2048, 64))
    found = penalties.dragan(bilinear, KEY, real, real, noise_variance=10.0, target=1.0)
    # E (r - 1)^2 = E r^2 - 2 E r + 1
    assert found.value + 2 * found.gradient_norm - 1 == pytest.approx(640, rel=0.01)


def test_r1_is_half_the_mean_squared_norm_at_real_examples():
    w = jnp.array([3.0, 4.0])
    real, fake = pair((8, 2))
    value, norm = penalties.r1(linear(w), KEY, real, fake)
    assert value == pytest.approx(12.5)
    assert norm == pytest.approx(5.0)
    value, _ = penalties.r1(bilinear, KEY, real, fake)
    assert value == pytest.approx(float(jnp.mean(jnp.sum(real**2, axis=1))) / 2)


def small_critic(params, x):
    hidden = jnp.tanh(x @ params["in"] + jnp.broadcast_to(params["bias"], (len(x), 5)))
    return hidden @ params["out"]


def parameters(dtype):
    first, second, third = jax.random.split(jax.random.key(3), 3)
    return {
        "in": jax.random.normal(first, (4, 5), dtype),
        "bias": jax.random.normal(second, (5,), dtype),
        "out": jax.random.normal(third, (5,), dtype),
    }


@pytest.mark.parametrize("penalty", ["gradient_penalty", "dragan", "r1"])
def test_second_order_gradient_against_finite_differences(penalty):
    function = getattr(penalties, penalty)
    options = {"noise_variance": 1.0} if penalty == "dragan" else {}
    with jax.enable_x64(True):
        real, fake = pair((6, 4), jnp.float64)

        def value(params):
            score = lambda x: small_critic(params, x)  # noqa: E731
            return function(score, KEY, real, fake, **options).value

        params = parameters(jnp.float64)
        gradient = jax.grad(value)(params)
        assert jax.tree.leaves(gradient)[0].dtype == jnp.float64
        value, step = jax.jit(value), 1e-6
        for name, leaf in params.items():
            for index in np.ndindex(leaf.shape):
                moved = [
                    value(params | {name: leaf.at[index].add(sign * step)})
                    for sign in (1, -1)
                ]
                difference = (moved[0] - moved[1]) / (2 * step)
                assert gradient[name][index] == pytest.approx(
                    float(difference), abs=1e-7
                )


@pytest.mark.parametrize("penalty", ["gradient_penalty", "dragan", "r1"])
def test_same_value_and_gradient_under_jit_and_pmap(penalty):
    function = getattr(penalties, penalty)
    real, fake = pair((16, 4))
    params = parameters(jnp.float32)

    def loss(params, real, fake, index=None):
        options = {"index": index}
        if penalty == "dragan":
            options["noise_variance"] = 1.0
        score = lambda x: small_critic(params, x)  # noqa: E731
        return function(score, KEY, real, fake, **options).value

    value, gradient = jax.value_and_grad(loss)(params, real, fake)
    jitted = jax.jit(jax.value_and_grad(loss))(params, real, fake)
    mapped = jax.pmap(
        lambda *shares: jax.lax.pmean(
            jax.value_and_grad(loss)(params, *shares), "device"
        ),
        axis_name="device",
    )(real.reshape(8, 2, 4), fake.reshape(8, 2, 4), jnp.arange(16).reshape(8, 2))
    for other in (jitted, jax.tree.map(lambda x: x[0], mapped)):
        assert other[0] == pytest.approx(float(value), rel=1e-5)
        for name in gradient:
            np.testing.assert_allclose(other[1][name], gradient[name], atol=1e-5)


@pytest.mark.parametrize("outside", ["bfloat16", "highest"])
def test_all_products_of_the_penalty_are_at_highest_precision(outside):
    real, fake = pair((6, 4), jnp.bfloat16)
    params = parameters(jnp.float32)

    def value(params):
        score = lambda x: small_critic(params, x)  # noqa: E731
        return penalties.gradient_penalty(score, KEY, real, fake).value

    with jax.default_matmul_precision(outside):
        text = str(jax.make_jaxpr(jax.grad(value))(params))
    products = text.count("dot_general[")
    assert products >= 5
    assert text.count("precision=(Precision.HIGHEST, Precision.HIGHEST)") == products
    assert (
        "bf16" not in text.split("convert_element_type", 1)[1].split("dot_general")[1]
    )


def test_critic_that_mixes_examples_is_caught():
    def mixing(x):
        return jnp.sum(x - jnp.mean(x, axis=0, keepdims=True), axis=1)

    examples = jax.random.normal(KEY, (3, 4))
    penalties.check_examples_independent(bilinear, examples)
    with pytest.raises(UserError, match="mixes the examples"):
        penalties.check_examples_independent(mixing, examples)
