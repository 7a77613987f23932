"""How images, kernels and padding lie in the arrays of this folder."""

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
