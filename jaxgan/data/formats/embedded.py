"""Sets that need no download: scikit-learn's handwritten digits and 2-D toy sets."""

import itertools

import numpy as np

from jaxgan.errors import UserError

TOY_SETS = ("8gaussians", "25gaussians", "swissroll")
# Standard deviation of one component, in the units of the points.
DEVIATIONS = {"8gaussians": 0.02 / 1.414, "25gaussians": 0.05 / 2.828}


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the handwritten digits of scikit-learn (real data, from UCI).

    Returns:
      uint8 [1797, 8, 8, 1] in [0, 255] (the set's 0 to 16 times 255/16, rounded) and
      int labels [1797] in [0, 10).

    Raises:
      UserError: scikit-learn is not installed.
    """
    bunch = sklearn_datasets("digits").load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    return images[..., None], bunch.target


def centers(name: str) -> np.ndarray:
    """Return the modes of '8gaussians' or '25gaussians', float32 [8 or 25, 2]."""
    if name == "8gaussians":
        side = 2 / np.sqrt(2)
        ring = [(2, 0), (-2, 0), (0, 2), (0, -2)]
        ring += itertools.product((side, -side), (side, -side))
        return np.asarray(ring, np.float32) / np.float32(1.414)
    grid = itertools.product(range(-4, 5, 2), repeat=2)
    return np.asarray(list(grid), np.float32) / np.float32(2.828)


def points(name: str, num: int, seed: int) -> np.ndarray:
    """Draw from a toy set of igul222/improved_wgan_training gan_toy.py.

    '8gaussians': ring of radius 2, standard deviation 0.02, all over 1.414.
    '25gaussians': the grid {-4, -2, 0, 2, 4}^2, standard deviation 0.05, all over
    2.828; as many points of each mode as `num` allows, shuffled.
    'swissroll': dimensions 0 and 2 of scikit-learn's roll with noise 0.25, over 7.5.

    igul222 draws the ring and the roll endlessly and fixes 100,000 points of the grid;
    here each is a fixed set, so that an epoch and a held-out part mean something.

    Args:
      name: one of TOY_SETS.
      num: number of points.
      seed: of numpy's generator.

    Returns:
      float32 [num, 2].

    Raises:
      UserError: 'swissroll' without scikit-learn.
    """
    if name == "swissroll":
        roll = sklearn_datasets(name).make_swiss_roll(
            num, noise=0.25, random_state=seed
        )
        return roll[0][:, [0, 2]].astype(np.float32) / np.float32(7.5)
    generator = np.random.default_rng(seed)
    modes = centers(name)
    if name == "8gaussians":
        chosen = generator.integers(len(modes), size=num)
    else:
        chosen = generator.permutation(np.arange(num) % len(modes))
    noise = generator.standard_normal((num, 2), np.float32)
    return modes[chosen] + np.float32(DEVIATIONS[name]) * noise


def sklearn_datasets(name: str):
    try:
        import sklearn.datasets
    except ImportError as error:
        raise UserError(
            f"data.name = {name}: needs scikit-learn (pip install scikit-learn)"
        ) from error
    return sklearn.datasets
