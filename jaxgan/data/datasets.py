"""Data sets by name: one table of formats, and what is done with each of them."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from jaxgan.data import memory, transforms
from jaxgan.data.cache import memory_limit
from jaxgan.data.formats import embedded, folder, idx, npz, tfds
from jaxgan.data.sources import (
    ArraySource,
    Dataset,
    Parts,
    read_into_memory,
    split_off_heldout,
)
from jaxgan.errors import UserError, unknown
from jaxgan.files import buckets

T = TypeVar("T")

CACHES = ("auto", "memory", "device", "none")

# With cache 'auto', a set of up to this many decoded bytes is kept in memory. MNIST and
# CIFAR-10 are kept; a million images of 64x64 are streamed.
MEMORY_LIMIT = 2**30

# As many as gan_toy.py fixes of its grid, and a tenth of that.
TOY_EXAMPLES, TOY_HELDOUT = 100_000, 10_000


class Request(NamedTuple):
    """The arguments of `load` that say which examples are wanted."""

    name: str
    dir: str
    image_size: int
    channels: int
    labels: bool


def load(
    name: str,
    *,
    dir: str = "",
    image_size: int = 0,
    channels: int = 0,
    labels: bool = False,
    cache: str = "auto",
    device_bytes: int = 0,
) -> Dataset:
    """Load a data set: a training and a held-out part.

    The held-out part is the set's own test split. A set without one has the last 10 %
    of a fixed permutation held out.

    Args:
      name: one of FORMATS: 'digits' (scikit-learn's, 8x8); a toy set of 2-D points,
        '8gaussians', '25gaussians' or 'swissroll'; 'idx' (MNIST-style files); 'folder'
        (image files); 'npz' (one file); 'tfds:NAME[/CONFIG]'.
      dir: the folder of the data; for 'npz' the file; for TFDS its data_dir, where ''
        means TFDS's default. A local path, or gs:// with the extra gcs.
      image_size: images are brought to this height and width; 0 keeps their size.
      channels: images are converted to 1 channel (gray) or 3 (RGB); 0 keeps their
        channels.
      labels: whether to read labels; without them every label is 0.
      cache: for 'folder' and TFDS: 'memory' decodes all images now, 'none' decodes them
        for each batch, 'auto' decodes them now if that takes at most MEMORY_LIMIT
        bytes. The other sets are always in memory. For any set, 'device' decodes all
        images now, and keeps the training examples on each device; 'auto' does so on a
        GPU or TPU if they take at most `memory.DEVICE_SHARE` of its memory, and all
        images at most `cache.memory_limit()` bytes. The batches are the same to the
        byte.
      device_bytes: the memory of each device that trains; 0 if it is the machine's, or
        if nothing is trained.

    Returns:
      Dataset: uint8 images [h, w, c] or float32 points [2].

    Raises:
      UserError: unknown name, missing or damaged files, images of the wrong kind,
        missing packages, a bucket that cannot be reached, too little memory.
    """
    if cache not in CACHES:
        raise unknown("data.cache", cache, CACHES)
    memory.check_side(image_size, "data.image_size")
    load_parts = find_format(name, FORMATS)
    parts = load_parts(Request(name, dir, image_size, channels, labels))
    train, heldout, shape, num_classes, dtype, notes = parts
    if heldout is None:
        train, heldout = split_off_heldout(train, dir or name)
    found = train, heldout
    example_bytes = math.prod(shape) * dtype.itemsize
    on_device = memory.kept_on_device(
        cache, len(train) * example_bytes, len(train), device_bytes
    )
    if not isinstance(train, ArraySource):
        size = (len(train) + len(heldout)) * example_bytes
        limit = max(MEMORY_LIMIT, memory_limit()) if on_device else MEMORY_LIMIT
        if cache in ("memory", "device") or (cache == "auto" and size <= limit):
            train = read_into_memory(train, shape, dir or name, cache)
            heldout = read_into_memory(heldout, shape, dir or name, cache)
    on_device = on_device and isinstance(train, ArraySource)
    return Dataset(train, heldout, shape, num_classes, dtype, notes, found, on_device)


def find_format(name: str, formats: Mapping[str, T]) -> T:
    """Return the entry of a table of formats for the value of `data.name`.

    A key that ends in 'NAME', such as 'tfds:NAME', stands for all names that begin with
    what comes before.

    Raises:
      UserError: the name is not in the table.
    """
    for pattern, entry in formats.items():
        prefix = pattern.removesuffix("NAME")
        if name == pattern or (prefix != pattern and name.startswith(prefix)):
            return entry
    raise unknown("data.name", name, formats)


def _load_toy(request: Request) -> Parts:
    for field in ("image_size", "channels", "labels"):
        value = getattr(request, field)
        if value:
            raise UserError(
                f"data.{field} = {value}: {request.name} is a set of 2-D points"
            )
    train = ArraySource(embedded.points(request.name, TOY_EXAMPLES, seed=0))
    heldout = ArraySource(embedded.points(request.name, TOY_HELDOUT, seed=1))
    return Parts(train, heldout, (2,), 0, np.dtype(np.float32))


def _load_digits(request: Request) -> Parts:
    images, labels = embedded.digits()
    return _from_arrays([(images, labels if request.labels else None)], request)


def _load_idx(request: Request) -> Parts:
    _check_dir(request)
    return _from_arrays(idx.load(request.dir, request.labels), request)


def _load_npz(request: Request) -> Parts:
    _check_dir(request)
    return _from_arrays([npz.load(request.dir, request.labels)], request)


def _load_folder(request: Request) -> Parts:
    _check_dir(request)
    return folder.load(
        request.dir,
        image_size=request.image_size,
        channels=request.channels,
        labels=request.labels,
    )


def _load_tfds(request: Request) -> Parts:
    buckets.check_access(request.dir, "data.dir")
    return tfds.load(
        request.name.removeprefix("tfds:"),
        request.dir,
        image_size=request.image_size,
        channels=request.channels,
        labels=request.labels,
    )


def _from_arrays(
    arrays: Sequence[tuple[np.ndarray, np.ndarray | None]], request: Request
) -> Parts:
    """Return arrays of images and labels, for training and maybe held out, as parts."""
    sources = [
        ArraySource(
            transforms.array_to_format(
                images, request.dir, request.image_size, request.channels
            ),
            labels,
        )
        for images, labels in arrays
    ]
    num_classes = 0
    if request.labels:
        num_classes = 1 + max(int(source.labels.max()) for source in sources)
    shape = sources[0].images.shape[1:]
    if any(source.images.shape[1:] != shape for source in sources):
        found = " and ".join(str(source.images.shape[1:]) for source in sources)
        raise UserError(f"data.dir = {request.dir}: images of {found} in its two parts")
    heldout = sources[1] if len(sources) == 2 else None
    return Parts(sources[0], heldout, shape, num_classes)


def _check_dir(request: Request) -> None:
    if not request.dir:
        raise UserError(
            f"data.dir = '': data.name={request.name} needs the path of the data"
        )
    buckets.check_access(request.dir, "data.dir")


# The values of `data.name`, and the function that loads each of them.
FORMATS: dict[str, Callable[[Request], Parts]] = {
    "digits": _load_digits,
    **dict.fromkeys(embedded.TOY_SETS, _load_toy),
    "idx": _load_idx,
    "npz": _load_npz,
    "folder": _load_folder,
    "tfds:NAME": _load_tfds,
}
