"""Winograd's form of 3x3 convolutions against XLA's convolution."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.convolutions import arrays, assert_same, xla

from jaxgan.models.convolutions import strided, unit_stride, winograd
from jaxgan.models.convolutions.layout import LAYOUT

ONE = (1, 1)
FLOAT32, BFLOAT16 = np.dtype(np.float32), np.dtype(jnp.bfloat16)


@pytest.fixture
def always(monkeypatch):
    """Small convolutions take this form too."""
    monkeypatch.setattr(winograd, "PRODUCTS_PER_THREAD", 1)
    monkeypatch.setattr(winograd, "number_of_cores", lambda: 1)


@pytest.mark.parametrize(
    ("side", "taps", "stride", "padding"),
    [
        ((6, 8), 3, 1, "VALID"),  # a ResNet's block
        ((5, 6), 3, 1, ((1, 1), (1, 1))),  # the same with zero padding; odd outputs
        ((6, 7), 3, 1, ((2, -1), (0, 1))),  # a phase of a strided convolution
        ((5, 4), 2, 1, ((1, 1), (1, 0))),  # another
        ((8, 6), 4, 2, ((1, 1), (1, 1))),  # a critic's, a U-Net's
    ],
)
def test_the_form_and_its_derivatives_are_xla_s(always, side, taps, stride, padding):
    strides = (stride, stride)
    with jax.enable_x64(True):
        x, kernel = arrays((2, *side, 5), (taps, taps, 5, 4))
        ours = functools.partial(strided.conv, window_strides=strides, padding=padding)
        # XLA's convolution is not called: this form alone gives all derivatives.
        assert "conv_general_dilated" not in str(jax.make_jaxpr(ours)(x, kernel))
        assert_same(ours, xla(strides, padding), x, kernel)


def test_a_transposed_convolution_and_its_derivatives_are_xla_s(always):
    padding = ((2, 2), (2, 2))
    with jax.enable_x64(True):
        x, kernel = arrays((2, 3, 4, 5), (4, 4, 5, 3))
        ours = functools.partial(strided.conv_transpose, padding=padding)
        assert "conv_general_dilated" not in str(jax.make_jaxpr(ours)(x, kernel))
        theirs = functools.partial(
            jax.lax.conv_transpose,
            strides=(2, 2),
            padding=padding,
            dimension_numbers=LAYOUT,
        )
        assert_same(ours, theirs, x, kernel)


def test_both_gradients_take_the_form_too(always):
    x, kernel = arrays((1, 4, 4, 3), (3, 3, 3, 2))
    gradients = jax.grad(
        lambda *args: unit_stride.conv(*args, ((1, 1), (1, 1))).sum(), (0, 1)
    )
    program = str(jax.make_jaxpr(gradients)(x, kernel))
    assert program.count("dot_general") == 3  # forward, and one for each gradient
    assert "conv_general_dilated" not in program


def test_rounding_is_nearly_that_of_xla():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 18, 18, 256)).astype(np.float32)
    kernel = (rng.normal(size=(3, 3, 256, 64)) / 48).astype(np.float32)
    plain = xla(ONE, "VALID")
    with jax.enable_x64(True):
        exact = np.asarray(plain(x.astype(np.float64), kernel.astype(np.float64)))

    def error(outputs):
        difference = np.asarray(outputs, np.float64) - exact
        return np.sqrt(np.mean(difference**2) / np.mean(exact**2))

    valid = ((0, 0), (0, 0))
    assert error(winograd.conv(x, kernel, valid)) < 2 * error(plain(x, kernel)) < 1e-6


@pytest.mark.parametrize(
    ("kernel", "outputs", "cores", "expected"),
    [
        ((3, 3, 256, 256), (1, 32, 32, 256), 2, True),  # CycleGAN's block at 128x128
        ((3, 3, 128, 128), (4, 16, 16, 128), 2, False),  # at 64x64, half the width
        ((3, 3, 256, 256), (1, 32, 32, 256), 8, False),  # four cores would wait
        ((3, 3, 256, 256), (1, 64, 64, 256), 16, True),  # large maps use all cores
        ((3, 3, 128, 128), (64, 32, 32, 128), 2, True),  # CIFAR-10's ResNets
        ((3, 3, 128, 128), (512, 32, 32, 128), 2, False),  # takes too much memory
        ((3, 3, 8, 8), (4, 16, 16, 8), 2, False),  # too small to gain
        ((4, 4, 256, 256), (1, 32, 32, 256), 2, False),
        ((3, 1, 256, 256), (1, 32, 32, 256), 2, False),
    ],
)
def test_which_convolutions_take_the_form(
    kernel, outputs, cores, expected, monkeypatch
):
    monkeypatch.setattr(winograd, "number_of_cores", lambda: cores)
    assert winograd.suits(kernel, outputs, FLOAT32) is expected
    assert not winograd.suits(kernel, outputs, BFLOAT16)
