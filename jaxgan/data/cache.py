"""Decoded images, kept in memory or on disk, so that decoding is paid once."""

import contextlib
import hashlib
import math
import os
import pathlib
import tempfile
import threading
from collections.abc import Iterable, Sequence

import numpy as np
import PIL

from jaxgan.data.sources import Example, Source, read_all

# With cache 'auto', decoded images are kept in memory up to this share of it.
MEMORY_SHARE = 0.25

Shape = tuple[int, int, int]


class Packed:
    """Images of any sizes, one after another in one uint8 array.

    Args:
      pixels: uint8 [total], in memory or mapped from a file.
      shapes: (h, w, c) of each image.
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

    def split(self, counts: Sequence[int]) -> list["Packed"]:
        """Return the first counts[0] images, the counts[1] after them, and so on."""
        parts, first, start = [], 0, 0
        for count in counts:
            last = first + count
            stop = self.ends[last - 1] if last else 0
            parts.append(Packed(self.pixels[start:stop], self.shapes[first:last]))
            first, start = last, stop
        return parts


def packed(images: np.ndarray) -> Packed:
    """Return uint8 images [n, h, w, c] as a source."""
    return Packed(np.ravel(images), [images.shape[1:]] * len(images))


def memory_limit() -> int:
    """Return how many bytes of decoded images cache 'auto' keeps in memory."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):  # 'max', or no container
        total = min(total, int(pathlib.Path("/sys/fs/cgroup/memory.max").read_text()))
    return int(MEMORY_SHARE * total)


def folder() -> pathlib.Path:
    """Return where decoded images are kept on disk; all of it may be deleted."""
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base, "jaxgan")


def keep(
    source: Source,
    shapes: Sequence[Shape],
    cache: str,
    name: str,
    stamp: Iterable[object],
) -> Packed:
    """Decode all images of a source, to be kept where `cache` says.

    Args:
      source: uint8 images [*shapes[i]].
      shapes: (h, w, c) of each image.
      cache: 'memory'; 'disk', where the file of an earlier run is taken if there is
        one; or 'auto', in memory when that takes at most `memory_limit()`.
      name: of the source, for the progress bar.
      stamp: all that the decoded images depend on: the file is named by a digest of it.

    Raises:
      UserError: as `sources.read_all` does.
      OSError: the folder cannot be written, or the disk is full.
    """
    total = sum(map(math.prod, shapes))
    if cache == "memory" or (cache == "auto" and total <= memory_limit()):
        return in_memory(source, shapes, name)
    return on_disk(source, shapes, name, stamp)


def in_memory(source: Source, shapes: Sequence[Shape], name: str) -> Packed:
    """Decode all images of a source, uint8 [*shapes[i]]: see `sources.read_all`."""
    kept = Packed(np.empty(sum(map(math.prod, shapes)), np.uint8), shapes)

    def store(index: int, example: Example) -> None:
        kept[index]["image"][:] = example["image"]

    read_all(source, store, name)
    return kept


def on_disk(
    source: Source, shapes: Sequence[Shape], name: str, stamp: Iterable[object]
) -> Packed:
    """Decode all images of a source into a file, or take that of an earlier run."""
    total = sum(map(math.prod, shapes))
    facts = "\n".join(map(str, (PIL.__version__, *stamp)))
    path = folder() / f"{hashlib.sha256(facts.encode()).hexdigest()[:32]}.npy"
    pixels = _mapped(path, total)
    if pixels is None:
        _write(path, source, total, shapes, name)
        pixels = _mapped(path, total)
    if pixels is None:
        raise OSError(f"{path}: not as it was written")
    return Packed(pixels, shapes)


def _mapped(path: pathlib.Path, total: int) -> np.ndarray | None:
    try:
        pixels = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError):  # none there, or damaged
        return None
    return pixels if pixels.shape == (total,) and pixels.dtype == np.uint8 else None


def _write(
    path: pathlib.Path, source: Source, total: int, shapes: Sequence[Shape], name: str
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ends = np.cumsum([math.prod(shape) for shape in shapes]).tolist()
    one_writes = threading.Lock()
    # Plain writes: on a full disk they raise, where a mapped file kills the process.
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            header = {"descr": "|u1", "fortran_order": False, "shape": (total,)}
            np.lib.format.write_array_header_1_0(file, header)
            start = file.tell()

            def store(index: int, example: Example) -> None:
                with one_writes:
                    file.seek(start + ends[index] - example["image"].size)
                    file.write(example["image"].tobytes())

            read_all(source, store, name)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
