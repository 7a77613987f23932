"""The history of generated images, as a pure function.

Half of the time, the critic is shown an image that the generator made earlier.
Shrivastava et al. (arXiv 1612.07828), section 2.3; the official CycleGAN code,
util/image_pool.py (docs/papers.md, "CycleGAN: image pool").
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxgan import keys
from jaxgan.types import Key, PyTree

Images = Float[Array, "b ..."]


def empty_pool(size: int, shape: tuple[int, ...]) -> PyTree:
    """Return a pool for `size` images of `shape`; with size 0 it hands images on.

    {'images': [size, *shape], 'count': int32 []}, where `count` says how many of the
    images are filled, 0 to size.
    """
    # Arrays of a fixed size, so that the pool is part of the state: scanned, and saved
    # in checkpoints, where the official code's list is lost on resume.
    kind = jnp.result_type(float)
    return {
        "images": jnp.zeros((size, *shape), kind),
        "count": jnp.zeros((), jnp.int32),
    }


def draw_exchanges(
    key: Key, size: int, index: Int[Array, " b"]
) -> tuple[Bool[Array, " b"], Int[Array, " b"]]:
    """Draw for each image whether it changes places with one of the pool, and which.

    Args:
        key: of this step and domain.
        size: of the pool.
        index: numbers int32 [b] of the examples in the global batch; the draws depend
            on nothing else.

    Returns:
        Whether to exchange [b], true with p = 1/2, and the slot int32 [b], uniform in
        0 to size - 1. Neither depends on how full the pool is.
    """

    def draw(k: Key) -> tuple[Array, Array]:
        coin, place = jax.random.split(k)
        # randint wants a range of at least one slot, also for a pool of none.
        slot = jax.random.randint(place, (), 0, max(size, 1))
        return jax.random.uniform(coin) > 0.5, slot

    return keys.draw_per_example(draw, key, keys.POOL, index)


def query_pool(
    pool: PyTree,
    images: Images,
    exchange: Bool[Array, " all"],
    slots: Int[Array, " all"],
    axis_name: str | None = None,
) -> tuple[PyTree, Images]:
    """Return the pool after a batch of images, and the images for the critic.

    `ImagePool.query` of the official code, image by image. While the pool is not
    full, the image is stored and returned. Afterwards, where `exchange` is true, the
    image at its slot is returned and the new one takes that slot; otherwise the new
    one is returned and not stored.

    Args:
        pool: as `empty_pool` returns it, the same on all devices.
        images: generated images [b, ...], this device's share of the batch.
        exchange: [all], for the whole global batch.
        slots: int32 [all], likewise, each 0 to size - 1.
        axis_name: the mapped axis of the devices, None on one device.

    Returns:
        The new pool, and images [b, ...]: what the critic sees for this share.
    """
    size = pool["images"].shape[0]
    if size == 0:
        return pool, images
    share = images.shape[0]
    if axis_name is not None:
        # Images meet the pool in the order of the global batch, and a slot may be drawn
        # twice in it. So every device takes all images through its copy of the pool.
        # The official code has a pool on each device: there the number of devices
        # changes what is trained.
        images = lax.all_gather(images, axis_name, tiled=True)

    # A scan, because each image meets the pool as the ones before it have left it.
    def step(pool: PyTree, each: tuple[Array, Array, Array]):
        image, exchange, slot = each
        filling = pool["count"] < size
        place = jnp.where(filling, pool["count"], slot)
        stored = pool["images"][place]
        shown = jnp.where(exchange & ~filling, stored, image)
        # Something is written in every case, so that no branch is needed.
        kept = jnp.where(exchange | filling, image, stored)
        return {
            "images": pool["images"].at[place].set(kept),
            "count": pool["count"] + filling,
        }, shown

    pool, shown = lax.scan(step, pool, (images, exchange, slots))
    if axis_name is not None:
        first = lax.axis_index(axis_name) * share
        shown = lax.dynamic_slice_in_dim(shown, first, share)
    return pool, shown
