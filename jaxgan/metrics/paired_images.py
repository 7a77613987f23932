"""Metrics of generated images beside the true ones, in jax."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def psnr(
    images: Float[Array, "b h w c"], others: Float[Array, "b h w c"]
) -> Float[Array, ""]:
    """Return the mean peak signal-to-noise ratio of pairs of images [], in dB.

    10 log10(2^2 / mean squared difference) of each pair, for images in [-1, 1], whose
    range is 2. Higher is nearer; 0 dB and more for images in the range.

    Args:
        images: [b, h, w, c] in [-1, 1].
        others: the same shape and range; the order of the two does not matter.

    Returns:
        The mean over the b pairs of their ratios in dB, which is not the ratio of
        the mean squared difference. At most 106 dB, the value of equal images.
    """
    squares = jnp.mean(jnp.square(images - others), axis=(1, 2, 3))
    # Equal images have an infinite ratio; one such pair would hide all others.
    return jnp.mean(10 * jnp.log10(4 / jnp.maximum(squares, 1e-10)))
