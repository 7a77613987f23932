"""Data sets without a download: scikit-learn's handwritten digits, 2-D toy sets."""

import importlib.util
import itertools
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from jaxgan.errors import UserError

TOY_SETS = ("8gaussians", "25gaussians", "swissroll")
# Standard deviation of each Gaussian, in the units of the returned points.
DEVIATIONS = {"8gaussians": 0.02 / 1.414, "25gaussians": 0.05 / 2.828}


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the handwritten digits of scikit-learn (real data, from UCI).

    Returns:
      images, uint8 [1797, 8, 8, 1] in [0, 255] (the set's values from 0 to 16, times
      255/16 and rounded), and labels, integers [1797] in [0, 10).

    Raises:
      UserError: scikit-learn is not installed.
    """
    file = _digits_file()
    if file is not None:
        table = np.loadtxt(file, delimiter=",")
        levels, labels = table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(int)
    else:
        bunch = sklearn_datasets("digits").load_digits()
        levels, labels = bunch.images, bunch.target
    images = np.rint(levels * (255 / 16)).astype(np.uint8)
    return images[..., None], labels


def _digits_file() -> Path | None:
    """Return scikit-learn's file of digits, found without importing scikit-learn.

    The import takes a second of each start, reading the file a tenth of it.
    """
    with suppress(ImportError):
        package = importlib.util.find_spec("sklearn")
        for folder in (package and package.submodule_search_locations) or ():
            file = Path(folder, "datasets", "data", "digits.csv.gz")
            if file.is_file():
                return file
    return None


def centers(name: str) -> np.ndarray:
    """Return the centres of '8gaussians' or '25gaussians', float32 [8 or 25, 2]."""
    if name == "8gaussians":
        side = 2 / np.sqrt(2)
        ring = [(2, 0), (-2, 0), (0, 2), (0, -2)]
        ring += itertools.product((side, -side), (side, -side))
        return np.asarray(ring, np.float32) / np.float32(1.414)
    grid = itertools.product(range(-4, 5, 2), repeat=2)
    return np.asarray(list(grid), np.float32) / np.float32(2.828)


def points(name: str, num: int, seed: int) -> np.ndarray:
    """Draw points of a toy set of igul222/improved_wgan_training, gan_toy.py.

    '8gaussians': a ring of radius 2 and standard deviation 0.02, divided by 1.414.
    '25gaussians': the grid {-4, -2, 0, 2, 4}^2 with standard deviation 0.05, divided by
    2.828; each centre has the same number of points, as far as `num` allows, in random
    order.
    'swissroll': dimensions 0 and 2 of scikit-learn's roll with noise 0.25, divided by
    7.5.

    The authors' code draws endless points of the ring and the roll, and a fixed set of
    100,000 points of the grid. Here each is a fixed set, so that an epoch and a
    held-out part have a meaning.

    Args:
      name: one of TOY_SETS.
      num: number of points.
      seed: seed of numpy's generator.

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


def sklearn_datasets(name: str) -> Any:
    """Import sklearn.datasets; raises UserError, naming `data.name`, without it."""
    try:
        import sklearn.datasets
    except ImportError as error:
        raise UserError(
            f"data.name = {name}: needs scikit-learn (pip install scikit-learn)"
        ) from error
    return sklearn.datasets
