"""MNIST-style idx files, plain or compressed with gzip."""

import math
import os
import pathlib
import zlib

import numpy as np

from jaxgan.errors import UserError
from jaxgan.files import buckets

# First four bytes of a file: uint8 (0x08) in three dimensions, and in one.
IMAGES_MAGIC, LABELS_MAGIC = 0x0803, 0x0801


def read(path: str | os.PathLike, magic: int) -> np.ndarray:
    """Read one idx file of uint8; whether it is compressed is found from its content.

    Args:
      path: the file.
      magic: the first four bytes expected, IMAGES_MAGIC or LABELS_MAGIC.

    Returns:
      uint8 [n, h, w] or [n].

    Raises:
      UserError: the file has another magic, is cut short or too long; the message says
        what was found and what is expected.
    """
    data = _read_decompressed(path)
    found = int.from_bytes(data[:4])
    if len(data) < 4 or found != magic:
        raise UserError(
            f"{path}: not the idx file expected: magic 0x{found:08x} found, "
            f"0x{magic:08x} expected"
        )
    start = 4 + 4 * (
        magic & 0xFF
    )  # the last byte of the magic is the number of dimensions
    sides = range(4, min(start, len(data)), 4)
    shape = [int.from_bytes(data[side : side + 4]) for side in sides]
    size = start + math.prod(shape)
    if len(data) != size:
        fault = "cut short" if len(data) < size else "too long"
        raise UserError(
            f"{path}: {fault}: {len(data)} bytes found, {size} expected (unpacked)"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _read_decompressed(path: str | os.PathLike) -> bytes:
    try:
        remote = buckets.is_remote(path)
        data = buckets.read_object(path) if remote else pathlib.Path(path).read_bytes()
        if data[:2] != b"\x1f\x8b":
            return data
        # Unlike the gzip module, this returns what is left of a file cut short, so that
        # the message can say how much is missing.
        return zlib.decompressobj(wbits=31).decompress(data)
    except (OSError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error


def load(folder: str, labels: bool) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Read a folder of idx files: train-* and, if they exist, t10k-*.

    Args:
      folder: local or gs://. It holds `train-images-idx3-ubyte` (or
        `train-images.idx3-ubyte`), with or without `.gz`; with `labels` also
        `train-labels-idx1-ubyte`.
      labels: whether to read labels.

    Returns:
      (images, labels) for training and, if it exists, for the test part: uint8
      [n, h, w, 1], and uint8 [n] or None.

    Raises:
      UserError: a file is missing or damaged, or there are more or fewer labels than
        images.
    """
    parts: list[tuple[np.ndarray, np.ndarray | None]] = []
    for prefix in ("train", "t10k"):
        path = _find(folder, f"{prefix}-images", "idx3-ubyte")
        if path is None:
            if prefix == "train":
                raise _missing(folder, f"{prefix}-images-idx3-ubyte")
            continue
        images = read(path, IMAGES_MAGIC)[..., None]
        if not images.size:
            raise UserError(f"{path}: holds no images")
        targets = _read_labels(folder, prefix, len(images)) if labels else None
        parts.append((images, targets))
    return parts


def _read_labels(folder: str, prefix: str, num: int) -> np.ndarray:
    path = _find(folder, f"{prefix}-labels", "idx1-ubyte")
    if path is None:
        raise _missing(folder, f"{prefix}-labels-idx1-ubyte")
    labels = read(path, LABELS_MAGIC)
    if len(labels) != num:
        raise UserError(f"{path}: {len(labels)} labels for {num} images")
    return labels


def _find(folder: str, stem: str, ending: str) -> os.PathLike | None:
    names = [f"{stem}{dot}{ending}{gz}" for dot in "-." for gz in ("", ".gz")]
    paths = [buckets.to_path(folder) / name for name in names]
    return next((path for path in paths if path.is_file()), None)


def _missing(folder: str, name: str) -> UserError:
    return UserError(f"data.dir = {folder}: no {name}[.gz] there")
