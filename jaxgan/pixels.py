"""Pixel values: uint8 in files and batches, floats in the networks.

Batches reach the device as uint8, a quarter of float32's bytes.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import keys
from jaxgan.types import Array, Key

VALUE_RANGES = ("symmetric", "unit", "dequantized")


def to_floats(
    images: Array,
    value_range: str,
    key: Key | None = None,
    index: Array | None = None,
) -> Array:
    """Return uint8 images [b, h, w, c] as floats of the same shape.

    Floats (the points of the toy sets) pass unchanged.

    Args:
        images: uint8 [b, h, w, c], or floats [b, ...].
        value_range: 'symmetric', x / 127.5 - 1 in [-1, 1]; 'unit', x / 255 in [0, 1];
            'dequantized', 2 (x / 256 - 1/2) + U[0, 1/128) in [-1, 1).
        key: of the turn; only 'dequantized' needs it.
        index: numbers int32 [b] of the examples in the global batch; only
            'dequantized' needs it.
    """
    # The gradient penalty depends on the range, so each recipe keeps its authors'
    # (igul222/improved_wgan_training): 'unit' in gan_mnist.py, 'dequantized' in
    # gan_cifar_resnet.py, 'symmetric' elsewhere.
    if jnp.issubdtype(images.dtype, jnp.floating):
        return images.astype(jnp.result_type(float))
    floats = images.astype(jnp.result_type(float))
    if value_range == "symmetric":
        return floats / 127.5 - 1
    if value_range == "unit":
        return floats / 255
    assert key is not None
    assert index is not None
    # 1/128 is the width of one of the 256 levels, so the noise fills the gap to the
    # next one: the critic cannot tell real images by their values being discrete.
    noise = keys.draw_per_example(
        lambda k: jax.random.uniform(k, images.shape[1:]),
        key,
        keys.DEQUANTIZATION,
        index,
    )
    return 2 * (floats / 256 - 0.5) + noise / 128


def to_uint8(images: np.ndarray, value_range: str) -> np.ndarray:
    """Return float images [..., h, w, c] as uint8 of the same shape.

    The nearest level of `to_floats`, which this undoes exactly. Values outside of
    `value_range` are clipped.
    """
    images = np.asarray(images, np.float32)
    # Rounded, where igul222's and the official CycleGAN code truncate, which darkens
    # images by half a level on average. Dequantized ones are floored, because their
    # noise lies above the level.
    if value_range == "symmetric":
        levels = np.rint((images + 1) * 127.5)
    elif value_range == "unit":
        levels = np.rint(images * 255)
    else:
        levels = np.floor((images + 1) * 128)
    return np.clip(levels, 0, 255).astype(np.uint8)
