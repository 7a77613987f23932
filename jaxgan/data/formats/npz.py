"""Images in one .npz file."""

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
    """Read the images, and the labels if asked for.

    Args:
      path: the file, or a folder that holds one such file, local or gs://.
      labels: read them too, from the key 'label', 'labels' or 'y'.

    Returns:
      uint8 [n, h, w, 1 or 3] from the key 'image', 'images' or 'x', or else from the
      file's only array; integers [n] or None.

    Raises:
      UserError: no such file or key, or an array of another kind.
    """
    file = _file(path)
    try:
        # Opened here, as numpy leaves a file that it cannot read open.
        with _opened(file) as stream, np.load(stream) as arrays:
            keys = list(arrays)
            only = len(keys) == 1
            image_key = keys[0] if only else _key(file, keys, IMAGE_KEYS)
            images = arrays[image_key]
            label_key = _key(file, keys, LABEL_KEYS) if labels else None
            targets = arrays[label_key] if label_key else None
    # A .npy file gives an array, which is no context: a TypeError.
    except (
        OSError,
        ValueError,
        TypeError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise UserError(f"{file}: not a readable .npz file ({error})") from error
    return _images(images, f"{file}[{image_key}]"), _labels(
        targets, f"{file}[{label_key}]", len(images)
    )


def _opened(file: os.PathLike) -> BinaryIO:
    if buckets.is_remote(file):
        return io.BytesIO(buckets.read_object(file))
    return open(file, "rb")


def _file(path: str) -> os.PathLike:
    folder = buckets.to_path(path)
    if not folder.is_dir():
        return folder
    files = sorted(folder.glob("*.npz"))
    if len(files) != 1:
        raise UserError(f"data.dir = {path}: {len(files)} .npz files there; name one")
    return files[0]


def _key(file: os.PathLike, keys: list[str], known: tuple[str, ...]) -> str:
    found = [key for key in known if key in keys]
    if not found:
        raise UserError(
            f"{file}: one of the keys {', '.join(known)} expected, "
            f"found {', '.join(keys) or 'none'}"
        )
    return found[0]


def _images(images: np.ndarray, name: str) -> np.ndarray:
    if images.ndim == 3:
        images = images[..., None]
    good = images.ndim == 4 and images.shape[-1] in (1, 3) and images.size
    if images.dtype != np.uint8 or not good:
        raise UserError(
            f"{name}: uint8 [n, h, w] or [n, h, w, 1 or 3] expected, found "
            f"{images.dtype} {list(images.shape)}"
        )
    return images


def _labels(labels: np.ndarray | None, name: str, num: int) -> np.ndarray | None:
    if labels is None:
        return None
    if labels.shape != (num,) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise UserError(
            f"{name}: integer labels [{num}] from 0 expected, found "
            f"{labels.dtype} {list(labels.shape)}"
        )
    return labels
