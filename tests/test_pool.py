"""The image pool against the rule of its authors' code, image by image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import pool

SHAPE = (2, 3, 1)


def reference(kept, size, images, exchange, slots):
    """Change the list `kept`; return what is shown (util/image_pool.py, its rule)."""
    shown = []
    for image, exchanged, slot in zip(images, exchange, slots, strict=True):
        if len(kept) < size:
            kept.append(image)
        elif size and exchanged:
            image, kept[slot] = kept[slot], image
        shown.append(image)
    return np.array(shown)


def batches_of(count, batch):
    """Return batches of images, no two alike."""
    shape = (count, batch, *SHAPE)
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def draws_of(size, count, batch, seed=0):
    """Return recorded draws: whether to exchange, and the slot, of each image."""
    rng = np.random.default_rng(seed)
    exchange = rng.random((count, batch)) > 0.5
    return exchange, rng.integers(0, max(size, 1), (count, batch), np.int32)


query = jax.jit(pool.query_pool, static_argnums=4)


@pytest.mark.parametrize(
    ("size", "batch"),
    [(0, 3), (1, 1), (1, 4), (3, 1), (3, 2), (3, 8), (5, 5), (50, 4)],
)
def test_pool_is_the_authors_one_image_after_the_other(size, batch):
    count = 4 + 2 * size // batch
    state, kept = pool.empty_pool(size, SHAPE), []
    exchanges = 0
    for images, *draws in zip(
        batches_of(count, batch), *draws_of(size, count, batch), strict=True
    ):
        expected = reference(kept, size, images, *draws)
        state, shown = query(state, *map(jnp.asarray, (images, *draws)), None)
        np.testing.assert_array_equal(shown, expected)
        assert state["count"] == len(kept) == min(size, len(kept))
        found = state["images"][: len(kept)]
        np.testing.assert_array_equal(found, np.reshape(kept, (-1, *SHAPE)))
        exchanges += np.sum(expected != images) // np.prod(SHAPE)
    # Both branches were taken, but by an empty pool.
    assert 0 < exchanges < count * batch - size or not size


def test_a_slot_drawn_twice_in_a_batch_gives_the_first_image_away_again():
    full = {"images": jnp.full((2, *SHAPE), -1.0), "count": jnp.array(2, jnp.int32)}
    images = jnp.asarray(batches_of(1, 3)[0])
    draws = jnp.array([True, True, False]), jnp.array([1, 1, 1])
    after, shown = pool.query_pool(full, images, *draws)
    np.testing.assert_array_equal(shown, [full["images"][1], images[0], images[2]])
    np.testing.assert_array_equal(after["images"][1], images[1])


def test_a_filling_pool_shows_every_image_whatever_the_draws():
    images = jnp.asarray(batches_of(1, 4)[0])
    always = jnp.ones(4, bool), jnp.zeros(4, jnp.int32)
    state, shown = pool.query_pool(pool.empty_pool(4, SHAPE), images, *always)
    np.testing.assert_array_equal(shown, images)
    np.testing.assert_array_equal(state["images"], images)


def test_an_image_is_exchanged_half_of_the_time_with_any_slot_alike():
    count, size = 20_000, 50
    exchange, slots = pool.draw_exchanges(jax.random.key(1), size, jnp.arange(count))
    deviation = np.sqrt(count) / 2
    assert abs(int(exchange.sum()) - count / 2) < 4 * deviation
    for chosen in (slots, slots[exchange]):  # the coin says nothing about the slot
        found = np.bincount(chosen, minlength=size)
        assert found.shape == (size,)
        expected = len(chosen) / size
        chi_square = np.sum((found - expected) ** 2 / expected)
        assert chi_square < 85.4  # 49 degrees of freedom, 99.9 %
    others, _ = pool.draw_exchanges(jax.random.key(2), size, jnp.arange(count))
    assert abs(int((exchange == others).sum()) - count / 2) < 4 * deviation


def test_draws_go_by_the_place_in_the_global_batch():
    def draws(index):
        return pool.draw_exchanges(jax.random.key(3), 5, index)

    undivided = draws(jnp.arange(8))
    parts = jax.vmap(draws)(jnp.arange(8).reshape(4, 2))
    for whole, part in zip(undivided, parts, strict=True):
        np.testing.assert_array_equal(whole, part.reshape(8))


def test_devices_keep_one_pool_over_the_global_batch():
    size, count, batch, devices = 10, 5, 8, 4
    images, draws = batches_of(count, batch), draws_of(size, count, batch)
    # With out_axes=None vmap raises where the devices' pools could differ.
    query_on_devices = jax.vmap(
        lambda *arguments: pool.query_pool(*arguments, "device"),
        axis_name="device",
        in_axes=(None, 0, None, None),
        out_axes=(None, 0),
    )
    query_on_devices = jax.jit(query_on_devices)
    one = many = pool.empty_pool(size, SHAPE)
    for step in range(count):
        each = [jnp.asarray(x[step]) for x in (images, *draws)]
        one, shown = query(one, *each, None)
        split = each[0].reshape(devices, -1, *SHAPE)
        many, parts = query_on_devices(many, split, *each[1:])
        np.testing.assert_array_equal(parts.reshape(shown.shape), shown)
        for name in ("images", "count"):
            np.testing.assert_array_equal(one[name], many[name])
