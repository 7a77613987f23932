"""Images in and out: exact round trips, and pictures of the right size."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgan import pixels
from jaxgan.files import pictures

KEY = jax.random.key(0)
LEVELS = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)


@pytest.mark.parametrize("value_range", pixels.VALUE_RANGES)
def test_every_level_survives_the_round_trip(value_range):
    floats = pixels.to_floats(
        jnp.array(LEVELS), value_range, KEY, jnp.arange(len(LEVELS))
    )
    np.testing.assert_array_equal(pixels.to_uint8(floats, value_range), LEVELS)


def test_ranges():
    ends = jnp.array([0, 255], jnp.uint8).reshape(1, 1, 2, 1)
    symmetric = pixels.to_floats(ends, "symmetric", KEY)
    np.testing.assert_array_equal(np.ravel(symmetric), [-1, 1])
    np.testing.assert_array_equal(np.ravel(pixels.to_floats(ends, "unit", KEY)), [0, 1])


def test_dequantization_noise_is_below_one_level_and_differs_between_pixels():
    black = jnp.zeros((4, 8, 8, 3), jnp.uint8)
    floats = np.asarray(
        pixels.to_floats(black, "dequantized", KEY, jnp.arange(black.shape[0]))
    )
    assert floats.min() >= -1
    assert floats.max() < -1 + 1 / 128
    assert len(np.unique(floats)) > 700
    assert floats.mean() == pytest.approx(-1 + 1 / 256, abs=5e-4)


def test_points_pass_unchanged():
    points = jnp.array([[0.5, -2.0]])
    np.testing.assert_array_equal(pixels.to_floats(points, "symmetric", KEY), points)


def test_to_uint8_clips_what_is_out_of_range():
    wild = np.array([-9.0, 9.0]).reshape(1, 1, 2, 1)
    for value_range in pixels.VALUE_RANGES:
        np.testing.assert_array_equal(
            np.ravel(pixels.to_uint8(wild, value_range)), [0, 255]
        )


def test_grid_places_images_row_by_row():
    tiles = np.stack([np.full((32, 32, 1), n, np.uint8) for n in range(5)])
    picture = pictures.grid(tiles, columns=3)
    assert picture.shape == (66, 100, 1)
    assert picture[0, 0] == 0
    assert picture[0, 34] == 1
    assert picture[34, 0] == 3
    assert picture[32, 0] == 128


def test_small_images_are_enlarged_without_smoothing():
    picture = pictures.grid(LEVELS)
    assert picture.shape == (32, 32, 1)
    np.testing.assert_array_equal(picture[::2, ::2, 0], LEVELS[0, ..., 0])


def test_png_is_lossless():
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    read = np.asarray(Image.open(io.BytesIO(pictures.png(picture))))
    np.testing.assert_array_equal(read, picture)


def test_scatter_puts_a_point_where_it_belongs():
    real = np.array([[-2.0, -2.0], [2.0, 2.0]])
    picture = pictures.scatter(np.array([[2.0, 2.0]]), real, size=101, extent=4.0)
    assert picture[25, 75].tolist() == [200, 30, 30]
    assert picture[75, 25].tolist() == [190, 190, 190]
    assert picture[25, 25].tolist() == [255, 255, 255]
