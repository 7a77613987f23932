"""Pictures for people to look at: grids of images, points in a plane, PNG files."""

import io
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from jaxgan.files import storage


def grid(images: np.ndarray, columns: int = 0, smallest: int = 32) -> np.ndarray:
    """Return uint8 images [n, h, w, c] as one picture [H, W, c], filled row by row.

    Args:
        images: uint8 [n, h, w, c].
        columns: number of columns; 0 makes the grid as square as possible.
        smallest: images whose shorter side has fewer pixels are enlarged by an integer
            factor, without smoothing.

    Returns:
        uint8 [H, W, c]; gray lines of two pixels separate the images.
    """
    factor = math.ceil(smallest / min(images.shape[1:3]))
    images = images.repeat(factor, axis=1).repeat(factor, axis=2)
    n, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    cells = np.full((rows * columns, height + 2, width + 2, channels), 128, np.uint8)
    cells[:n, :height, :width] = images
    cells = cells.reshape(rows, columns, height + 2, width + 2, channels)
    picture = cells.swapaxes(1, 2).reshape(rows * (height + 2), -1, channels)
    return picture[:-2, :-2]


def scatter(
    points: np.ndarray, real: np.ndarray, size: int = 320, extent: float = 0.0
) -> np.ndarray:
    """Draw generated points (red) over real ones (gray).

    Args:
        points: generated points [n, 2].
        real: real points [m, 2].
        size: side of the picture in pixels.
        extent: both axes run from -extent to extent, the second one upwards; 0 means
            1.25 times the largest absolute coordinate of the real points.

    Returns:
        uint8 [size, size, 3].
    """
    extent = extent or 1.25 * float(np.abs(real).max())
    picture = Image.new("RGB", (size, size), "white")
    pen = ImageDraw.Draw(picture)
    for cloud, colour in ((real, (190, 190, 190)), (points, (200, 30, 30))):
        for x, y in np.asarray(cloud, np.float64):
            column = (x / extent + 1) / 2 * (size - 1)
            row = (1 - y / extent) / 2 * (size - 1)
            box = (column - 1, row - 1, column + 1, row + 1)
            pen.ellipse(box, fill=colour)
    return np.asarray(picture)


def png(picture: np.ndarray) -> bytes:
    """Encode a uint8 picture [h, w, 1 | 3] as the bytes of a PNG file."""
    buffer = io.BytesIO()
    squeezed = picture[..., 0] if picture.shape[-1] == 1 else picture
    Image.fromarray(squeezed).save(buffer, format="PNG")
    return buffer.getvalue()


def save_png(path: Path, picture: np.ndarray) -> None:
    """Write a uint8 picture [h, w, 1 | 3] to `path`, making its folder."""
    storage.write(path, png(picture))
