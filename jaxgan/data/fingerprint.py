"""Digests of data sets: the same for all processes of a run, and when it resumes."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Protocol, TypedDict, cast

import numpy as np

from jaxgan.data.cache import PackedImages
from jaxgan.data.pairs import Pair
from jaxgan.data.sources import ArraySource, Chained, Dataset, Source, Subset


class StreamedSource(Source, Protocol):
    """A source whose examples are read from files each time."""

    def identity_facts(self) -> Iterable[object]:
        """Return facts that tell this set from others and do not depend on its path."""


class PartFacts(TypedDict):
    """What tells one part of a data set from others, as a checkpoint stores it."""

    count: int
    digest: str  # 64 hexadecimal digits


def fingerprint(data: Dataset | Pair) -> dict[str, PartFacts]:
    """Return the number of examples and a digest of each part of a data set.

    For a folder the names below it and the sizes of all files count, so that copies in
    different places have the same digest. For TFDS it is the name, the number of
    examples, and the first and last image. For any other set every byte counts. Where
    decoded images are kept does not matter.

    Returns:
      the parts by name: 'train' and 'heldout', or 'train_a', 'train_b', 'heldout_a' and
      'heldout_b'.

    Raises:
      UserError: files have disappeared.
    """
    if isinstance(data, Pair):
        names: tuple[str, ...] = ("train_a", "train_b", "heldout_a", "heldout_b")
        parts = data.found or (
            data.train_a,
            data.train_b,
            data.heldout_a,
            data.heldout_b,
        )
    else:
        names, parts = ("train", "heldout"), data.found or (data.train, data.heldout)
    known: dict[int, str] = {}
    return {
        name: PartFacts(count=len(part), digest=_digest(part, known))
        for name, part in zip(names, parts, strict=True)
    }


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
    """Yield arrays, and objects with a telling `repr`, that cover all examples.

    Checkpoints hold digests of them: with other facts, no run made before can go on.
    """
    yield len(source)
    if isinstance(source, ArraySource):
        yield "array"
        yield source.images
        yield source.labels
    elif isinstance(source, PackedImages):
        yield "packed"
        yield np.array(source.shapes)
        yield source.pixels
    elif isinstance(source, Subset):
        yield "subset"
        yield np.asarray(source.indices)
        yield _digest(source.source, known)
    elif isinstance(source, Chained):
        yield "chained"
        yield from (_digest(part, known) for part in source.parts)
    else:
        yield "files"
        yield from cast(StreamedSource, source).identity_facts()
