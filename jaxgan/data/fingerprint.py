"""Digests of data sets, by which several processes check that theirs are the same."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Protocol, cast

import numpy as np

from jaxgan.data.cache import PackedImages
from jaxgan.data.pairs import Pair
from jaxgan.data.sources import ArraySource, Chained, Dataset, Source, Subset


class StreamedSource(Source, Protocol):
    """A source whose examples are read from files each time."""

    def identity_facts(self) -> Iterable[object]:
        """Return facts that tell this set from others and do not depend on its path."""


def fingerprint(data: Dataset | Pair) -> str:
    """Return a digest, 64 hexadecimal digits, of the training and held-out parts.

    For a set in memory every byte counts. For a streamed folder, the names below the
    folder and the sizes of all files count, so copies in different places have the same
    digest. For streamed TFDS it is the name, the number of examples, and the first and
    last image. The same set has different digests in memory and streamed.

    Raises:
      OSError, UserError: files have disappeared.
    """
    if isinstance(data, Pair):
        parts = [data.train_a, data.train_b, data.heldout_a, data.heldout_b]
    else:
        parts = [data.train, data.heldout]
    return _digest(Chained(parts), {})


def _digest(source: Source, known: dict[int, str]) -> str:
    # `known` saves work: both parts of a set that was split refer to the same source.
    if id(source) not in known:
        digest = hashlib.sha256()
        for fact in _facts(source, known):
            if isinstance(fact, np.ndarray):
                digest.update(f"{fact.dtype} {fact.shape}".encode())
                digest.update(np.ascontiguousarray(fact).data)
            else:
                digest.update(repr(fact).encode())
        known[id(source)] = digest.hexdigest()
    return known[id(source)]


def _facts(source: Source, known: dict[int, str]) -> Iterator[object]:
    """Yield arrays, and objects with a telling `repr`, that cover all examples."""
    yield type(source).__name__, len(source)
    if isinstance(source, ArraySource):
        yield source.images
        yield source.labels
    elif isinstance(source, PackedImages):
        yield np.array(source.shapes)
        yield source.pixels
    elif isinstance(source, Subset):
        yield np.asarray(source.indices)
        yield _digest(source.source, known)
    elif isinstance(source, Chained):
        yield from (_digest(part, known) for part in source.parts)
    else:
        yield from cast(StreamedSource, source).identity_facts()
