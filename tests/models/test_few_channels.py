"""A GPU's forms of convolutions with few channels, against XLA's convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import convolutions
from helpers.convolutions import QUICK, arrays, xla
from jax import lax

from jaxgan.models import layers
from jaxgan.models.convolutions import few_channels, strided
from jaxgan.models.convolutions.layout import LAYOUT

VALID, ONE, UNEVEN = ((0, 0), (0, 0)), ((1, 1), (1, 1)), ((3, 2), (1, 3))

COLUMNS, TAPS = few_channels.conv_by_columns, few_channels.conv_by_taps
BLOCKS = few_channels.conv_by_blocks


def derivatives(convolve, inputs, kernel):
    """Return outputs, gradients, and gradients of a penalty on the input gradient."""

    def value(inputs, kernel):
        return jnp.sin(convolve(inputs, kernel)).sum()

    def penalty(inputs, kernel):
        gradient = jax.grad(value)(inputs, kernel)
        norms = jnp.sqrt((gradient**2).sum((1, 2, 3)))
        return ((norms - 1) ** 2).mean()

    return (
        convolve(inputs, kernel),
        jax.grad(value, (0, 1))(inputs, kernel),
        jax.grad(penalty, (0, 1))(inputs, kernel),
    )


def assert_same(form, plain, inputs, kernel):
    convolutions.assert_same(form, plain, inputs, kernel, of=derivatives, atol=1e-12)


@pytest.mark.parametrize(
    ("form", "side", "taps", "channels", "padding", "stride"),
    [
        (COLUMNS, (9, 8), (7, 7), (3, 5), VALID, 1),  # CycleGAN's first layer
        (COLUMNS, (8, 9), (7, 7), (9, 3), UNEVEN, 1),  # and its last
        (TAPS, (5, 7), (4, 4), (9, 1), ONE, 1),  # a patch critic's last
        (TAPS, (4, 5), (3, 3), (3, 9), ONE, 1),  # a ResNet critic's first
        (BLOCKS, (9, 7), (4, 4), (3, 9), ONE, 2),  # a patch critic's first, odd
        (BLOCKS, (8, 7), (5, 5), (1, 9), ((1, 2), (2, 2)), 2),  # a 5x5 DCGAN's
    ],
)
def test_forms_and_their_derivatives_are_xla_s(
    form, side, taps, channels, padding, stride
):
    with jax.enable_x64(True):
        x, kernel = arrays((2, *side, channels[0]), (*taps, *channels))
        ours = lambda x, kernel: form(x, kernel, padding)  # noqa: E731
        assert_same(ours, xla((stride, stride), padding), x, kernel)


@pytest.mark.parametrize(
    ("taps", "padding"),
    [
        ((4, 5), ((2, 2), (3, 2))),  # rows a U-Net's last, columns a 5x5 DCGAN's
        ((4, 3), ((1, 3), (1, 2))),
    ],
)
def test_the_transposed_form_and_its_derivatives_are_xla_s(taps, padding):
    with jax.enable_x64(True):
        x, kernel = arrays((2, 4, 3, 9), (*taps, 9, 2))

        def ours(x, kernel):
            return few_channels.conv_transpose_by_blocks(x, kernel, padding)

        def theirs(x, kernel):
            return lax.conv_transpose(
                x, kernel, (2, 2), padding, dimension_numbers=LAYOUT
            )

        assert ours(x, kernel).shape == (2, 8, 6, 2)
        assert_same(ours, theirs, x, kernel)


@pytest.mark.parametrize(
    ("shape", "stride", "form"),
    [
        ((7, 7, 3, 64), 1, COLUMNS),
        ((7, 7, 64, 3), 1, COLUMNS),
        ((4, 4, 512, 1), 1, TAPS),
        ((3, 3, 3, 128), 1, TAPS),
        ((3, 3, 128, 3), 1, TAPS),
        ((4, 4, 3, 64), 2, BLOCKS),
        ((3, 3, 256, 256), 1, None),
        ((3, 3, 64, 128), 2, None),
        ((7, 7, 3, 2), 1, None),  # both sides are narrow: nothing is gained
    ],
)
def test_the_form_is_chosen_by_shape(shape, stride, form):
    assert few_channels.choose_form(shape, (stride, stride)) is form


def test_a_transposed_form_is_chosen_for_few_outputs_only():
    form = few_channels.conv_transpose_by_blocks
    assert few_channels.choose_transposed_form((4, 4, 64, 3)) is form
    assert few_channels.choose_transposed_form((4, 4, 128, 64)) is None
    assert few_channels.choose_transposed_form((4, 4, 8, 3)) is None


def test_a_gpu_gets_the_forms_and_a_tpu_one_convolution(monkeypatch):
    """The layer with its bias and type, as the networks use it; nothing is run."""
    layer = layers.conv(64, 4, jax.nn.initializers.zeros, 2, dtype=jnp.bfloat16)
    images = jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32)
    parameters = {"kernel": (4, 4, 3, 64), "bias": (64,)}
    params = {name: jnp.zeros(shape) for name, shape in parameters.items()}
    for backend, kernel in (("gpu", "bf16[2,2,16,64]"), ("tpu", "bf16[4,4,3,64]")):
        monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
        made = jax.make_jaxpr(lambda x: layer.apply({"params": params}, x))(images)
        assert [(out.shape, out.dtype) for out in made.out_avals] == [
            ((2, 4, 4, 64), jnp.bfloat16)
        ]
        used = [e for e in made.eqns if e.primitive.name == "conv_general_dilated"]
        assert [e.invars[1].aval.str_short(short_dtypes=True) for e in used] == [kernel]


def test_bfloat16_stays_and_costs_at_most_twice_what_it_does_in_xla_s():
    def errors(x, wide, kernel, back):
        """Of each form in bfloat16, and of XLA's, against float32."""
        found = []
        cases = ((TAPS, x, kernel), (TAPS, wide, back), (COLUMNS, x, kernel))
        for form, *operands in (*cases, (COLUMNS, wide, back), (BLOCKS, x, kernel)):
            convolve = xla((2, 2) if form is BLOCKS else (1, 1), ONE)
            exact = convolve(*operands)
            small = [operand.astype(jnp.bfloat16) for operand in operands]
            outputs = form(*small, ONE)
            assert outputs.dtype == jnp.bfloat16
            found.append(
                [jnp.abs(o - exact).max() for o in (outputs, convolve(*small))]
            )
        return found

    shapes = (2, 8, 8, 3), (2, 8, 8, 16), (4, 4, 3, 16), (4, 4, 16, 3)
    operands = arrays(*shapes, dtype=jnp.float32)
    for ours, theirs in jax.jit(errors, compiler_options=QUICK)(*operands):
        assert 0 < ours <= 2 * theirs


def test_strided_uses_the_forms_with_the_same_values(monkeypatch):
    x, kernel = arrays((2, 8, 8, 3), (4, 4, 3, 16), dtype=jnp.float32)
    back = kernel.transpose(0, 1, 3, 2)
    expected = strided.conv(x, kernel, (2, 2), "SAME")
    wide = jnp.tile(x, 6)[..., :16]
    doubled = strided.conv_transpose(wide, back, ((2, 2), (2, 2)))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    found = strided.conv(x, kernel, (2, 2), "SAME")
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    found = strided.conv_transpose(wide, back, ((2, 2), (2, 2)))
    np.testing.assert_allclose(found, doubled, rtol=0, atol=1e-4)
