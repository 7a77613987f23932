"""Pictures of samples and of translations."""

from typing import Any

import numpy as np

from jaxgan import pixels
from jaxgan.files import pictures
from jaxgan.types import DomainImages


def samples(drawn: np.ndarray, value_range: str, real: np.ndarray) -> np.ndarray:
    """Return a picture uint8 [h, w, 1 | 3] of samples.

    Args:
        drawn: images [n, h, w, c], which become a grid, or points [n, 2], which become
            a scatter plot.
        value_range: range of the images, one of `pixels.VALUE_RANGES`.
        real: points [m, 2] to plot under the samples.
    """
    if drawn.ndim == 2:
        return pictures.scatter(drawn, real)
    return pictures.grid(pixels.to_uint8(drawn, value_range))


def translations(images: DomainImages, drawn: dict[str, Any]) -> np.ndarray:
    """Return a picture uint8 [h, w, 3] with a row for each image.

    A row has the real image, its translation, the translation back, and the truth where
    it is known. The rows of domain a come first, then those of b.
    """
    halves = []
    for real, there, back, truth in (
        (images.a, "a2b", "a2b2a", images.truth_b),
        (images.b, "b2a", "b2a2b", images.truth_a),
    ):
        made = [pixels.to_uint8(drawn[name], "symmetric") for name in (there, back)]
        columns: list[Any] = [real, *made, *([] if truth is None else [truth])]
        cells = np.stack(columns, axis=1)
        cells = cells.reshape(-1, *cells.shape[2:])
        halves.append(pictures.grid(cells, columns=len(columns)))
    gap = np.full((2, *halves[0].shape[1:]), 128, np.uint8)
    return np.concatenate([halves[0], gap, halves[1]])
