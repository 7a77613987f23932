"""Sets of examples: what a source is, sources in memory, and the held-out split."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import numpy as np

from jaxgan.errors import UserError

Example = dict[str, Any]

# Examples that a thread reads before it asks for more work.
CHUNK = 64


class Source(Protocol):
    """Random access to examples."""

    def __len__(self) -> int:
        """Return the number of examples."""

    def __getitem__(self, index: int) -> Example:
        """Return {'image': one example's array, 'label': np.int32, 0 if none}."""


class Dataset(NamedTuple):
    """A set of examples in two parts that share nothing.

    Attributes:
      train: the examples to train on.
      heldout: examples never trained on.
      shape: of one example: (h, w, 1) or (h, w, 3) for images, (2,) for points.
      num_classes: labels are in [0, num_classes); 0 when no labels were asked for.
      dtype: uint8 for images in [0, 255], float32 for points.
    """

    train: Source
    heldout: Source
    shape: tuple[int, ...]
    num_classes: int
    dtype: np.dtype


class ArraySource:
    """Examples in memory.

    Args:
      images: [n, *shape].
      labels: integers [n], or None.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray | None = None):
        self.images = np.ascontiguousarray(images)
        if labels is None:
            labels = np.zeros(len(images), np.int32)
        self.labels = np.asarray(labels, np.int32)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Example:
        return {"image": self.images[index], "label": self.labels[index]}

    def gather(self, indices: np.ndarray) -> Example:
        """Return {'image': [*indices.shape, *shape], 'label': [*indices.shape]}."""
        return {
            "image": self.images.take(indices, axis=0),
            "label": self.labels.take(indices),
        }


class Subset:
    """Those examples of a source that `indices` names, in that order."""

    def __init__(self, source: Source, indices: Sequence[int] | np.ndarray):
        self.source, self.indices = source, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Example:
        return self.source[int(self.indices[index])]

    def __getitems__(self, indices: Sequence[int]) -> list[Example]:
        return read(self.source, [int(self.indices[index]) for index in indices])


def read(source: Source, indices: Sequence[int]) -> list[Example]:
    """Read several examples, at once where the source has `__getitems__`."""
    at_once = getattr(source, "__getitems__", None)
    return at_once(indices) if at_once else [source[index] for index in indices]


def split(source: Source) -> tuple[Source, Source]:
    """Split off the last 10 % of a fixed permutation: (training set, held-out set).

    For sets that come without a test split. The permutation depends on the number of
    examples alone, so that a run with another seed holds out the same ones.

    Raises:
      UserError: a set of one example, which leaves none for one of the parts.
    """
    if len(source) < 2:
        raise UserError("a data set of 1 example: 2 are needed, one of them held out")
    order = np.random.default_rng(0).permutation(len(source))
    num_train = len(source) - max(1, round(len(source) / 10))
    return _take(source, order[:num_train]), _take(source, order[num_train:])


def _take(source: Source, indices: np.ndarray) -> Source:
    if isinstance(source, ArraySource):
        return ArraySource(source.images[indices], source.labels[indices])
    return Subset(source, indices)


def in_memory(source: Source, shape: tuple[int, ...], name: str) -> ArraySource:
    """Decode all uint8 images [*shape] of a source, with a thread for each core.

    A bar shows the progress where tqdm is installed and stderr is a terminal.
    """
    images = np.empty((len(source), *shape), np.uint8)
    labels = np.empty(len(source), np.int32)

    def fill(first: int) -> None:
        indices = range(first, min(first + CHUNK, len(source)))
        for index, example in zip(indices, read(source, indices), strict=True):
            images[index], labels[index] = example["image"], example["label"]

    chunks = range(0, len(source), CHUNK)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in _progress(pool.map(fill, chunks), len(chunks), f"reading {name}"):
            pass
    return ArraySource(images, labels)


def _progress(done: Iterator[None], total: int, title: str) -> Iterable[None]:
    if not sys.stderr.isatty():
        return done
    try:
        from tqdm import tqdm
    except ImportError:
        return done
    bar_format = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    return tqdm(done, title, total, leave=False, bar_format=bar_format)
