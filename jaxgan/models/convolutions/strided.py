"""Convolutions of stride 1 and 2, for `nn.Conv`, that are fast on CPUs and GPUs.

XLA's CPU backend has no fast path for a convolution whose input is dilated. Two
gradients of a GAN are just that: the weight gradient of a stride-2 transposed
convolution (generators), and the weight gradient of the *input gradient* of a stride-2
convolution (the gradient penalty). So these are split into four phases, even and odd
rows times even and odd columns. Each phase is a sum of ordinary convolutions
(`unit_stride.conv`). It is the same function with the same number of multiplications,
4 to 50 times faster on two cores. Other backends get one convolution, for which their
libraries have kernels. Only for few channels has a GPU's none: `few_channels`.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jax import lax

from jaxgan.models.convolutions import few_channels, unit_stride, winograd
from jaxgan.models.convolutions.layout import FEW_CHANNELS, LAYOUT, Padding


def conv(
    inputs: jax.Array,
    kernel: jax.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    **options: Any,
) -> jax.Array:
    """Return the convolution, as `lax.conv_general_dilated`; an argument of `nn.Conv`.

    Args:
        inputs: [b, h, w, c].
        kernel: [k, k, c, features].
        window_strides: (1, 1) or (2, 2).
        padding: 'SAME', 'VALID' or ((low, high), (low, high)).
        **options: passed to `lax.conv_general_dilated`, which is called here only on
            TPUs, and on GPUs where neither side has few channels.

    Returns:
        [b, h', w', features].
    """
    if isinstance(padding, str):
        sizes = inputs.shape[1:3], kernel.shape[:2]
        padding = lax.padtype_to_pads(*sizes, window_strides, padding)
    (top, bottom), (left, right) = padding
    pads: Padding = ((top, bottom), (left, right))
    backend = jax.default_backend()
    if backend != "cpu":
        form = None
        if backend == "gpu":
            form = few_channels.choose_form(kernel.shape, window_strides)
        if form is not None:
            return form(inputs, kernel, pads)
        return lax.conv_general_dilated(inputs, kernel, window_strides, pads, **options)
    if tuple(window_strides) == (1, 1):
        return unit_stride.conv(inputs, kernel, pads)
    if kernel.shape[2] <= FEW_CHANNELS or suits_blocks(inputs, kernel):
        # One convolution with four times the channels, where phases would be four with
        # few. Timings are in docs/performance.md.
        blocks = few_channels.split_into_blocks(inputs, kernel, pads)
        return unit_stride.conv(*blocks, ((0, 0), (0, 0)))
    return conv_by_phases(inputs, kernel, pads)


def suits_blocks(
    inputs: jax.Array, kernel: jax.Array, transposed: bool = False
) -> bool:
    """Return whether a convolution with stride 2 is faster on blocks of 2x2 pixels.

    A 4x4 kernel is a 2x2 kernel on blocks, for which Winograd's form has 9 products
    instead of 16. A 3x3 kernel would be a 2x2 kernel with 7 zeros in 16 taps.
    """
    if kernel.shape[:2] != (4, 4):
        return False
    batch, height, width, channels = inputs.shape
    features = kernel.shape[3]
    if transposed:
        features *= 4
    else:
        height, width, channels = height // 2, width // 2, 4 * channels
    outputs_shape = batch, height, width, features
    return winograd.suits((2, 2, channels, features), outputs_shape, inputs.dtype)


def conv_by_phases(inputs: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    """Return the stride-2 convolution as a sum over the four phases of its input.

    Tap k of output i reads input 2 i + k - low. So taps of one parity read inputs of
    one parity. Shapes are those of `conv`.
    """
    parts, kernels = [], kernel_phases(kernel)
    for phase in product((0, 1), (0, 1)):
        first, pads = [], []
        for axis, (parity, (low, high)) in enumerate(zip(phase, padding, strict=True)):
            size, taps = inputs.shape[1 + axis], kernel.shape[axis]
            outputs = (size + low + high - taps) // 2 + 1
            first.append((parity + low) % 2)
            before = (low + parity - first[-1]) // 2
            phase_size = len(range(parity, size, 2))
            phase_taps = len(range(first[-1], taps, 2))
            pads.append((before, outputs - phase_size - before + phase_taps - 1))
        part = unit_stride.conv(
            inputs[:, phase[0] :: 2, phase[1] :: 2],
            kernels[first[0]][first[1]],
            (pads[0], pads[1]),
        )
        parts.append(part)
    return sum(parts[1:], start=parts[0])


def conv_transpose(inputs: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    """Return `lax.conv_transpose(inputs, kernel, (2, 2), padding)`.

    Arguments and shapes are those of `conv_transpose_by_phases`.
    """
    backend = jax.default_backend()
    if backend == "cpu":
        if suits_blocks(inputs, kernel, transposed=True):
            return few_channels.conv_transpose_by_blocks(
                inputs, kernel, padding, unit_stride.conv
            )
        return conv_transpose_by_phases(inputs, kernel, padding)
    form = None
    if backend == "gpu":
        form = few_channels.choose_transposed_form(kernel.shape)
    if form is not None:
        return form(inputs, kernel, padding)
    return lax.conv_transpose(inputs, kernel, (2, 2), padding, dimension_numbers=LAYOUT)


def conv_transpose_by_phases(
    inputs: jax.Array, kernel: jax.Array, padding: Padding
) -> jax.Array:
    """Return `lax.conv_transpose(inputs, kernel, (2, 2), padding)`, phase by phase.

    The padding is around the dilated input and has to double the side. Output
    2 i + parity then meets the taps of only one parity.

    Args:
        inputs: [b, h, w, c].
        kernel: [k, k, c, features].
        padding: ((above, below), (left, right)) zeros around the dilated inputs.

    Returns:
        [b, 2 h, 2 w, features].
    """
    batch, height, width, _ = inputs.shape
    low = [before for before, _ in padding]
    kernels, rows = kernel_phases(kernel), []
    for row in (0, 1):
        columns = []
        for parity in ((row, 0), (row, 1)):
            first = [(lo - p) % 2 for lo, p in zip(low, parity, strict=True)]
            part = kernels[first[0]][first[1]]
            pads = []
            for lo, p, f, taps in zip(low, parity, first, part.shape[:2], strict=True):
                before = (lo - p - f) // 2
                pads.append((before, taps - 1 - before))
            columns.append(unit_stride.conv(inputs, part, (pads[0], pads[1])))
        rows.append(jnp.stack(columns, axis=3))
    outputs = jnp.stack(rows, axis=2)
    return outputs.reshape(batch, 2 * height, 2 * width, kernel.shape[-1])


def kernel_phases(kernel: jax.Array) -> list[list[jax.Array]]:
    """Return kernel[row::2, column::2] as [row][column], for a kernel [k, k, in, out].

    Not by those slices: the gradient of a strided slice is a whole kernel with zeros in
    between, and four of them would be added up. The gradient of a split is one
    concatenation.
    """

    def halves(array: jax.Array, axis: int) -> list[jax.Array]:
        taps = lax.split(array, (1,) * array.shape[axis], axis)
        return [jnp.concatenate(taps[parity::2], axis) for parity in (0, 1)]

    return [halves(rows, 1) for rows in halves(kernel, 0)]


class ConvTranspose(nn.Module):
    """`nn.ConvTranspose(features, (size, size), (2, 2), padding)`: doubles the side.

    `padding` is the zeros around the dilated input. None is 'SAME', ceil(size / 2)
    before and the rest after: tf.nn.conv2d_transpose's for every size, and PyTorch's
    padding = 1 for size 4. The kernel is [size, size, c, features] as in Flax, which is
    PyTorch's with the two image axes flipped.
    """

    features: int
    size: int
    kernel_init: Initializer
    use_bias: bool = True
    dtype: Dtype | None = None
    padding: Padding | None = None

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Return [b, 2 h, 2 w, features] for inputs [b, h, w, c]."""
        parameters = jnp.result_type(float)
        shape = (self.size, self.size, inputs.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, parameters)
        bias = None
        if self.use_bias:
            zeros = nn.initializers.zeros
            bias = self.param("bias", zeros, (self.features,), parameters)
        inputs, kernel, bias = promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        low = (self.size + 1) // 2
        padding = self.padding or ((low, self.size - low),) * 2
        outputs = conv_transpose(inputs, kernel, padding)
        return outputs if bias is None else outputs + bias.reshape(1, 1, 1, -1)
