"""Metrics of pairs of images against values computed by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.metrics.paired_images import psnr


def test_psnr_is_the_mean_of_each_images_in_decibels():
    images = jnp.zeros((2, 1, 2, 1))
    # Mean squared differences 0.01 and 1, of a range of 2: 400 and 4 times less.
    others = jnp.array([[0.1, -0.1], [1.0, 1.0]]).reshape(2, 1, 2, 1)
    expected = (10 * np.log10(400) + 10 * np.log10(4)) / 2
    assert psnr(images, others) == pytest.approx(expected, rel=1e-6)
    assert np.isfinite(psnr(images, images))
