"""Convolutions with few channels on one side, in forms that suit a GPU.

cuDNN has no good kernel for a convolution with the three channels of an image, or the
one of a score, on one side. On an H100 such layers took half of CycleGAN's step at
256x256 (docs/performance.md). The forms here compute exactly the same function by
convolutions and matrix products with 8 channels or more on both sides. Both gradients,
and theirs, are JAX's, so that they are ordinary convolutions of that kind too.

Few means up to `FEW_CHANNELS`. The wide side's map is the largest array of such a
layer, and its reading or writing the least that it can take.
"""

from collections.abc import Callable, Sequence
from itertools import product

import jax
import jax.numpy as jnp
from jax import lax

from jaxgan.models.convolutions.layout import (
    FEW_CHANNELS,
    LAYOUT,
    Padding,
    blocks_as_channels,
    output_shape,
    pad_image,
    stack_windows,
)

MULTIPLE = 8  # of channels: tensor cores read eight 16-bit values at a time

Form = Callable[[jax.Array, jax.Array, Padding], jax.Array]


def choose_form(kernel_shape: Sequence[int], strides: Sequence[int]) -> Form | None:
    """Return the form for a GPU of a convolution; None is XLA's own convolution.

    The choice is by counting, not yet by measuring (`benchmarks/layers.py --forms`
    measures it). Multiplications, relative to the convolution's own, and the channels
    of what is made besides, at the resolution of the wide map unless it is said:

    * 7x7, 3 to 64 or back: columns 1.14 and 24 channels. Taps would have 1.03 and 152,
      more than the wide map's 64. Blocks of 4x4 output pixels would have 2.04 and 3
      channels, but a 10x10 kernel.
    * 4x4 of stride 2, 3 to 64: blocks 1.33 and 16 channels; taps 1 and 48.
    * 5x5 of stride 2, 3 to 64: blocks 1.92 and 16 channels; taps 1.07 and 80.
    * 4x4, 512 to 1: taps 1 and 16; columns 2 and 8.
    * 3x3, 3 to 128 or back: taps 1.19 and 32; columns 1.78 and 16.

    Where the new array has more channels than the wide map, a form does not pay.

    Args:
        kernel_shape: (k, k, in, out).
        strides: (1, 1) or (2, 2).
    """
    taps, channels_in, channels_out = kernel_shape[1:]
    few, wide = sorted((channels_in, channels_out))
    if few > FEW_CHANNELS:
        return None
    if tuple(strides) == (2, 2):
        return conv_by_blocks if channels_in == few and 4 * few <= wide else None
    if kernel_shape[0] * taps * few <= wide:
        return conv_by_taps
    return conv_by_columns if taps * few <= wide else None


def choose_transposed_form(kernel_shape: Sequence[int]) -> Form | None:
    """Return the form for a GPU of a transposed convolution of stride 2.

    As in `choose_form`, for the same reasons: 4x4 or 5x5, 64 to 3.
    """
    channels_in, channels_out = kernel_shape[2:]
    few = channels_out <= FEW_CHANNELS and 4 * channels_out <= channels_in
    return conv_transpose_by_blocks if few else None


def conv_by_columns(
    inputs: jax.Array,
    kernel: jax.Array,
    padding: Padding,
    convolve: Form | None = None,
) -> jax.Array:
    """Return the convolution of stride 1, with the kernel's columns as channels.

    Few inputs: each pixel gets the channels of its right neighbours. Few outputs: each
    column of the kernel has outputs of its own, which are shifted and added.

    Args:
        inputs: [b, h, w, in].
        kernel: [k, k, in, out].
        padding: ((above, below), (left, right)) zeros around the inputs.
        convolve: computes the convolution with more channels; None is `conv_widened`.

    Returns:
        [b, h', w', out].
    """
    convolve, (rows, columns) = convolve or conv_widened, padding
    taps, channels_in, channels_out = kernel.shape[1:]
    shifts = [(0, tap) for tap in range(taps)]
    _, width = output_shape(inputs, kernel.shape[:2], padding)
    if channels_in <= FEW_CHANNELS:
        padded = pad_image(inputs, ((0, 0), columns))
        inputs = stack_windows(padded, shifts, inputs.shape[1], width)
        shape = (kernel.shape[0], 1, taps * channels_in, channels_out)
        return convolve(inputs, kernel.reshape(shape), (rows, (0, 0)))
    shape = (kernel.shape[0], 1, channels_in, taps * channels_out)
    parts = convolve(inputs, kernel.swapaxes(1, 2).reshape(shape), (rows, (0, 0)))
    parts = pad_image(parts, ((0, 0), columns))
    return sum_shifted(parts, shifts, width, channels_out)


