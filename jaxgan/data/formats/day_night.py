"""Pair whose true translations are known: photographs by day, and graded as night.

It is made from the two photographs of scikit-learn.
"""

import itertools

import numpy as np
from PIL import Image

from jaxgan.data import transforms
from jaxgan.data.cache import PackedImages, pack_images
from jaxgan.data.formats.embedded import sklearn_datasets
from jaxgan.data.image_formats import ImageFormat, pair_formats
from jaxgan.data.memory import check_fits
from jaxgan.errors import UserError

# Each photograph, 427 x 640 pixels, is cut into square tiles of this side.
TILE = 85
# The purpose of each tile: d for day, n for night, h for held out. Day and night
# alternate like the fields of a chessboard, so that both show sky, roofs, trees, petals
# and leaves. The held-out tiles were chosen so that the three purposes are alike in
# colours and gradients.
LAYOUT = (
    ("hnhndhd", "ndndndn", "dndhdhd", "ndhdndn", "hndndnh"),  # china.jpg
    ("ndhdnhn", "dndndnh", "nhnhndn", "dndndhd", "ndndhdh"),  # flower.jpg
)
# The grading for night: colours fade towards gray, lights keep their contrast and
# shadows lose theirs, and red and green are dimmed more than blue. An intensity x in
# [0, 1]^3 becomes
#   GAIN * (MIX x)^GAMMA with MIX = (1 - FADE) identity + FADE (each row is LUMA).
LUMA = np.array([0.3, 0.6, 0.1])
FADE = 0.4
MIX = (1 - FADE) * np.eye(3) + FADE * LUMA
GAMMA = np.array([1.8, 1.6, 1.3])
GAIN = np.array([0.45, 0.55, 0.85])


def night(images: np.ndarray) -> np.ndarray:
    """Grade uint8 images [..., 3] taken by day as if they were taken at night.

    As a function of real numbers it has an exact inverse, `day`.
    """
    return _to_uint8(GAIN * (images / 255 @ MIX.T) ** GAMMA)


def day(images: np.ndarray) -> np.ndarray:
    """Undo `night` of uint8 images [..., 3], except for the rounding to uint8."""
    return _to_uint8((images / 255 / GAIN) ** (1 / GAMMA) @ np.linalg.inv(MIX).T)


def _to_uint8(values: np.ndarray) -> np.ndarray:
    return np.rint(255 * values.clip(0, 1)).astype(np.uint8)


def tiles(purpose: str) -> np.ndarray:
    """Return the tiles of one purpose, as photographed.

    Args:
      purpose: 'd', 'n' or 'h', as in LAYOUT.

    Returns:
      uint8 [n, TILE, TILE, 3].

    Raises:
      UserError: scikit-learn is not installed.
    """
    photographs = sklearn_datasets("day_night").load_sample_images().images
    rows, columns = len(LAYOUT[0]), len(LAYOUT[0][0])
    found = [
        photograph[TILE * row :, TILE * column :][:TILE, :TILE]
        for row, column in itertools.product(range(rows), range(columns))
        for photograph, layout in zip(photographs, LAYOUT, strict=True)
        if layout[row][column] == purpose
    ]
    return np.stack(found)


def parts(resize: int, image_size: int, channels: int) -> list[PackedImages]:
    """Return train_a (day), train_b (night), heldout_a (day) and heldout_b (night).

    The two held-out parts show the same tiles. Tiles are resized first and graded
    afterwards, so that heldout_b is exactly `night` of heldout_a.

    Args:
      resize, image_size, channels: as in pairs.load_pair.

    Raises:
      UserError: gray images are asked for, or images larger than the tiles, or more
        than fit into memory, or scikit-learn is not installed.
    """
    if channels == 1:
        raise UserError("data.channels = 1: day_night is made of colour images")
    count = sum(map(len, itertools.chain(*LAYOUT)))
    # While tiles are graded, their intensities are numbers of 8 bytes.
    num_bytes = count * 3 * 8 * (resize or TILE) ** 2
    check_fits(num_bytes, f"data.resize = {resize}", "a smaller one expected")
    train, cut = pair_formats(resize, image_size, 3, convert=False)
    heldout = _tiles_in_format("h", cut)
    images = (
        _tiles_in_format("d", train),
        night(_tiles_in_format("n", train)),
        heldout,
        night(heldout),
    )
    return [pack_images(part) for part in images]


def _tiles_in_format(purpose: str, image_format: ImageFormat) -> np.ndarray:
    name = "data.name = day_night"
    photographs = (Image.fromarray(tile) for tile in tiles(purpose))
    return np.stack(
        [transforms.image_to_format(tile, name, image_format) for tile in photographs]
    )
