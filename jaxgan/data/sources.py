"""Sets of examples: what a source is, sources in memory, and the held-out split."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

import numpy as np

from jaxgan.errors import UserError

Example = dict[str, Any]

# Examples that a thread reads before it asks for more work.
CHUNK = 64
# Examples that cannot be read, of which an error gives the reasons.
ERRORS = 5


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


class Chained:
    """The examples of several sources, one source after another."""

    def __init__(self, parts: Sequence[Source]):
        self.parts = parts

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def __getitem__(self, index: int) -> Example:
        for part in self.parts:
            if index < len(part):
                return part[index]
            index -= len(part)
        raise IndexError(index)


def read(source: Source, indices: Sequence[int]) -> list[Example]:
    """Read several examples, at once where the source has `__getitems__`."""
    at_once = getattr(source, "__getitems__", None)
    return at_once(indices) if at_once else [source[index] for index in indices]


def stamps(paths: Iterable[str | os.PathLike]) -> Iterator[tuple[str, int, int]]:
    """Yield the real path, size and time of change of each file."""
    for path in paths:
        status = os.stat(path)
        yield os.path.realpath(path), status.st_size, status.st_mtime_ns


def split_indices(count: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Split off the last 10 % of a fixed permutation: (training, held-out) indices.

    For sets that come without a test split. The permutation depends on the number of
    examples alone, so that a run with another seed holds out the same ones.

    Raises:
      UserError: a set of one example, which leaves none for one of the parts.
    """
    if count < 2:
        raise UserError(f"{name}: 1 example: 2 are needed, one of them held out")
    order = np.random.default_rng(0).permutation(count)
    num_train = count - max(1, round(count / 10))
    return order[:num_train], order[num_train:]


def split(source: Source, name: str) -> tuple[Source, Source]:
    """Split the source called `name` by `split_indices`: (training, held-out set)."""
    train, heldout = split_indices(len(source), name)
    return _take(source, train), _take(source, heldout)


def _take(source: Source, indices: np.ndarray) -> Source:
    if isinstance(source, ArraySource):
        return ArraySource(source.images[indices], source.labels[indices])
    return Subset(source, indices)


def in_memory(source: Source, shape: tuple[int, ...], name: str) -> ArraySource:
    """Decode all uint8 images [*shape] of a source: see `read_all`."""
    images = np.empty((len(source), *shape), np.uint8)
    labels = np.empty(len(source), np.int32)

    def store(index: int, example: Example) -> None:
        images[index], labels[index] = example["image"], example["label"]

    read_all(source, store, name)
    return ArraySource(images, labels)


def read_all(source: Source, store: Callable[[int, Example], None], name: str) -> None:
    """Call store(index, example) for all examples, with a thread for each core.

    A bar shows the progress where tqdm is installed and stderr is a terminal.

    Raises:
      UserError: examples that cannot be read: how many, and the first of them.
    """
    errors: dict[int, UserError] = {}
    at_once = getattr(source, "__getitems__", None)

    def visit(first: int) -> None:
        indices = range(first, min(first + CHUNK, len(source)))
        examples: dict[int, Example] = {}
        if at_once:
            with suppress(UserError):  # then one at a time, to find all that fail
                examples = dict(zip(indices, at_once(indices), strict=True))
        for index in indices:
            try:
                store(index, examples.get(index) or source[index])
            except UserError as error:
                errors[index] = error

    chunks = range(0, len(source), CHUNK)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in _progress(pool.map(visit, chunks), len(chunks), f"reading {name}"):
            pass
    if errors:
        first = [str(errors[index]) for index in sorted(errors)[:ERRORS]]
        count = f"{len(errors)} of {len(source)} images: " if len(errors) > 1 else ""
        more = "; ..." if len(errors) > ERRORS else ""
        raise UserError(count + "; ".join(first) + more)


def _progress(done: Iterator[None], total: int, title: str) -> Iterable[None]:
    if not sys.stderr.isatty():
        return done
    try:
        from tqdm import tqdm
    except ImportError:
        return done
    bar_format = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    return tqdm(done, title, total, leave=False, bar_format=bar_format)
