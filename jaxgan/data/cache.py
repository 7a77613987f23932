"""Cache of decoded images, in memory or on disk, so that decoding is paid for once."""

import hashlib
import math
import os
import pathlib
import shutil
import tempfile
import threading
from collections.abc import Iterable, Sequence

import numpy as np
import PIL

from jaxgan.data.memory import GIB, check_fits, total_memory
from jaxgan.data.sources import Example, Source, read_all
from jaxgan.errors import UserError
from jaxgan.runtime.signals import clean_up
from jaxgan.runtime.user_folders import cache_folder

# With cache 'auto', decoded images may take up to this share of the machine's memory.
MEMORY_SHARE = 0.25

Shape = tuple[int, int, int]


class PackedImages:
    """A source of images of any sizes, one after another in one uint8 array.

    Args:
      pixels: uint8 [total], in memory or mapped from a file.
      shapes: (h, w, c) of each image, in the order of the pixels.
    """

    def __init__(self, pixels: np.ndarray, shapes: Sequence[Shape]):
        self.pixels, self.shapes = pixels, shapes
        self.ends = np.cumsum([math.prod(shape) for shape in shapes]).tolist()

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, index: int) -> Example:
        shape, end = self.shapes[index], self.ends[index]
        image = self.pixels[end - math.prod(shape) : end].reshape(shape)  # a view
        return {"image": image, "label": np.int32(0)}

    def split_by_counts(self, counts: Sequence[int]) -> list["PackedImages"]:
        """Return the first counts[0] images, the next counts[1] images, and so on."""
        parts, first, start = [], 0, 0
        for count in counts:
            last = first + count
            stop = self.ends[last - 1] if last else 0
            parts.append(PackedImages(self.pixels[start:stop], self.shapes[first:last]))
            first, start = last, stop
        return parts


def pack_images(images: np.ndarray) -> PackedImages:
    """Return uint8 images [n, h, w, c] as a source."""
    return PackedImages(np.ravel(images), [images.shape[1:]] * len(images))


def memory_limit() -> int:
    """Return how many bytes of decoded images cache 'auto' may keep in memory."""
    return int(MEMORY_SHARE * total_memory())


def images_folder() -> pathlib.Path:
    """Return the folder of the files of decoded images; users may delete all of it.

    Raises:
      UserError: there is none, because the user has no home directory.
    """
    folder = cache_folder()
    if folder is None:
        raise UserError(
            "data.cache = disk: this user has no home directory; set XDG_CACHE_HOME to "
            "a folder that can be written, or data.cache=memory"
        )
    return folder


def decode_into_cache(
    source: Source,
    shapes: Sequence[Shape],
    cache: str,
    name: str,
    facts: Iterable[object],
) -> PackedImages:
    """Decode all images of a source and keep them in memory or on disk.

    Args:
      source: uint8 images [*shapes[i]].
      shapes: (h, w, c) of each image.
      cache: 'memory'; 'disk', which uses the file of an earlier run if there is one; or
        'auto' or 'device', which mean 'memory' if that takes at most `memory_limit()`
        bytes, and else 'disk'.
      name: names the source in the progress bar.
      facts: everything that the decoded images depend on; the file is named after a
        digest of the text of these facts.

    Raises:
      UserError: as `sources.read_all` does; or there is too little memory or disk.
      OSError: the folder cannot be written, or the disk is full.
    """
    total = sum(map(math.prod, shapes))
    if cache == "memory" or (cache != "disk" and total <= memory_limit()):
        return decode_into_memory(source, shapes, name)
    return decode_onto_disk(source, shapes, name, facts)


def decode_into_memory(
    source: Source, shapes: Sequence[Shape], name: str
) -> PackedImages:
    """Decode all images of a source into memory; arguments as `decode_into_cache`."""
    total = sum(map(math.prod, shapes))
    check_fits(total, "data.cache = memory", "disk or none expected")
    images = PackedImages(np.empty(total, np.uint8), shapes)

    def store(index: int, example: Example) -> None:
        images[index]["image"][:] = example["image"]

    read_all(source, store, name)
    return images


def decode_onto_disk(
    source: Source, shapes: Sequence[Shape], name: str, facts: Iterable[object]
) -> PackedImages:
    """Decode all images of a source into a file, or use the file of an earlier run.

    The arguments are those of `decode_into_cache`.
    """
    total = sum(map(math.prod, shapes))
    text = "\n".join(map(str, (PIL.__version__, *facts)))
    path = images_folder() / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npy"
    pixels = _map_pixels(path, total)
    if pixels is None:
        _write_pixels(path, source, total, shapes, name)
        pixels = _map_pixels(path, total)
    if pixels is None:
        raise OSError(f"{path}: differs from what was just written")
    return PackedImages(pixels, shapes)


def _map_pixels(path: pathlib.Path, total: int) -> np.ndarray | None:
    """Map a file of `total` bytes of pixels; None if it is missing or damaged."""
    try:
        pixels = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError):
        return None
    return pixels if pixels.shape == (total,) and pixels.dtype == np.uint8 else None


def _write_pixels(
    path: pathlib.Path, source: Source, total: int, shapes: Sequence[Shape], name: str
) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"data.cache = disk: {path.parent} cannot be made ({error.strerror}); set "
            "XDG_CACHE_HOME to a folder that can be written, or data.cache=memory"
        ) from error
    free = shutil.disk_usage(path.parent).free
    if total > free:
        raise UserError(
            f"data.cache = disk: the decoded images take {total / GIB:,.1f} GiB, "
            f"{path.parent} has {free / GIB:,.1f} GiB left; none expected, or another "
            "folder as XDG_CACHE_HOME"
        )
    ends = np.cumsum([math.prod(shape) for shape in shapes]).tolist()
    lock = threading.Lock()
    # The file is written, not mapped: on a full disk, writing raises an error, while
    # writing to a mapped file kills the process.
    with (
        tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file,
        clean_up(lambda: pathlib.Path(file.name).unlink(missing_ok=True)),
    ):
        header = {"descr": "|u1", "fortran_order": False, "shape": (total,)}
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()

        def store(index: int, example: Example) -> None:
            with lock:
                file.seek(start + ends[index] - example["image"].size)
                file.write(example["image"].tobytes())

        read_all(source, store, name)
        file.flush()
        os.fsync(file.fileno())
        os.replace(file.name, path)
