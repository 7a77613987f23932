"""Data sets by name, and the order of their examples. Knows nothing of JAX."""

import math

import numpy as np

from jaxgan.data import transforms
from jaxgan.data.formats import embedded, folder, idx, npz, tfds
from jaxgan.data.loader import batches, pair_batches
from jaxgan.data.pairs import PAIR_CACHES, Pair, load_pair
from jaxgan.data.plan import PairPlan, Plan, calls
from jaxgan.data.sources import ArraySource, Dataset, Source, in_memory, split
from jaxgan.errors import UserError, unknown
from jaxgan.files import buckets

__all__ = [
    "PAIR_CACHES", "ArraySource", "Dataset", "Pair", "PairPlan", "Plan", "Source",
    "batches", "calls", "load", "load_pair", "pair_batches",
]  # fmt: skip

NAMES = ("digits", *embedded.TOY_SETS, "idx", "folder", "npz")
CACHES = ("auto", "memory", "none")

# With cache 'auto' a set of at most so many decoded bytes is kept in memory: MNIST and
# CIFAR-10 are, a million images of 64x64 are streamed.
MEMORY_LIMIT = 2**30

TOY_EXAMPLES, TOY_HELDOUT = 100_000, 10_000


def load(
    name: str,
    *,
    dir: str = "",
    image_size: int = 0,
    channels: int = 0,
    labels: bool = False,
    cache: str = "auto",
) -> Dataset:
    """Load a data set: a training and a held-out part.

    The held-out part is the set's own test split where it has one, or else the last
    10 % of a fixed permutation.

    Args:
      name: 'digits' (scikit-learn's, 8x8); a toy set of points, '8gaussians',
        '25gaussians' or 'swissroll'; 'idx' (MNIST-style files); 'folder' (image files);
        'npz' (one file); 'tfds:NAME[/CONFIG]'.
      dir: the folder, or for 'npz' the file; for TFDS its data_dir, '' = its default;
        local, or gs:// with the extra gcs.
      image_size: images are brought to this height and width; 0 = as they are.
      channels: 1 (gray) or 3 (RGB), converting; 0 = as they are.
      labels: read them; without, every label is 0.
      cache: 'memory' decodes a folder or TFDS set at once, 'none' streams it, 'auto'
        decodes it when that takes at most MEMORY_LIMIT bytes. The other sets are
        always in memory. Batches are the same to the byte.

    Returns:
      Dataset: uint8 images [h, w, c] or float32 points [2].

    Raises:
      UserError: unknown name, missing or damaged files, images of the wrong kind,
        missing packages, a bucket that cannot be reached.
    """
    if cache not in CACHES:
        raise unknown("data.cache", cache, CACHES)
    if name in embedded.TOY_SETS:
        return _toy(name, image_size, channels, labels)
    if name in ("digits", "idx", "npz"):
        return _arrays(name, dir, image_size, channels, labels)
    if name == "folder":
        _needs_dir(name, dir)
        train, heldout, shape, num_classes = folder.load(
            dir, image_size=image_size, channels=channels, labels=labels
        )
    elif name.startswith("tfds:"):
        buckets.check_access(dir, "data.dir")
        train, heldout, shape, num_classes = tfds.load(
            name[5:], dir, image_size=image_size, channels=channels, labels=labels
        )
    else:
        raise unknown("data.name", name, (*NAMES, "tfds:NAME"))

    if heldout is None:
        train, heldout = split(train, dir or name)
    size = (len(train) + len(heldout)) * math.prod(shape)
    if cache == "memory" or (cache == "auto" and size <= MEMORY_LIMIT):
        train = in_memory(train, shape, dir or name)
        heldout = in_memory(heldout, shape, dir or name)
    return Dataset(train, heldout, shape, num_classes, np.dtype(np.uint8))


def _toy(name: str, image_size: int, channels: int, labels: bool) -> Dataset:
    fields = {"image_size": image_size, "channels": channels, "labels": labels}
    for field, value in fields.items():
        if value:
            raise UserError(f"data.{field} = {value}: {name} is a set of 2-D points")
    train = ArraySource(embedded.points(name, TOY_EXAMPLES, seed=0))
    heldout = ArraySource(embedded.points(name, TOY_HELDOUT, seed=1))
    return Dataset(train, heldout, (2,), 0, np.dtype(np.float32))


def _arrays(
    name: str, path: str, image_size: int, channels: int, labels: bool
) -> Dataset:
    if name == "digits":
        images, targets = embedded.digits()
        parts = {"train": (images, targets if labels else None)}
    else:
        _needs_dir(name, path)
        if name == "idx":
            parts = idx.load(path, labels)
        else:
            parts = {"train": npz.load(path, labels)}
    sources = [
        ArraySource(transforms.fit_array(images, path, image_size, channels), targets)
        for images, targets in parts.values()
    ]
    num_classes = 1 + max(int(s.labels.max()) for s in sources) if labels else 0
    shape = sources[0].images.shape[1:]
    if any(source.images.shape[1:] != shape for source in sources):
        found = " and ".join(str(source.images.shape[1:]) for source in sources)
        raise UserError(f"data.dir = {path}: images of {found} in its two parts")
    train, heldout = sources if len(sources) == 2 else split(sources[0], path or name)
    return Dataset(train, heldout, shape, num_classes, np.dtype(np.uint8))


def _needs_dir(name: str, dir: str) -> None:
    if not dir:
        raise UserError(f"data.dir = '': data.name={name} needs the path of the data")
    buckets.check_access(dir, "data.dir")
