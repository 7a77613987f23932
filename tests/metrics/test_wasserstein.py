"""Distances between samples against closed forms, brute force and scipy."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from jaxgan.metrics.wasserstein import modes_covered, wasserstein_1


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_wasserstein_of_a_set_and_itself_is_zero(rng):
    x = rng.normal(size=(50, 3))
    assert wasserstein_1(x, x) == 0.0


def test_wasserstein_of_a_translation_is_its_length(rng):
    x = rng.normal(size=(50, 2))
    assert wasserstein_1(x, x + np.array([[3.0, 4.0]])) == pytest.approx(5.0, rel=1e-12)


def test_wasserstein_does_not_depend_on_the_order(rng):
    x, y = rng.normal(size=(2, 40, 4))
    shuffled = wasserstein_1(rng.permutation(x), rng.permutation(y))
    assert shuffled == pytest.approx(wasserstein_1(x, y), rel=1e-12)


def test_wasserstein_is_symmetric(rng):
    x, y = rng.normal(size=(2, 40, 4))
    assert wasserstein_1(x, y) == pytest.approx(wasserstein_1(y, x), rel=1e-12)


def test_wasserstein_of_scalars_agrees_with_scipy(rng):
    x = rng.normal(size=(200, 1))
    y = rng.gamma(2.0, size=(200, 1))
    expected = stats.wasserstein_distance(x[:, 0], y[:, 0])
    assert wasserstein_1(x, y) == pytest.approx(expected, rel=1e-12)


def test_wasserstein_agrees_with_trying_every_permutation(rng):
    x, y = rng.normal(size=(2, 5, 3))
    expected = min(
        np.mean([math.dist(x[i], y[j]) for i, j in enumerate(permutation)])
        for permutation in itertools.permutations(range(5))
    )
    assert wasserstein_1(x, y) == pytest.approx(expected, rel=1e-12)


def test_wasserstein_flattens_images_and_computes_in_float64():
    # Bytes must not wrap around (1 - 255 = 2): sqrt(2 * 3 * 1) pixels, each 254 apart.
    x = np.full((4, 2, 3, 1), 1, np.uint8)
    y = np.full((4, 2, 3, 1), 255, np.uint8)
    assert wasserstein_1(x, y) == pytest.approx(254 * math.sqrt(6), rel=1e-12)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((4, 2)), np.zeros((5, 2)), "same shape"),
        (np.zeros((4, 2)), np.zeros((4, 3)), "same shape"),
        (np.zeros((0, 2)), np.zeros((0, 2)), r"x has shape \(0, 2\)"),
        (np.zeros(4), np.zeros(4), r"x has shape \(4,\)"),
        (np.zeros((1, 2)), np.array([[0.0, np.nan]]), "y holds values"),
        (np.array([[0.0, np.inf]]), np.zeros((1, 2)), "x holds values"),
    ],
)
def test_wasserstein_refuses(x, y, message):
    with pytest.raises(ValueError, match=message):
        wasserstein_1(x, y)


CENTRES = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])


def test_modes_are_covered_by_one_sample_within_the_radius():
    samples = np.array([[0.0, 1.0], [0.5, 0.0], [10.0, 1.1], [5.0, 5.0]])
    assert modes_covered(samples, CENTRES, radius=1.0) == (1, 0.5)
    assert modes_covered(samples, CENTRES, radius=1.2) == (2, 0.75)


def test_a_sample_within_the_radius_of_two_modes_covers_the_nearer():
    assert modes_covered(np.array([[4.0, 0.0]]), CENTRES, radius=9.0) == (1, 1.0)


def test_no_mode_is_covered_from_afar():
    assert modes_covered(np.array([[99.0, 99.0]]), CENTRES, radius=1.0) == (0, 0.0)


def test_samples_of_the_mixture_cover_it(rng):
    component = rng.integers(3, size=20_000)
    samples = CENTRES[component] + rng.normal(size=(20_000, 2))
    covered, share = modes_covered(samples, CENTRES, radius=3.0)
    assert covered == 3
    # P(||N(0, I_2)|| <= 3) = 1 - exp(-9/2); standard error 0.0007.
    assert share == pytest.approx(1 - math.exp(-4.5), abs=0.003)


@pytest.mark.parametrize(
    ("samples", "radius", "message"),
    [
        (np.zeros((0, 2)), 1.0, "samples has shape"),
        (np.array([[np.nan, 0.0]]), 1.0, "samples holds values"),
        (np.zeros((1, 2)), 0.0, "radius = 0.0"),
        (np.zeros((1, 2)), math.nan, "radius = nan"),
    ],
)
def test_modes_covered_refuses(samples, radius, message):
    with pytest.raises(ValueError, match=message):
        modes_covered(samples, CENTRES, radius)
