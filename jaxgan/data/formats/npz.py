"""Images in one .npz file of numpy."""

import io
import os
import zipfile
import zlib
from typing import BinaryIO

import numpy as np

from jaxgan.errors import UserError
from jaxgan.files import buckets

IMAGE_KEYS, LABEL_KEYS = ("image", "images", "x"), ("label", "labels", "y")


def load(path: str, labels: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Read the images, and the labels if they are asked for.

    Args:
      path: the file, or a folder that holds exactly one such file, local or gs://.
      labels: whether to read labels, from the key 'label', 'labels' or 'y'.

    Returns:
      images, uint8 [n, h, w, 1 or 3], from the key 'image', 'images' or 'x', or from
      the only array of the file; and labels, integers [n] or None.

    Raises:
      UserError: the file or a key does not exist, or an array has another type or
        shape.
    """
    file = _find_file(path)
    try:
        # The file is opened here, because numpy does not close one that it cannot read.
        with _open_for_reading(file) as stream, np.load(stream) as arrays:
            keys = list(arrays)
            only = len(keys) == 1
            image_key = keys[0] if only else _find_key(file, keys, IMAGE_KEYS)
            images = arrays[image_key]
            label_key = _find_key(file, keys, LABEL_KEYS) if labels else None
            targets = arrays[label_key] if label_key else None
    # The TypeError is that of a .npy file: np.load returns an array, no context.
    except (
        OSError,
        ValueError,
        TypeError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise UserError(f"{file}: not a readable .npz file ({error})") from error
    images = _check_images(images, f"{file}[{image_key}]")
    return images, _check_labels(targets, f"{file}[{label_key}]", len(images))


def _open_for_reading(file: os.PathLike) -> BinaryIO:
    if buckets.is_remote(file):
        return io.BytesIO(buckets.read_object(file))
    return open(file, "rb")


def _find_file(path: str) -> os.PathLike:
    folder = buckets.to_path(path)
    if not folder.is_dir():
        return folder
    files = sorted(folder.glob("*.npz"))
    if len(files) != 1:
        raise UserError(f"data.dir = {path}: {len(files)} .npz files there; name one")
    return files[0]


def _find_key(file: os.PathLike, keys: list[str], known: tuple[str, ...]) -> str:
    found = [key for key in known if key in keys]
    if not found:
        raise UserError(
            f"{file}: one of the keys {', '.join(known)} expected, "
            f"found {', '.join(keys) or 'none'}"
        )
    return found[0]


def _check_images(images: np.ndarray, name: str) -> np.ndarray:
    if images.ndim == 3:
        images = images[..., None]
    good = images.ndim == 4 and images.shape[-1] in (1, 3) and images.size
    if images.dtype != np.uint8 or not good:
        raise UserError(
            f"{name}: uint8 [n, h, w] or [n, h, w, 1 or 3] expected, found "
            f"{images.dtype} {list(images.shape)}"
        )
    return images


def _check_labels(labels: np.ndarray | None, name: str, num: int) -> np.ndarray | None:
    if labels is None:
        return None
    if labels.shape != (num,) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise UserError(
            f"{name}: integer labels [{num}] from 0 expected, found "
            f"{labels.dtype} {list(labels.shape)}"
        )
    return labels
