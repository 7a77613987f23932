"""Data sets that are kept on the devices, and batches made of them there.

The host sends only a plan of each batch, in int32: which examples, and for pairs where
to crop and whether to mirror. The batches are those of `data.loader` to the byte.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxgan.types import Array, Batch


class DeviceData(NamedTuple):
    """The training examples of a run, to be kept on each of its devices.

    Attributes:
        arrays: all examples.
        gather: (arrays, plan) -> batch.
    """

    arrays: dict[str, np.ndarray]
    gather: Callable[[dict[str, Array], Batch], Batch]

    @property
    def num_bytes(self) -> int:
        """What the arrays take on one device, in bytes."""
        return sum(array.nbytes for array in self.arrays.values())


def gather_examples(arrays: dict[str, Array], plan: Batch) -> Batch:
    """Return the examples whose indices the plan has.

    Args:
        arrays: {'image': [num, *shape], 'label': int32 [num]}.
        plan: {'index': int32 [...]}, in [0, num).

    Returns:
        {'image': [..., *shape], 'label': int32 [...]}.
    """
    index = plan["index"]
    return {
        name: array.at[index].get(mode="promise_in_bounds")
        for name, array in arrays.items()
    }


def gather_crops(arrays: dict[str, Array], plan: Batch, size: int) -> Batch:
    """Return square crops of images of any sizes.

    Args:
        arrays: {'a': uint8 [pixels, c], 'b': the same}: the images' pixels, row by row,
            one image after another.
        plan: {'a': int32 [..., 3], 'b': the same}: the number of the crop's first pixel
            in the array, the image's width, and 1 to mirror the crop or 0.
        size: height and width of the crops.

    Returns:
        {'a': uint8 [..., size, size, c], 'b': the same}.
    """

    def cut_crop(pixels: Array, crop: Array) -> Array:
        first, width, flip = crop

        def cut_row(number: Array) -> Array:
            start = first + number * width
            shape = size, pixels.shape[1]
            return lax.dynamic_slice(
                pixels, (start, 0), shape, allow_negative_indices=False
            )

        rows = jax.vmap(cut_row)(jnp.arange(size, dtype=jnp.int32))
        return jnp.where(flip, rows[:, ::-1], rows)

    batch = {}
    for name, pixels in arrays.items():
        lead = plan[name].shape[:-1]
        crops = jax.vmap(cut_crop, (None, 0))(pixels, plan[name].reshape(-1, 3))
        batch[name] = crops.reshape(*lead, size, size, -1)
    return batch
