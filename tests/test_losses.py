"""Losses against values by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

from jaxgan import losses

REAL, FAKE = jnp.array([1.0, 3.0, 5.0]), jnp.array([0.0, 1.0, -4.0])


def test_critic_minimises_fake_minus_real():
    assert losses.wasserstein_critic(REAL, FAKE) == -1.0 - 3.0


def test_generator_raises_the_scores_of_fakes():
    assert losses.wasserstein_generator(FAKE) == 1.0


def test_drift_is_the_mean_square_of_real_scores():
    assert losses.drift(REAL) == pytest.approx(35 / 3)


def test_classification_against_scipy():
    logits = np.array([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]], np.float32)
    expected = -np.mean(log_softmax(logits, axis=1)[[0, 1], [2, 0]])
    found = losses.classification(jnp.array(logits), jnp.array([2, 0]))
    assert found == pytest.approx(expected, rel=1e-6)