def conv_by_taps(inputs: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    """Return the convolution of stride 1, as one matrix product.

    Few inputs: the matrix product of patches and kernel. Few outputs: each tap has
    outputs of its own, which are shifted and added. Shapes are `conv_by_columns`'s.
    """
    taps = list(product(range(kernel.shape[0]), range(kernel.shape[1])))
    channels_in, channels_out = kernel.shape[2:]
    height, width = output_shape(inputs, kernel.shape[:2], padding)
    if channels_in <= channels_out:
        patches = stack_windows(pad_image(inputs, padding), taps, height, width)
        matrix = kernel.reshape(-1, channels_out)
        return _product(widen(patches, 3), widen(matrix, 0))
    matrix = kernel.transpose(2, 0, 1, 3).reshape(channels_in, -1)
    parts = pad_image(_product(inputs, widen(matrix, 1)), padding)
    return sum_shifted(parts, taps, width, channels_out)


def conv_by_blocks(inputs: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    """Return the convolution of stride 2, with blocks of 2x2 pixels as channels.

    It has stride 1 on the blocks. Shapes are `conv_by_columns`'s, with few inputs.
    """
    return conv_widened(*split_into_blocks(inputs, kernel, padding), ((0, 0), (0, 0)))


def split_into_blocks(
    inputs: jax.Array, kernel: jax.Array, padding: Padding
) -> tuple[jax.Array, jax.Array]:
    """Return images and kernel whose plain convolution is that of stride 2.

    Returns:
        [b, h' + j - 1, w' + j - 1, 4 in] and [j, j, 4 in, out], where j is k / 2
        rounded up, for arguments as `conv_by_columns`'s.
    """
    taps = kernel.shape[:2]
    halves = [-(-length // 2) for length in taps]
    pads = []
    for size, (low, high), length, half in zip(
        inputs.shape[1:3], padding, taps, halves, strict=True
    ):
        outputs = (size + low + high - length) // 2 + 1
        # What no output reads is cut off: the padding after may be negative.
        pads.append((low, 2 * (outputs + half - 1) - size - low))
    inputs = blocks_as_channels(pad_image(inputs, (pads[0], pads[1])))
    ends = [2 * half - length for half, length in zip(halves, taps, strict=True)]
    kernel = jnp.pad(kernel, ((0, ends[0]), (0, ends[1]), (0, 0), (0, 0)))
    rows, columns = halves
    kernel = kernel.reshape(rows, 2, columns, 2, *kernel.shape[2:])
    kernel = kernel.transpose(0, 2, 1, 3, 4, 5)
    kernel = kernel.reshape(rows, columns, -1, kernel.shape[-1])
    return inputs, kernel


def conv_transpose_by_blocks(
    inputs: jax.Array,
    kernel: jax.Array,
    padding: Padding,
    convolve: Form | None = None,
) -> jax.Array:
    """Return `lax.conv_transpose(inputs, kernel, (2, 2), padding)`, with few outputs.

    A convolution of stride 1 makes the 2x2 outputs of a block as channels.

    Args:
        inputs: [b, h, w, c].
        kernel: [k, k, c, features].
        padding: ((above, below), (left, right)) zeros around the dilated inputs, which
            have to double the side.
        convolve: computes the convolution of stride 1; None is `conv_widened`.

    Returns:
        [b, 2 h, 2 w, features].
    """
    batch, features = len(inputs), kernel.shape[-1]
    # With a tap more in front of an odd kernel, output 2 m + p - shift meets tap
    # 2 j + 1 - p at input m + j - before.
    odd = [length % 2 for length in kernel.shape[:2]]
    kernel = jnp.pad(kernel, ((odd[0], 0), (odd[1], 0), (0, 0), (0, 0)))
    rows, columns = (length // 2 for length in kernel.shape[:2])
    kernel = kernel.reshape(rows, 2, columns, 2, -1, features)[:, ::-1, :, ::-1]
    kernel = kernel.transpose(0, 2, 4, 1, 3, 5).reshape(rows, columns, -1, 4 * features)
    shifts, pads = [], []
    for half, extra, (low, _) in zip((rows, columns), odd, padding, strict=True):
        shift = (1 + low + extra) % 2
        before = (shift + low + extra - 1) // 2
        shifts.append(shift)
        pads.append((before, shift - before + half - 1))
    blocks = (convolve or conv_widened)(inputs, kernel, (pads[0], pads[1]))
    height, width = blocks.shape[1:3]
    outputs = blocks.reshape(batch, height, width, 2, 2, features)
    outputs = outputs.transpose(0, 1, 3, 2, 4, 5)
    outputs = outputs.reshape(batch, 2 * height, 2 * width, features)
    (top, left), (height, width) = shifts, inputs.shape[1:3]
    return outputs[:, top : top + 2 * height, left : left + 2 * width]


def sum_shifted(
    parts: jax.Array, shifts: Sequence[tuple[int, int]], width: int, channels: int
) -> jax.Array:
    """Return the sum of groups of channels, each shifted: [b, h', width, channels].

    Args:
        parts: [b, h, w, n]; group i has channels i * channels and following.
        shifts: how many pixels group i lies too far down and to the right.
        width: of the result. Its height is h less the largest shift.
        channels: in a group.
    """
    height = parts.shape[1] - max(down for down, _ in shifts)
    # In float32 at least: the rounding of the parts is all that bfloat16 costs.
    exact = parts.astype(jnp.promote_types(parts.dtype, jnp.float32))
    groups = [
        exact[
            :,
            down : down + height,
            right : right + width,
            i * channels : (i + 1) * channels,
        ]
        for i, (down, right) in enumerate(shifts)
    ]
    return sum(groups[1:], start=groups[0]).astype(parts.dtype)


def conv_widened(inputs: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    """Return XLA's convolution of stride 1, with channels in multiples of MULTIPLE."""
    outputs = lax.conv_general_dilated(
        widen(inputs, 3),
        widen(widen(kernel, 2), 3),
        (1, 1),
        padding,
        dimension_numbers=LAYOUT,
    )
    return outputs[..., : kernel.shape[3]]


def widen(array: jax.Array, axis: int) -> jax.Array:
    """Append zeros until the size of an axis is a multiple of MULTIPLE."""
    pads = [(0, 0)] * array.ndim
    pads[axis] = (0, -array.shape[axis] % MULTIPLE)
    return jnp.pad(array, pads)


def _product(inputs: jax.Array, matrix: jax.Array) -> jax.Array:
    return lax.dot_general(inputs, matrix, (((3,), (0,)), ((), ())))
