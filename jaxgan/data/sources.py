"""Sources of examples: random access to a set, in memory or read when asked for."""

import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

import numpy as np

from jaxgan.data.memory import check_fits
from jaxgan.errors import UserError
from jaxgan.runtime.streams import is_terminal

Example = dict[str, Any]

# Number of examples that a thread reads before it asks for more work.
CHUNK_EXAMPLES = 64
# An error message gives the reasons of this many of the examples that cannot be read.
ERRORS_SHOWN = 5


class Source(Protocol):
    """A set of examples with random access: `len(source)` and `source[index]`."""

    def __len__(self) -> int:
        """Return the number of examples."""

    def __getitem__(self, index: int) -> Example:
        """Return {'image': array of one example, 'label': np.int32, 0 if none}."""


class Dataset(NamedTuple):
    """A data set in two parts that have no example in common.

    Attributes:
      train: the examples to train on.
      heldout: the examples that are never trained on.
      shape: shape of one example: (h, w, 1) or (h, w, 3) for images, (2,) for points.
      num_classes: labels are in [0, num_classes); 0 when no labels were asked for.
      dtype: uint8 for images in [0, 255], float32 for points.
      notes: lines about the files, such as those that were left out.
      found: the two parts as they were found, if `train` and `heldout` are decoded
        copies of them.
      on_device: whether `train`, which is then an `ArraySource`, is to be kept on the
        devices that train.
    """

    train: Source
    heldout: Source
    shape: tuple[int, ...]
    num_classes: int
    dtype: np.dtype
    notes: tuple[str, ...] = ()
    found: tuple[Source, ...] = ()
    on_device: bool = False


class Parts(NamedTuple):
    """What the loader of a format returns: a data set that may have no held-out part.

    Attributes:
      heldout: the format's own held-out examples; None if it has none.
      train, shape, num_classes, dtype, notes: as in `Dataset`.
    """

    train: Source
    heldout: Source | None
    shape: tuple[int, ...]
    num_classes: int
    dtype: np.dtype = np.dtype(np.uint8)
    notes: tuple[str, ...] = ()


class ArraySource:
    """Examples in memory, in one array.

    Args:
      images: [n, *shape].
      labels: integers [n]; None makes all labels 0.
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
    """The examples of a source at `indices`, in that order."""

    def __init__(self, source: Source, indices: Sequence[int] | np.ndarray):
        self.source, self.indices = source, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Example:
        return self.source[int(self.indices[index])]

    def __getitems__(self, indices: Sequence[int]) -> list[Example]:
        """Return several examples at once."""
        return read_examples(
            self.source, [int(self.indices[index]) for index in indices]
        )


class Chained:
    """The examples of several sources, joined one source after another."""

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


def read_examples(source: Source, indices: Sequence[int]) -> list[Example]:
    """Read several examples, with one call if the source has `__getitems__`."""
    read_several = getattr(source, "__getitems__", None)
    if read_several:
        return read_several(indices)
    return [source[index] for index in indices]


def file_versions(paths: Iterable[str | os.PathLike]) -> Iterator[tuple[str, int, int]]:
    """Yield (real path, size in bytes, time of last change in ns) of each file."""
    for path in paths:
        status = os.stat(path)
        yield os.path.realpath(path), status.st_size, status.st_mtime_ns


def split_indices(count: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Split the examples of a set that comes without a test split.

    The last 10 % of a permutation are held out. The permutation depends only on the
    number of examples, so runs with different seeds hold out the same examples.

    Args:
      count: number of examples.
      name: names the set in the error message.

    Returns:
      indices of the training examples, indices of the held-out ones.

    Raises:
      UserError: the set has one example; each part needs one.
    """
    if count < 2:
        raise UserError(f"{name}: 1 example: 2 are needed, one of them held out")
    order = np.random.default_rng(0).permutation(count)
    num_train = count - max(1, round(count / 10))
    return order[:num_train], order[num_train:]


def split_off_heldout(source: Source, name: str) -> tuple[Source, Source]:
    """Return the training and the held-out part of a source; see `split_indices`."""
    train, heldout = split_indices(len(source), name)
    return _select(source, train), _select(source, heldout)


def _select(source: Source, indices: np.ndarray) -> Source:
    if isinstance(source, ArraySource):
        return ArraySource(source.images[indices], source.labels[indices])
    return Subset(source, indices)


def read_into_memory(
    source: Source, shape: tuple[int, ...], name: str, cache: str = "memory"
) -> ArraySource:
    """Decode all uint8 images [*shape] of a source into one array; see `read_all`.

    `cache` is the value of data.cache.
    """
    total = len(source) * math.prod(shape)
    check_fits(total, f"data.cache = {cache}", "none expected")
    images = np.empty((len(source), *shape), np.uint8)
    labels = np.empty(len(source), np.int32)

    def store(index: int, example: Example) -> None:
        images[index], labels[index] = example["image"], example["label"]

    read_all(source, store, name)
    return ArraySource(images, labels)


def read_all(source: Source, store: Callable[[int, Example], None], name: str) -> None:
    """Read all examples with one thread per core, and call store(index, example).

    A bar shows the progress if tqdm is installed and stderr is a terminal.

    Args:
      source: the examples.
      store: called from several threads, in any order.
      name: names the source in the progress bar.

    Raises:
      UserError: some examples cannot be read; the message gives their number and the
        reasons of the first ERRORS_SHOWN.
    """
    errors: dict[int, UserError] = {}
    read_several = getattr(source, "__getitems__", None)

    def read_chunk(first: int) -> None:
        indices = range(first, min(first + CHUNK_EXAMPLES, len(source)))
        examples: dict[int, Example] = {}
        if read_several:
            # After an error the examples are read one by one, to find all that fail.
            with suppress(UserError):
                examples = dict(zip(indices, read_several(indices), strict=True))
        for index in indices:
            try:
                store(index, examples.get(index) or source[index])
            except UserError as error:
                errors[index] = error

    chunks = range(0, len(source), CHUNK_EXAMPLES)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(read_chunk, chunks)
        for _ in _with_progress_bar(done, len(chunks), f"reading {name}"):
            pass
    if errors:
        first = [str(errors[index]) for index in sorted(errors)[:ERRORS_SHOWN]]
        count = f"{len(errors)} of {len(source)} images: " if len(errors) > 1 else ""
        more = "; ..." if len(errors) > ERRORS_SHOWN else ""
        raise UserError(count + "; ".join(first) + more)


def _with_progress_bar(done: Iterator[None], total: int, title: str) -> Iterable[None]:
    if not is_terminal(sys.stderr):
        return done
    try:
        from tqdm import tqdm
    except ImportError:
        return done
    bar_format = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    return tqdm(done, title, total, leave=False, bar_format=bar_format)
