"""Winograd's form of 3x3 and 2x2 convolutions: fewer multiplications, for a CPU.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (arXiv 1509.09308),
section 4.1. F(2x2, 3x3) computes 2x2 outputs of 4x4 inputs by 16 products instead of
36, F(2x2, 2x2) those of 3x3 inputs by 9 instead of 16. Each is a matrix product over
the channels, for all tiles of all images at once. On a CPU, XLA's convolution is about
as fast as its matrix product, so that fewer products mean less time
(docs/performance.md). The libraries of GPUs choose such forms themselves.

It is the same function up to rounding: sums and differences of neighbours are
multiplied instead of the pixels. In float32, 3x3 kernels with 256 channels have a
root-mean-square error of 4.9e-7 of the outputs', XLA's convolution one of 3.9e-7.

Along one axis, the outputs of a tile are A^T ((G g) * (B^T d)), with inputs d and taps
g (equation 6; in two dimensions equation 8).
"""

import math
import os
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxgan.models.convolutions.layout import (
    Padding,
    output_shape,
    pad_image,
    padding_of_gradient,
)

Matrix = Sequence[Sequence[float]]


class Form(NamedTuple):
    """The matrices of F(2, k) by their names in the paper: B^T, G and A^T.

    `order` is that of the transformed taps of a kernel in reverse. So the input
    gradient, a convolution by the reversed kernel, takes the same transformed taps.
    """

    inputs: Matrix
    taps: Matrix
    outputs: Matrix
    order: tuple[int, ...]


FORMS = {
    2: Form(
        inputs=((1, -1, 0), (0, 1, 0), (0, -1, 1)),
        taps=((1, 0), (1, 1), (0, 1)),
        outputs=((1, 1, 0), (0, 1, 1)),
        order=(2, 1, 0),
    ),
    3: Form(
        inputs=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
        taps=((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)),
        outputs=((1, 1, 1, 0), (0, 1, -1, -1)),
        order=(3, 1, 2, 0),
    ),
}

# XLA's matrix product gets one thread for so many multiplications (jax 0.10.2), where a
# convolution always gets all. So products of small maps leave threads idle: for blocks
# of CycleGAN at 64x64 with width 32 nothing was gained on two cores.
PRODUCTS_PER_THREAD = 2**23
# The transformed inputs of 3x3 kernels take four times the memory of the inputs.
MOST_BYTES = 2**28


def suits(
    kernel_shape: Sequence[int], outputs_shape: Sequence[int], dtype: jnp.dtype
) -> bool:
    """Return whether this form is faster than a convolution by XLA, on this CPU.

    Not in bfloat16, whose sums of neighbours lose digits before they are multiplied.

    Args:
        kernel_shape: (k, k, in, out).
        outputs_shape: (b, h', w', out).
        dtype: of both.
    """
    size = kernel_shape[0]
    if size not in FORMS or kernel_shape[1] != size or dtype.itemsize < 4:
        return False
    batch, height, width, channels_out = outputs_shape
    channels_in = kernel_shape[2]
    tiles = batch * math.ceil(height / 2) * math.ceil(width / 2)
    most = (size + 1) ** 2 * tiles * max(channels_in, channels_out) * dtype.itemsize
    products = tiles * channels_in * channels_out
    threads = products // PRODUCTS_PER_THREAD
    return threads > 0 and 2 * threads >= number_of_cores() and most <= MOST_BYTES


def number_of_cores() -> int:
    """Return the number of cores that this process may use, as XLA counts them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def conv(inputs: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    """Return the convolution of stride 1; shapes are those of `unit_stride.conv`."""
    size = len(kernel)
    form = FORMS[size]
    shape = output_shape(inputs, (size, size), padding)
    of_inputs = input_tiles(inputs, size, padding, form.inputs)
    axes = ((5,), (2,)), ((0, 1), (0, 1))
    products = lax.dot_general(of_inputs, transform_kernel(kernel), axes)
    return join_outputs(products, form.outputs, shape)


def input_gradient(
    outputs: jax.Array, kernel: jax.Array, padding: Padding
) -> jax.Array:
    """Return the gradient by the inputs; shapes are `unit_stride.input_gradient`'s."""
    size = len(kernel)
    form = FORMS[size]
    around = padding_of_gradient((size, size), padding)
    reverse = [form.inputs[i] for i in form.order]
    of_outputs = input_tiles(outputs, size, around, reverse)
    axes = ((5,), (3,)), ((0, 1), (0, 1))
    products = lax.dot_general(of_outputs, transform_kernel(kernel), axes)
    reverse = [[row[i] for i in form.order] for row in form.outputs]
    return join_outputs(products, reverse, output_shape(outputs, (size, size), around))


