"""Images between uint8 at the edges and floats inside."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import keys
from jaxgan.types import Array, Key

VALUE_RANGES = ("symmetric", "unit", "dequantized")


def decode(
    images: Array, value_range: str, key: Key, index: Array | None = None
) -> Array:
    """Return uint8 images [b, h, w, c] as floats; floats (points) pass unchanged.

    `symmetric` is x / 127.5 - 1 in [-1, 1]; `unit` is x / 255 in [0, 1] (igul222's
    gan_mnist.py); `dequantized` is 2 (x / 256 - 1/2) + U[0, 1/128) in [-1, 1), one
    draw a pixel (igul222's gan_cifar_resnet.py), which needs the `index` of the
    examples, int32 [b]. The penalty depends on the range.
    """
    if jnp.issubdtype(images.dtype, jnp.floating):
        return images.astype(jnp.result_type(float))
    floats = images.astype(jnp.result_type(float))
    if value_range == "symmetric":
        return floats / 127.5 - 1
    if value_range == "unit":
        return floats / 255
    assert index is not None
    noise = keys.draw(
        lambda k: jax.random.uniform(k, images.shape[1:]),
        key,
        keys.DEQUANTIZATION,
        index,
    )
    return 2 * (floats / 256 - 0.5) + noise / 128


def encode(images: np.ndarray, value_range: str) -> np.ndarray:
    """Return float images as uint8, rounded to the nearest of `decode`'s values.

    Dequantized images are floored, which undoes `decode` exactly.
    """
    images = np.asarray(images, np.float32)
    if value_range == "symmetric":
        levels = np.rint((images + 1) * 127.5)
    elif value_range == "unit":
        levels = np.rint(images * 255)
    else:
        levels = np.floor((images + 1) * 128)
    return np.clip(levels, 0, 255).astype(np.uint8)
