"""Two domains of images that are not paired: found, brought to a size, and kept."""

from collections.abc import Sequence
from typing import NamedTuple

from jaxgan.data import transforms
from jaxgan.data.cache import Shape, keep
from jaxgan.data.formats import day_night, folder, tfds
from jaxgan.data.sources import Chained, Example, Source, read_all
from jaxgan.data.transforms import Files, Header
from jaxgan.errors import UserError, unknown
from jaxgan.files import buckets

PAIR_NAMES = ("day_night", "folder")
PAIR_CACHES = ("auto", "memory", "disk", "none")


class Pair(NamedTuple):
    """Two domains, each in two parts that share nothing.

    Attributes:
      train_a, train_b: the images to train on, uint8 [h, w, c], to be cut to `shape`.
      heldout_a, heldout_b: images never trained on, uint8 [*shape].
      truth: heldout_a[i] and heldout_b[i] show the same thing.
      shape: (h, w, c) of what is trained on, h = w.
    """

    train_a: Source
    train_b: Source
    heldout_a: Source
    heldout_b: Source
    truth: bool
    shape: tuple[int, int, int]


def load_pair(
    name: str,
    *,
    dir: str = "",
    dir_b: str = "",
    resize: int,
    image_size: int,
    channels: int = 0,
    cache: str = "auto",
) -> Pair:
    """Load two domains.

    Args:
      name: 'day_night' (made from scikit-learn's two photographs), 'folder' (with
        trainA, trainB, testA, testB, or two folders) or 'tfds:cycle_gan/NAME'.
      dir: the folder; for TFDS its data_dir, '' = its default; local, or gs:// with
        the extra gcs.
      dir_b: with 'folder', the folder of domain b, and `dir` is that of domain a.
      resize: training images are brought to this height and width whatever their
        proportions, as upstream's resize_and_crop; 0 = they are cut as they are.
      image_size: of what is cut out of the training images, and to what the held-out
        ones are brought (with `resize` 0, their centres are cut out).
      channels: 1 (gray) or 3 (RGB), converting; 0 = gray when all images are.
      cache: of the decoded, resized images. 'memory', 'disk' (a file below
        `cache.folder()`, taken again by later runs), 'none' (decoded for each batch),
        'auto' (in memory up to `cache.memory_limit()`, or else on disk). Batches are
        the same to the byte.

    Raises:
      UserError: unknown name, missing folders, damaged or small images, sizes that do
        not fit, missing packages, a bucket that cannot be reached.
    """
    _check(name, dir, dir_b, resize, image_size, cache)
    parts: Sequence[Source]
    if name == "day_night":
        parts, depth = day_night.parts(resize, image_size, channels), 3
    else:
        files = _files(name, dir, dir_b)
        depth = channels or _depth(files[:2], cache)
        forms = transforms.pair_forms(resize, image_size, depth, bool(channels))
        for index, part in enumerate(files):
            part.form = forms[index // 2]
        parts = files if cache == "none" else _decoded(files, cache, dir or name)
    train_a, train_b, heldout_a, heldout_b = parts
    shape = image_size, image_size, depth
    return Pair(train_a, train_b, heldout_a, heldout_b, name == "day_night", shape)


def _files(name: str, dir: str, dir_b: str) -> list[Files]:
    buckets.check_access(dir, "data.dir")
    buckets.check_access(dir_b, "data.dir_b")
    if name == "folder":
        return [*folder.load_pair(dir, dir_b)]
    return [*tfds.load_pair(name[5:], dir)]


def _depth(train: Sequence[Files], cache: str) -> int:
    try:
        headers = [header for part in train for header in transforms.sample(part)]
    except UserError:
        if cache == "none":
            raise
        return 3  # of no matter: decoding is going to name all that are damaged
    return transforms.depth_of(headers)


def _decoded(files: Sequence[Files], cache: str, name: str) -> Sequence[Source]:
    stamp = (fact for part in files for fact in (part.form, *part.stamp()))
    kept = keep(Chained(files), _shapes(files, name), cache, name, stamp)
    return kept.split([len(part) for part in files])


def _check(
    name: str, dir: str, dir_b: str, resize: int, image_size: int, cache: str
) -> None:
    if cache not in PAIR_CACHES:
        raise unknown("data.cache", cache, PAIR_CACHES)
    if name not in PAIR_NAMES and not name.startswith("tfds:cycle_gan/"):
        raise unknown("data.name", name, (*PAIR_NAMES, "tfds:cycle_gan/NAME"))
    if name == "folder" and not dir:
        raise UserError("data.dir = '': data.name=folder needs the path of the data")
    if dir_b and name != "folder":
        raise UserError(f"data.dir_b = {dir_b}: for data.name=folder alone")
    if image_size < 1:
        raise UserError(f"data.image_size = {image_size}: 1 or more expected")
    if resize and resize < image_size:
        raise UserError(
            f"data.resize = {resize}: 0, or data.image_size = {image_size} or more, "
            "expected"
        )


class _Headers:
    """The headers of a part's images, each checked to be large enough, as a source."""

    def __init__(self, part: Files):
        self.part = part

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int) -> dict[str, Header]:
        header = self.part.header(index)
        transforms.check_large(header, self.part.form.shape[0])
        return {"header": header}


def _shapes(files: Sequence[Files], name: str) -> list[Shape]:
    """Return the shape (h, w, c) of every image of all parts, once it is decoded."""
    shapes = [part.form.shape for part in files for _ in range(len(part))]
    if files[0].form.sides == "whole":
        train = Chained([_Headers(part) for part in files[:2]])

        def store(index: int, example: Example) -> None:
            header = example["header"]
            shapes[index] = header.height, header.width, shapes[index][2]

        read_all(train, store, f"sizes of {name}")
    return shapes
