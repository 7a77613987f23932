"""Two domains of which the truth is known: day, and the same photographs at night."""

import numpy as np
from PIL import Image

from jaxgan.data import transforms
from jaxgan.data.cache import Packed, packed
from jaxgan.data.embedded import sklearn_datasets
from jaxgan.errors import UserError

# Each photograph of scikit-learn, 427 x 640, is cut into tiles of this side.
TILE = 106
# What each tile is for: d day, n night, h held out. The domains share no tile, and a
# tile of one has neighbours of the other, so that both show the same kinds of things.
LAYOUT = (
    ("dnhdnd", "ndndhn", "hdndnd", "ndhndn"),  # china.jpg
    ("dnhdnd", "ndndhn", "hdndnd", "ndhndn"),  # flower.jpg
)
GAMMA = np.array([1.8, 1.5, 1.15])
GAIN = np.array([0.75, 0.85, 1.0])


def night(images: np.ndarray) -> np.ndarray:
    """Grade uint8 images [..., 3] of the day as if taken at night."""
    return _rounded(GAIN * (images / 255) ** GAMMA)


def day(images: np.ndarray) -> np.ndarray:
    """Undo `night`, uint8 [..., 3], but for its rounding."""
    return _rounded((images / 255 / GAIN) ** (1 / GAMMA))


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.rint(255 * values.clip(0, 1)).astype(np.uint8)


def tiles(purpose: str) -> np.ndarray:
    """Return the tiles for 'd', 'n' or 'h', graded as the day, uint8 [n, TILE, TILE, 3].

    Raises:
      UserError: scikit-learn is not installed.
    """
    photographs = sklearn_datasets("day_night").load_sample_images().images
    found = [
        photograph[TILE * row :, TILE * column :][:TILE, :TILE]
        for photograph, layout in zip(photographs, LAYOUT, strict=True)
        for row, purposes in enumerate(layout)
        for column, one in enumerate(purposes)
        if one == purpose
    ]
    return np.stack(found)


def parts(
    resize: int, image_size: int, channels: int
) -> tuple[Packed, Packed, Packed, Packed]:
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
    side = resize or TILE
    whole, cut = (
        transforms.Format((n, n, 3), "stretch" if resize else "centre", False)
        for n in (side, image_size)
    )
    train_a, train_b = _fitted("d", whole), night(_fitted("n", whole))
    heldout = _fitted("h", cut)
    return tuple(map(packed, (train_a, train_b, heldout, night(heldout))))


def _fitted(purpose: str, form: transforms.Format) -> np.ndarray:
    return np.stack(
        [
            transforms.fit(Image.fromarray(tile), "data.name = day_night", form)
            for tile in tiles(purpose)
        ]
    )
