"""A folder of image files, with subfolders for splits and classes where it has them."""

import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from jaxgan.data import transforms
from jaxgan.data.sources import Example, Source, split_indices, stamps
from jaxgan.errors import UserError
from jaxgan.files import buckets
from jaxgan.files.image_folders import IMAGE_ENDINGS, has_image_ending, walk_files

HELDOUT_FOLDERS = ("test", "val", "valid", "validation")


class Found(NamedTuple):
    """Images of a folder: their paths, and of gs:// ones the size and generation."""

    folder: str
    paths: list[str]
    facts: dict[str, tuple[int, str]]


class FolderSource:
    """Image files, decoded when asked for; [] raises UserError naming a bad file."""

    form: transforms.Format

    def __init__(self, found: Found, labels: list[int] | None = None):
        self.found, self.paths = found, found.paths
        self.labels = labels or [0] * len(found.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def header(self, index: int) -> transforms.Header:
        """Return the size and colour of an image without decoding it."""
        path = self.paths[index]
        return transforms.header(buckets.path_or_content(path), path)

    def stamp(self) -> Iterator[tuple]:
        """Yield what changes when a file does."""
        facts = self.found.facts
        if not facts:
            return stamps(self.paths)
        return ((path, *facts[path]) for path in self.paths)

    def identity(self) -> Iterator[tuple]:
        """Yield each file's name below the folder, and its size."""
        folder, _, facts = self.found
        for path in self.paths:
            size = facts[path][0] if facts else os.path.getsize(path)
            yield os.path.relpath(path, folder), size

    def __getitem__(self, index: int) -> Example:
        path = self.paths[index]
        image = transforms.decode(buckets.path_or_content(path), path, self.form)
        return {"image": image, "label": np.int32(self.labels[index])}


def load(
    folder: str, *, image_size: int, channels: int, labels: bool
) -> tuple[Source, Source | None, tuple[int, int, int], int]:
    """Find the images of a folder, in all its subfolders, sorted by path.

    Where it has a subfolder `train`, that is the training set, and the first there is
    of `test`, `val`, `valid`, `validation` is the held-out one. Names that begin with a
    dot are passed over, and so are files that are not named like images.

    Args:
      folder: the folder, local or gs://.
      image_size: the shorter side is brought to it and the centre cut out; 0 = the
        images have one size and keep it.
      channels: 1 or 3, converting; 0 = as they are.
      labels: the subfolders are classes, numbered in alphabetical order.

    Returns:
      the training set, the held-out set or None, the images' shape, and the number of
      classes (0 without `labels`).

    Raises:
      UserError: no folder, no images, images outside class folders, a file that is no
        image (of those looked at to find out the size and the channels).
    """
    root, heldout_root = _parts(folder)
    found = _find(root)
    classes = _classes(root, found.paths) if labels else []
    train = FolderSource(found, _numbers(root, found.paths, classes))
    train.form = transforms.settle(transforms.sample(train), image_size, channels)
    if heldout_root is None:
        return train, None, train.form.shape, len(classes)
    found = _find(heldout_root)
    heldout = FolderSource(found, _numbers(heldout_root, found.paths, classes))
    heldout.form = train.form
    return train, heldout, train.form.shape, len(classes)


def load_pair(folder: str, folder_b: str) -> list[FolderSource]:
    """Find the images of two domains, in all subfolders of theirs, sorted by path.

    Args:
      folder: has subfolders trainA, trainB, testA and testB; where a test folder is
        missing, 10 % of the training images are held out. Or, with `folder_b`,
      folder, folder_b: each one domain, as `load` takes it.

    Returns:
      the training images of both domains, the held-out ones of both; their `form` is
      still to be set.

    Raises:
      UserError: a folder is missing or has no images, or only one of them.
    """
    if folder_b:
        roots = [
            _parts(one, field) for one, field in ((folder, "dir"), (folder_b, "dir_b"))
        ]
    else:
        root = _checked(folder, "dir")
        roots = [(root / f"train{x}", root / f"test{x}") for x in "AB"]
        for train, _ in roots:
            if not train.is_dir():
                found = sorted(path.name for path in root.iterdir() if path.is_dir())
                raise UserError(
                    f"data.dir = {folder}: no folder {train.name} there; found "
                    f"{', '.join(found[:8]) or 'none'}; trainA, trainB, testA and "
                    "testB expected, or two folders as data.dir and data.dir_b"
                )
    (train_a, heldout_a), (train_b, heldout_b) = (_domain(*each) for each in roots)
    return [train_a, train_b, heldout_a, heldout_b]


def _domain(
    train: pathlib.Path, heldout: pathlib.Path | None
) -> tuple[FolderSource, FolderSource]:
    found = _find(train)
    if heldout is not None and heldout.is_dir():
        return FolderSource(found), FolderSource(_find(heldout))
    parts = split_indices(len(found.paths), f"data.dir = {train}")
    first, second = ([found.paths[index] for index in part] for part in parts)
    return FolderSource(found._replace(paths=first)), FolderSource(
        found._replace(paths=second)
    )


def _checked(folder: str, field: str) -> pathlib.Path:
    path = buckets.to_path(folder)
    if not path.is_dir():
        raise UserError(f"data.{field} = {folder}: no such folder")
    return path


def _parts(folder: str, field: str = "dir") -> tuple[pathlib.Path, pathlib.Path | None]:
    root = _checked(folder, field)
    if not (root / "train").is_dir():
        return root, None
    parts = (root / name for name in HELDOUT_FOLDERS)
    return root / "train", next((part for part in parts if part.is_dir()), None)


def _find(root: pathlib.Path) -> Found:
    facts = buckets.list_objects(str(root)) if buckets.is_remote(root) else {}
    paths = _remote(root, facts) if buckets.is_remote(root) else _local(root)
    if not paths:
        endings = ", ".join(IMAGE_ENDINGS)
        raise UserError(f"data.dir = {root}: no images there ({endings} looked for)")
    return Found(str(root), paths, facts)


def _remote(root: pathlib.Path, paths: Iterable[str]) -> list[str]:
    start = len(f"{root}/")
    found = sorted(path[start:].split("/") for path in paths)
    return [
        f"{root}/{'/'.join(parts)}"
        for parts in found
        if all(part[:1] != "." for part in parts) and has_image_ending(parts[-1])
    ]


def _local(root: pathlib.Path) -> list[str]:
    images = sorted(path for path in walk_files(root) if has_image_ending(path.name))
    return [str(path) for path in images]


def _class(root: pathlib.Path, path: str) -> str:
    parts = buckets.to_path(path).relative_to(root).parts
    if len(parts) == 1:
        raise UserError(f"{path}: labels need each image in a subfolder, its class")
    return parts[0]


def _classes(root: pathlib.Path, paths: list[str]) -> list[str]:
    return sorted({_class(root, path) for path in paths})


def _numbers(root: pathlib.Path, paths: list[str], classes: list[str]) -> list[int]:
    if not classes:
        return [0] * len(paths)
    number = {name: index for index, name in enumerate(classes)}
    names = [_class(root, path) for path in paths]
    for name, path in zip(names, paths, strict=True):
        if name not in number:
            raise UserError(f"{path}: class {name} is not among those to train on")
    return [number[name] for name in names]
