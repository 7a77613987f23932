"""Pairs of image domains by name: one table of formats, and decoding into the cache."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from jaxgan.data import memory
from jaxgan.data.cache import Shape, decode_into_cache
from jaxgan.data.datasets import find_format
from jaxgan.data.formats import day_night, folder, tfds
from jaxgan.data.image_formats import (
    Header,
    ImageFileSource,
    check_not_smaller,
    common_channels,
    pair_formats,
    sample_headers,
)
from jaxgan.data.sources import Chained, Example, Source, read_all
from jaxgan.errors import UserError, unknown
from jaxgan.files import buckets

PAIR_CACHES = ("auto", "memory", "disk", "device", "none")


class Pair(NamedTuple):
    """Two domains of images, each in two parts that have no image in common.

    Attributes:
      train_a, train_b: the images to train on, uint8 [h, w, c], of any size that
        `shape` can be cropped from.
      heldout_a, heldout_b: images that are never trained on, uint8 [*shape].
      truth: whether heldout_a[i] and heldout_b[i] show the same scene.
      shape: (h, w, c) of the crops that are trained on, h = w.
      notes: lines about the files, such as those that were left out.
      found: the four parts as they were found, if the others are decoded copies.
      on_device: whether the images to train on, which are then `PackedImages`, are to
        be kept on the devices that train.
    """

    train_a: Source
    train_b: Source
    heldout_a: Source
    heldout_b: Source
    truth: bool
    shape: tuple[int, int, int]
    notes: tuple[str, ...] = ()
    found: tuple[Source, ...] = ()
    on_device: bool = False


class PairRequest(NamedTuple):
    """The arguments of `load_pair`."""

    name: str
    dir: str
    dir_b: str
    resize: int
    image_size: int
    channels: int
    cache: str
    device_bytes: int


def load_pair(
    name: str,
    *,
    dir: str = "",
    dir_b: str = "",
    resize: int,
    image_size: int,
    channels: int = 0,
    cache: str = "auto",
    device_bytes: int = 0,
) -> Pair:
    """Load two domains of images.

    Args:
      name: one of PAIR_FORMATS: 'day_night' (made from scikit-learn's two photographs);
        'folder' (with subfolders trainA, trainB, testA and testB, or two folders); or
        'tfds:cycle_gan/NAME'.
      dir: the folder; for TFDS its data_dir, where '' means TFDS's default. A local
        path, or gs:// with the extra gcs.
      dir_b: only with 'folder': the folder of domain b; `dir` is then that of domain a.
      resize: training images are resized to this height and width, whatever their
        proportions, as 'resize_and_crop' of the official code does
        (junyanz/pytorch-CycleGAN-and-pix2pix, data/base_dataset.py). 0 crops them at
        their own size.
      image_size: height and width of the crops of the training images. Held-out images
        are resized to it; with `resize` 0 their centres are cut out.
      channels: images are converted to 1 channel (gray) or 3 (RGB); 0 means gray if all
        images are gray, and else RGB.
      cache: where the decoded and resized images are kept. 'memory'; 'disk', a file in
        `cache.images_folder()` that later runs use again; 'none' decodes them for each
        batch; 'auto' means 'memory' up to `cache.memory_limit()` bytes, and else
        'disk'. 'device' keeps the images to train on also on each device; so does
        'auto' on a GPU or TPU if they take at most `memory.DEVICE_SHARE` of its memory.
        The batches are the same to the byte.
      device_bytes: the memory of each device that trains; 0 if it is the machine's, or
        if nothing is trained.

    Raises:
      UserError: unknown name, missing folders, damaged or small images, sizes that do
        not fit, missing packages, a bucket that cannot be reached, too little memory.
    """
    if cache not in PAIR_CACHES:
        raise unknown("data.cache", cache, PAIR_CACHES)
    load_format = find_format(name, PAIR_FORMATS)
    request = PairRequest(
        name, dir, dir_b, resize, image_size, channels, cache, device_bytes
    )
    _check(request)
    return load_format(request)


def _kept_on_device(
    request: PairRequest, shapes_a: Sequence[Shape], shapes_b: Sequence[Shape]
) -> bool:
    """Return `memory.kept_on_device` for images of these shapes (h, w, c)."""
    size_a, size_b = (sum(map(math.prod, shapes)) for shapes in (shapes_a, shapes_b))
    pixels = max(size_a, size_b) // shapes_a[0][2]
    return memory.kept_on_device(
        request.cache, size_a + size_b, pixels, request.device_bytes
    )


def _check(request: PairRequest) -> None:
    name, dir, dir_b, resize, image_size, *_ = request
    if name == "folder" and not dir:
        raise UserError("data.dir = '': data.name=folder needs the path of the data")
    if dir_b and name != "folder":
        raise UserError(f"data.dir_b = {dir_b}: only for data.name=folder")
    if image_size < 1:
        raise UserError(f"data.image_size = {image_size}: 1 or more expected")
    if resize and resize < image_size:
        raise UserError(
            f"data.resize = {resize}: 0, or data.image_size = {image_size} or more, "
            "expected"
        )
    memory.check_side(image_size, "data.image_size")
    memory.check_side(resize, "data.resize")


def _load_day_night(request: PairRequest) -> Pair:
    size = request.image_size
    parts = day_night.parts(request.resize, size, request.channels)
    train_a, train_b, heldout_a, heldout_b = parts
    pair = Pair(train_a, train_b, heldout_a, heldout_b, True, (size, size, 3))
    on_device = _kept_on_device(request, train_a.shapes, train_b.shapes)
    return pair._replace(on_device=on_device)


def _load_folder(request: PairRequest) -> Pair:
    buckets.check_access(request.dir, "data.dir")
    buckets.check_access(request.dir_b, "data.dir_b")
    files, notes = folder.load_pair(request.dir, request.dir_b)
    return _from_files(files, request)._replace(notes=tuple(notes))


def _load_tfds(request: PairRequest) -> Pair:
    buckets.check_access(request.dir, "data.dir")
    name = request.name.removeprefix("tfds:")
    return _from_files(tfds.load_pair(name, request.dir), request)


def _from_files(files: Sequence[ImageFileSource], request: PairRequest) -> Pair:
    """Return the pair of image files: training of a and b, held out of a and b."""
    size, cache = request.image_size, request.cache
    channels = request.channels or _find_channels(files[:2], cache)
    train, heldout = pair_formats(
        request.resize, size, channels, convert=bool(request.channels)
    )
    for part, image_format in zip(files, (train, train, heldout, heldout), strict=True):
        part.image_format = image_format
    parts: Sequence[Source] = files
    on_device = False
    if cache != "none":
        parts, on_device = _decode_files(files, request)
    train_a, train_b, heldout_a, heldout_b = parts
    pair = Pair(train_a, train_b, heldout_a, heldout_b, False, (size, size, channels))
    return pair._replace(found=tuple(files), on_device=on_device)


def _find_channels(train: Sequence[ImageFileSource], cache: str) -> int:
    try:
        headers = [header for part in train for header in sample_headers(part)]
    except UserError:
        if cache == "none":
            raise
        # The value does not matter: decoding is going to name all damaged files.
        return 3
    return common_channels(headers)


def _decode_files(
    files: Sequence[ImageFileSource], request: PairRequest
) -> tuple[Sequence[Source], bool]:
    """Return the decoded parts, and whether the devices keep those of training."""
    name = request.dir or request.name
    counts = [len(part) for part in files]
    shapes = _decoded_shapes(files, name)
    a, b = counts[:2]
    on_device = _kept_on_device(request, shapes[:a], shapes[a : a + b])
    images = decode_into_cache(
        Chained(files), shapes, request.cache, name, facts=_cache_facts(files)
    )
    return images.split_by_counts(counts), on_device


def _cache_facts(files: Sequence[ImageFileSource]) -> Iterator[object]:
    for part in files:
        shape, size_rule, convert = part.image_format
        # This text is part of the name of the file on disk: files that exist already
        # are found only as long as it stays the same. 'upright' sets them apart from
        # those of a time when the orientation tag was not followed.
        yield f"Format(shape={shape}, sides={size_rule!r}, convert={convert}, upright)"
        yield from part.versions()


class _CheckedHeaders:
    """The headers of a part's images as a source; an image too small is an error."""

    def __init__(self, part: ImageFileSource):
        self.part = part

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int) -> dict[str, Header]:
        header = self.part.read_header(index)
        check_not_smaller(header, self.part.image_format.shape[0])
        return {"header": header}


def _decoded_shapes(files: Sequence[ImageFileSource], name: str) -> list[Shape]:
    """Return the shape (h, w, c) that each image of all parts has after decoding."""
    shapes = [part.image_format.shape for part in files for _ in range(len(part))]
    if files[0].image_format.size_rule == "whole":
        train = Chained([_CheckedHeaders(part) for part in files[:2]])

        def store(index: int, example: Example) -> None:
            header = example["header"]
            shapes[index] = header.height, header.width, shapes[index][2]

        read_all(train, store, f"sizes of {name}")
    return shapes


# The values of `data.name` for pairs, and the function that loads each of them.
PAIR_FORMATS: dict[str, Callable[[PairRequest], Pair]] = {
    "day_night": _load_day_night,
    "folder": _load_folder,
    "tfds:cycle_gan/NAME": _load_tfds,
}
