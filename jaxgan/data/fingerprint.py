"""A digest of a data set, by which processes find that theirs are the same."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Protocol, cast

import numpy as np

from jaxgan.data.cache import Packed
from jaxgan.data.pairs import Pair
from jaxgan.data.sources import ArraySource, Chained, Dataset, Source, Subset


class Streamed(Source, Protocol):
    """Examples that are read when asked for."""

    def identity(self) -> Iterable[object]:
        """Return what tells the set from others, the same wherever it lies."""


def fingerprint(data: Dataset | Pair) -> str:
    """Return a digest, 64 hexadecimal digits, of the training and held-out parts.

    Of sets in memory every byte counts. Of streamed ones it is the names below their
    folder and the sizes of all files, so that copies in other places are the same; of
    TFDS the name, the number of examples, and the first and the last image. A set in
    memory and the same one streamed have different digests.

    Raises:
      OSError, UserError: files that have disappeared.
    """
    if isinstance(data, Pair):
        parts = [data.train_a, data.train_b, data.heldout_a, data.heldout_b]
    else:
        parts = [data.train, data.heldout]
    return _digest(Chained(parts), {})


def _digest(source: Source, known: dict[int, str]) -> str:
    # Both parts of a set that was split are subsets of one source.
    if id(source) not in known:
        sums = hashlib.sha256()
        for fact in _facts(source, known):
            if isinstance(fact, np.ndarray):
                sums.update(f"{fact.dtype} {fact.shape}".encode())
                sums.update(np.ascontiguousarray(fact).data)
            else:
                sums.update(repr(fact).encode())
        known[id(source)] = sums.hexdigest()
    return known[id(source)]


def _facts(source: Source, known: dict[int, str]) -> Iterator[object]:
    """Yield arrays, and other things whose `repr` tells them, of all examples."""
    yield type(source).__name__, len(source)
    if isinstance(source, ArraySource):
        yield source.images
        yield source.labels
    elif isinstance(source, Packed):
        yield np.array(source.shapes)
        yield source.pixels
    elif isinstance(source, Subset):
        yield np.asarray(source.indices)
        yield _digest(source.source, known)
    elif isinstance(source, Chained):
        yield from (_digest(part, known) for part in source.parts)
    else:
        yield from cast(Streamed, source).identity()
