"""The CPU's convolutions against XLA's: values, first and second derivatives."""

import functools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from helpers.convolutions import arrays, assert_same, xla

from jaxgan.models import translation
from jaxgan.models.convolutions import strided, unit_stride
from jaxgan.models.convolutions.layout import LAYOUT

ONE, TWO = (1, 1), (2, 2)


@pytest.mark.parametrize(
    ("side", "taps", "channels", "padding"),
    [
        ((6, 5), (3, 3), (5, 6), "VALID"),  # a ResNet's block
        ((6, 5), (3, 3), (5, 6), ((1, 1), (1, 1))),  # the same with zero padding
        ((8, 9), (7, 7), (3, 5), "VALID"),  # the first layer: few channels in
        ((8, 9), (7, 7), (5, 3), ((3, 2), (1, 3))),  # the last: few channels out
        ((6, 6), (4, 4), (6, 1), ((1, 1), (1, 1))),  # a critic's last
        ((4, 4), (1, 1), (3, 2), "VALID"),  # a pixel critic's
        ((5, 5), (2, 1), (5, 5), ((0, 3), (2, 0))),  # more padding than taps
    ],
)
def test_a_convolution_and_its_derivatives_are_xla_s(side, taps, channels, padding):
    with jax.enable_x64(True):
        x, kernel = arrays((2, *side, channels[0]), (*taps, *channels))
        ours = functools.partial(strided.conv, window_strides=ONE, padding=padding)
        assert_same(ours, xla(ONE, padding), x, kernel)


@pytest.mark.parametrize(
    ("side", "taps", "channels", "padding"),
    [
        ((6, 8), 3, (5, 6), ((1, 1), (1, 1))),  # a generator's halving
        ((8, 6), 4, (5, 6), ((1, 1), (1, 1))),  # a critic's, a U-Net's
        ((8, 7), 5, (3, 5), ((1, 2), (2, 2))),  # a critic's first
    ],
)
def test_a_strided_convolution_and_its_derivatives_are_xla_s(
    side, taps, channels, padding
):
    with jax.enable_x64(True):
        x, kernel = arrays((2, *side, channels[0]), (taps, taps, *channels))
        ours = functools.partial(strided.conv, window_strides=TWO, padding=padding)
        assert_same(ours, xla(TWO, padding), x, kernel)


@pytest.mark.parametrize(
    ("channels", "padding"),
    [((3, 5), "VALID"), ((5, 3), ((1, 0), (2, 1))), ((5, 6), ((1, 1), (1, 1)))],
)
def test_with_many_examples_the_derivatives_are_xla_s(channels, padding, monkeypatch):
    """Kernel gradients are then matrix products; two examples count as many here."""
    monkeypatch.setattr(unit_stride, "MANY_EXAMPLES", 2)
    with jax.enable_x64(True):
        x, kernel = arrays((2, 5, 4, channels[0]), (3, 3, *channels))
        ours = functools.partial(strided.conv, window_strides=ONE, padding=padding)
        assert_same(ours, xla(ONE, padding), x, kernel)
        products = jax.make_jaxpr(jax.grad(lambda k: ours(x, k).sum()))(kernel)
        assert "dot_general" in str(products)


@pytest.mark.parametrize(
    ("taps", "channels", "padding"),
    [
        (3, (5, 6), ((1, 2), (1, 2))),  # a ResNet's doubling
        (4, (6, 3), ((2, 2), (2, 2))),  # a U-Net's last
    ],
)
def test_a_transposed_convolution_and_its_derivatives_are_xla_s(
    taps, channels, padding
):
    with jax.enable_x64(True):
        x, kernel = arrays((2, 4, 3, channels[0]), (taps, taps, *channels))
        layer = strided.ConvTranspose(
            channels[1], taps, nn.initializers.normal(), False, padding=padding
        )

        def ours(x, kernel):
            return layer.apply({"params": {"kernel": kernel}}, x)

        def theirs(x, kernel):
            return jax.lax.conv_transpose(
                x, kernel, TWO, padding, dimension_numbers=LAYOUT
            )

        assert ours(x, kernel).shape == (2, 8, 6, channels[1])
        assert_same(ours, theirs, x, kernel)


def test_all_convolutions_of_a_step_have_the_form_that_is_fast_in_a_loop():
    """A generator's gradient, and that of a critic's gradient penalty."""
    common = {"width": 4, "norm": "instance", "initializer": "normal", "gain": 0.02}
    generator = translation.generator(
        "resnet_1blocks",
        channels=3,
        padding="reflect",
        block="residual",
        dropout=False,
        upsample="transposed",
        **common,
    )
    critic = translation.critic("patch", num_layers=2, **common)

    def penalty(params, x):
        def score(x):
            return critic.apply({"params": params}, x, train=True).sum()

        return (jax.grad(score)(x) ** 2).sum()

    def made(params, x):
        return generator.apply({"params": params}, x, train=True).sum()

    x = jnp.zeros((2, 16, 16, 3))
    for network, value in ((generator, made), (critic, penalty)):
        params = jax.eval_shape(
            lambda key, n=network: n.init(key, x, train=True)["params"],
            jax.random.key(0),
        )
        program = jax.jit(jax.grad(value, (0, 1))).lower(params, x).as_text()
        found = [
            line for line in program.split("\n") if "stablehlo.convolution" in line
        ]
        assert len(found) > 15
        for line in found:
            assert "[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]" in line
            other = r"(stride|lhs_dilate|rhs_dilate) = \[(?!1, 1\])"
            assert not re.search(other, line)
