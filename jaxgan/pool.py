"""The history of generated images, as a pure function.

Shrivastava et al., arXiv 1612.07828, section 2.3; upstream util/image_pool.py: the
critic is shown, half of the time, an image that the generator made earlier.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxgan import keys
from jaxgan.types import Key, PyTree

Images = Float[Array, "b ..."]


def empty(size: int, shape: tuple[int, ...]) -> PyTree:
    """Return a pool for `size` images of `shape`; with size 0 it hands images on.

    `count` int32 [] says how many of `images` [size, *shape] are filled.
    """
    kind = jnp.result_type(float)
    return {
        "images": jnp.zeros((size, *shape), kind),
        "count": jnp.zeros((), jnp.int32),
    }


def draws(
    key: Key, size: int, index: Int[Array, " b"]
) -> tuple[Bool[Array, " b"], Int[Array, " b"]]:
    """Return for each example whether it changes places (p = 1/2), and with which slot.

    They depend on the example's `index` in the global batch alone.
    """

    def one(k: Key) -> tuple[Array, Array]:
        coin, place = jax.random.split(k)
        slot = jax.random.randint(place, (), 0, max(size, 1))
        return jax.random.uniform(coin) > 0.5, slot

    return keys.draw(one, key, keys.POOL, index)


def query(
    pool: PyTree,
    images: Images,
    exchange: Bool[Array, " all"],
    slots: Int[Array, " all"],
    axis_name: str | None = None,
) -> tuple[PyTree, Images]:
    """Return the pool after a batch of images, and the images for the critic.

    One image after the other: while the pool is not full, it is stored and returned;
    then, where `exchange`, the image at its slot is returned and the new one put
    there; otherwise it is returned and not stored. With `axis_name` all devices go
    through the global batch in its order, hold the same pool, and return their share:
    `images` is a device's, `exchange` and `slots` are those of the global batch.
    """
    size = pool["images"].shape[0]
    if size == 0:
        return pool, images
    share = images.shape[0]
    if axis_name is not None:
        images = lax.all_gather(images, axis_name, tiled=True)

    def step(pool: PyTree, each: tuple[Array, Array, Array]):
        image, swap, slot = each
        filling = pool["count"] < size
        place = jnp.where(filling, pool["count"], slot)
        stored = pool["images"][place]
        shown = jnp.where(swap & ~filling, stored, image)
        kept = jnp.where(swap | filling, image, stored)
        return {
            "images": pool["images"].at[place].set(kept),
            "count": pool["count"] + filling,
        }, shown

    pool, shown = lax.scan(step, pool, (images, exchange, slots))
    if axis_name is not None:
        first = lax.axis_index(axis_name) * share
        shown = lax.dynamic_slice_in_dim(shown, first, share)
    return pool, shown
