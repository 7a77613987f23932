"""How images, kernels and padding lie in the arrays of this folder."""

from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
from jax import lax

LAYOUT = ("NHWC", "HWIO", "NHWC")
FEW_CHANNELS = 4  # up to so many, the kernel's columns are counted as channels

Padding = tuple[tuple[int, int], tuple[int, int]]  # ((above, below), (left, right))


def pad_image(inputs: jax.Array, padding: Padding) -> jax.Array:
    """Put zeros around images [b, h, w, c]; negative numbers cut rows or columns."""
    rows, columns = ((*pads, 0) for pads in padding)
    zero = jnp.zeros((), inputs.dtype)
    return lax.pad(inputs, zero, [(0, 0, 0), rows, columns, (0, 0, 0)])


def blocks_as_channels(inputs: jax.Array) -> jax.Array:
    """Return [b, h / 2, w / 2, 4 c] of images [b, h, w, c] with even sides."""
    batch, height, width, channels = inputs.shape
    blocks = inputs.reshape(batch, height // 2, 2, width // 2, 2, channels)
    blocks = blocks.transpose(0, 1, 3, 2, 4, 5)
    return blocks.reshape(batch, height // 2, width // 2, 4 * channels)


def output_shape(
    inputs: jax.Array, taps: Sequence[int], padding: Padding
) -> tuple[int, int]:
    """Return height and width of a convolution of stride 1 of images [b, h, w, c]."""
    height, width = (
        length + sum(pads) - count + 1
        for length, pads, count in zip(inputs.shape[1:3], padding, taps, strict=True)
    )
    return height, width


def padding_of_gradient(taps: Sequence[int], padding: Padding) -> Padding:
    """Return the padding of a convolution's input gradient, itself a convolution.

    It is that around the outputs' cotangents, which the reversed kernel goes over.
    """
    rows, columns = (
        (count - 1 - low, count - 1 - high)
        for count, (low, high) in zip(taps, padding, strict=True)
    )
    return rows, columns


def stack_windows(
    images: jax.Array, shifts: Iterable[tuple[int, int]], height: int, width: int
) -> jax.Array:
    """Return [b, height, width, n c]: the images shifted n times, as channels.

    A shift is by how many pixels a window begins below and right of the first.
    """
    windows = [images[:, i : i + height, j : j + width] for i, j in shifts]
    return jnp.concatenate(windows, axis=-1)
