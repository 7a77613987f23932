"""Optimizers against the update rules of their frameworks, written out in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import optim
from jaxgan.errors import UserError

GRADIENTS = np.array([[0.3, -2.0, 1e-4], [0.1, 0.5, -1e-4], [-0.7, 1.0, 2e-4]])


def updates(name, rate=1e-2, **options):
    fields = {"b1": 0.5, "b2": 0.9, "decay_steps": 0} | options
    optimizer = optim.optimizer(name=name, learning_rate=rate, **fields)
    state = optimizer.tx.init(jnp.zeros(3))
    for gradient in GRADIENTS:
        direction, state = optimizer.tx.update(jnp.array(gradient), state)
        yield -optimizer.learning_rate(jnp.array(0)) * direction


def rmsprop(decay, eps, inside, start, rate=1e-2):
    square = np.full(3, start)
    for g in GRADIENTS:
        square = decay * square + (1 - decay) * g**2
        root = np.sqrt(square + eps) if inside else np.sqrt(square) + eps
        yield -rate * g / root


def adam(b1, b2, rate=1e-2, eps=1e-8):
    m = v = np.zeros(3)
    for t, g in enumerate(GRADIENTS, 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        yield -rate * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rmsprop", rmsprop(0.99, 1e-8, inside=False, start=0.0)),
        ("rmsprop_tensorflow", rmsprop(0.9, 1e-10, inside=True, start=1.0)),
        ("adam", adam(0.5, 0.9)),
        ("sgd", (-1e-2 * g for g in GRADIENTS)),
    ],
)
def test_updates(name, expected):
    for found, wanted in zip(updates(name), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=2e-5)


def test_adam_without_momentum():
    for found, wanted in zip(updates("adam", b1=0.0), adam(0.0, 0.9), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=2e-5)


def test_linear_decay_of_the_cifar_recipe():
    schedule = optim.linear_decay(2e-4, 100_000)
    for step, expected in ((0, 2e-4), (50_000, 1e-4), (100_000, 0.0), (10**6, 0.0)):
        assert schedule(jnp.array(step)) == pytest.approx(expected, rel=1e-6)


def test_linear_decay_is_never_negative_when_compiled():
    steps = np.arange(6000)
    rates = jax.jit(optim.linear_decay(1e-4, 2000))(jnp.asarray(steps))
    expected = 1e-4 * np.maximum(0, 1 - steps / 2000)
    np.testing.assert_allclose(rates, expected, rtol=1e-6, atol=1e-11)
    assert rates.min() == 0.0
    # At step 2000 itself a rounding error above 0 may be left.
    np.testing.assert_array_equal(rates[2001:], 0.0)


def test_no_decay_is_constant():
    assert optim.linear_decay(1e-4, 0)(jnp.array(10**6)) == pytest.approx(1e-4)


def test_unknown_name():
    with pytest.raises(UserError, match=r"optimizer.*rmsprob.*nearest: rmsprop"):
        optim.optimizer(name="rmsprob", learning_rate=1.0, b1=0, b2=0, decay_steps=0)
