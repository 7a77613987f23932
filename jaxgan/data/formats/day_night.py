"""Two domains of which the truth is known: day, and the same photographs at night."""

import itertools

import numpy as np
from PIL import Image

from jaxgan.data import transforms
from jaxgan.data.cache import Packed, packed
from jaxgan.data.formats.embedded import sklearn_datasets
from jaxgan.errors import UserError

# Each photograph of scikit-learn, 427 x 640, is cut into tiles of this side.
TILE = 85
# What each tile is for: d day, n night, h held out. Day and night lie like the fields
# of a chessboard, so that both show sky, roofs, trees, petals and leaves; the held-out
# tiles are those that keep all three alike in colours and gradients.
LAYOUT = (
    ("hnhndhd", "ndndndn", "dndhdhd", "ndhdndn", "hndndnh"),  # china.jpg
    ("ndhdnhn", "dndndnh", "nhnhndn", "dndndhd", "ndndhdh"),  # flower.jpg
)
# Night: colours go towards gray, lights keep their contrast and shadows lose theirs,
# red and green are dimmed more than blue. For an intensity x in [0, 1]^3
#   GAIN * (MIX x)^GAMMA, MIX = (1 - FADE) identity + FADE (each row LUMA).
LUMA = np.array([0.3, 0.6, 0.1])
FADE = 0.4
MIX = (1 - FADE) * np.eye(3) + FADE * LUMA
GAMMA = np.array([1.8, 1.6, 1.3])
GAIN = np.array([0.45, 0.55, 0.85])


def night(images: np.ndarray) -> np.ndarray:
    """Grade uint8 images [..., 3] of the day as if they were taken at night.

    As a function of real numbers it can be undone exactly: see `day`.
    """
    return _rounded(GAIN * (images / 255 @ MIX.T) ** GAMMA)


def day(images: np.ndarray) -> np.ndarray:
    """Undo `night`, but for its rounding; uint8 [..., 3]."""
    return _rounded((images / 255 / GAIN) ** (1 / GAMMA) @ np.linalg.inv(MIX).T)


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.rint(255 * values.clip(0, 1)).astype(np.uint8)


def tiles(purpose: str) -> np.ndarray:
    """Return the tiles for 'd', 'n' or 'h' as photographed, uint8 [n, TILE, TILE, 3].

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


def parts(resize: int, image_size: int, channels: int) -> list[Packed]:
    """Return train_a (day), train_b (night), heldout_a and heldout_b, the same tiles.

    Tiles are brought to a size and then graded, so that the truth of the held-out part
    is exact.

    Args:
      resize, image_size, channels: as in pairs.load_pair.

    Raises:
      UserError: gray images are asked for, or larger ones than the tiles, or
        scikit-learn is not installed.
    """
    if channels == 1:
        raise UserError("data.channels = 1: day_night is made of colour images")
    whole, cut = transforms.pair_forms(resize, image_size, 3, convert=False)
    heldout = _fitted("h", cut)
    images = _fitted("d", whole), night(_fitted("n", whole)), heldout, night(heldout)
    return [packed(one) for one in images]


def _fitted(purpose: str, form: transforms.Format) -> np.ndarray:
    photographs = (Image.fromarray(tile) for tile in tiles(purpose))
    return np.stack(
        [transforms.fit(one, "data.name = day_night", form) for one in photographs]
    )