def kernel_gradient(
    inputs: jax.Array, outputs: jax.Array, padding: Padding
) -> jax.Array:
    """Return the gradient by the kernel; shapes are `unit_stride.kernel_gradient`'s.

    It is the transpose of `conv`: each matrix is transposed, in the opposite order.
    """
    height, width = outputs.shape[1:3]
    size = inputs.shape[1] + sum(padding[0]) - height + 1
    form = FORMS[size]
    even = pad_image(outputs, ((0, height % 2), (0, width % 2)))
    counts = (height + 1) // 2, (width + 1) // 2
    of_outputs = transform_tiles(even, 2, counts, transpose(form.outputs))
    of_inputs = input_tiles(inputs, size, padding, form.inputs)
    pixels = (2, 3, 4)
    axes = (pixels, pixels), ((0, 1), (0, 1))
    products = lax.dot_general(of_inputs, of_outputs, axes)
    columns = combine(transpose(form.taps), list(products), 1)
    return combine(transpose(form.taps), list(columns))


def transform_kernel(kernel: jax.Array) -> jax.Array:
    """Return G g G^T, [k + 1, k + 1, in, out], of a kernel g [k, k, in, out]."""
    size = len(kernel)
    rows = combine(FORMS[size].taps, list(kernel))
    return combine(FORMS[size].taps, [rows[:, column] for column in range(size)])


def join_outputs(
    products: jax.Array, matrix: Matrix, shape: tuple[int, int]
) -> jax.Array:
    """Return the outputs [b, *shape, c] of products [n, n, b, rows, columns, c]."""
    columns = combine(matrix, list(products), -2)
    tiles = combine(matrix, list(columns), 2)
    batch, down, _, across, _, channels = tiles.shape
    outputs = tiles.reshape(batch, 2 * down, 2 * across, channels)
    return outputs[:, : shape[0], : shape[1]]


def input_tiles(
    inputs: jax.Array, size: int, padding: Padding, matrix: Matrix
) -> jax.Array:
    """Return the transformed inputs of all tiles of 2x2 outputs.

    Tiles overlap: each has `size` + 1 rows and columns, and begins 2 pixels after the
    one before. Returns [size + 1, size + 1, b, rows of tiles, columns of tiles, c].
    """
    counts = [
        (length + 1) // 2 for length in output_shape(inputs, (size, size), padding)
    ]
    pads = [
        (low, 2 * count + 2 - length - low)
        for length, (low, _), count in zip(
            inputs.shape[1:3], padding, counts, strict=True
        )
    ]
    images = pad_image(inputs, (pads[0], pads[1]))
    return transform_tiles(images, size + 1, (counts[0], counts[1]), matrix)


def transform_tiles(
    images: jax.Array, size: int, counts: tuple[int, int], matrix: Matrix
) -> jax.Array:
    """Return M T M^T of all tiles T of `size` x `size` that begin at even pixels.

    Columns come first: [n, n, b, *counts, c] for a matrix M of n rows.
    """
    rows = combine(matrix, split(images, 1, size, counts[0]))
    return combine(matrix, split(rows, 3, size, counts[1]))


def split(x: jax.Array, axis: int, size: int, count: int) -> list[jax.Array]:
    """Return element i of the `count` overlapping parts of an axis, for i < size.

    Part k begins at 2 k. Not by slices with a stride of 2, whose gradients are slow on
    a CPU.
    """
    pairs = x.reshape(*x.shape[:axis], -1, 2, *x.shape[axis + 1 :])
    halves = [lax.index_in_dim(pairs, i, axis + 1, False) for i in (0, 1)]
    return [
        lax.slice_in_dim(halves[i % 2], i // 2, i // 2 + count, 1, axis)
        for i in range(size)
    ]


def transpose(matrix: Matrix) -> Matrix:
    """Return a matrix with rows and columns exchanged."""
    return list(zip(*matrix, strict=True))


def combine(matrix: Matrix, parts: list[jax.Array], axis: int = 0) -> jax.Array:
    """Return the matrix times the vector of parts, stacked along a new axis."""

    def row(factors: Sequence[float]) -> jax.Array:
        terms = [
            part if factor == 1 else float(factor) * part
            for factor, part in zip(factors, parts, strict=True)
            if factor
        ]
        return sum(terms[1:], start=terms[0])

    return jnp.stack([row(factors) for factors in matrix], axis)
