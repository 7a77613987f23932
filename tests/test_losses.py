"""Losses against values computed by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_expit, log_softmax

from jaxgan import losses

REAL, FAKE = jnp.array([1.0, 3.0, 5.0]), jnp.array([0.0, 1.0, -4.0])


def test_critic_minimises_fake_minus_real():
    assert losses.wasserstein_critic(REAL, FAKE) == -1.0 - 3.0


def test_generator_raises_the_scores_of_fakes():
    assert losses.wasserstein_generator(FAKE) == 1.0


def test_drift_is_the_mean_square_of_real_scores():
    assert losses.drift(REAL) == pytest.approx(35 / 3)


def test_classifier_cross_entropy_against_scipy():
    logits = np.array([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]], np.float32)
    expected = -np.mean(log_softmax(logits, axis=1)[[0, 1], [2, 0]])
    found = losses.classifier_cross_entropy(jnp.array(logits), jnp.array([2, 0]))
    assert found == pytest.approx(expected, rel=1e-6)


def test_least_squares_are_halved_only_for_the_critic():
    # (REAL - 1)^2 is 0, 4, 16 and FAKE^2 is 0, 1, 16.
    found = losses.least_squares_critic(REAL, FAKE)
    assert found == pytest.approx((20 / 3 + 17 / 3) / 2)
    # (FAKE - 1)^2 is 1, 0, 25.
    assert losses.least_squares_generator(FAKE) == pytest.approx(26 / 3)


def test_cross_entropy_is_halved_only_for_the_critic():
    log_real = log_expit(np.array(REAL, float)).mean()
    log_not_fake = log_expit(-np.array(FAKE, float)).mean()
    found = losses.cross_entropy_critic(REAL, FAKE)
    assert found == pytest.approx(-(log_real + log_not_fake) / 2, rel=1e-6)
    found = losses.cross_entropy_generator(FAKE)
    assert found == pytest.approx(-log_expit(np.array(FAKE, float)).mean(), rel=1e-6)
    # Scores far on the wrong side: linear, not infinite.
    assert losses.cross_entropy_generator(jnp.array([-1e4])) == pytest.approx(1e4)


def test_mean_absolute_error():
    assert losses.mean_absolute_error(REAL, FAKE) == pytest.approx(12 / 3)
