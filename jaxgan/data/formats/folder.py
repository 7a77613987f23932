"""Folders of image files, with optional subfolders for splits and classes."""

import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from jaxgan.data import transforms
from jaxgan.data.image_formats import Header, ImageFormat, choose_format, sample_headers
from jaxgan.data.sources import Example, Parts, file_versions, split_indices
from jaxgan.errors import UserError
from jaxgan.files import buckets
from jaxgan.files.image_folders import IMAGE_ENDINGS, has_image_ending, walk_files

# The first of these that exists next to `train` is the held-out part.
HELDOUT_FOLDERS = ("test", "val", "valid", "validation")


class ImagePaths(NamedTuple):
    """The image files of a folder.

    Attributes:
      folder: the folder.
      paths: the paths of the files, sorted.
      objects: for gs://, {path: (size in bytes, generation)}; empty for a local folder.
    """

    folder: str
    paths: list[str]
    objects: dict[str, tuple[int, str]]


class FolderSource:
    """Image files as a source; they are decoded when they are asked for.

    `source[index]` raises UserError, naming the file, if it cannot be decoded.
    """

    image_format: ImageFormat

    def __init__(self, images: ImagePaths, labels: list[int] | None = None):
        self.images, self.paths = images, images.paths
        self.labels = labels or [0] * len(images.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def read_header(self, index: int) -> Header:
        """Return the size and colour of an image without decoding it."""
        path = self.paths[index]
        return transforms.read_header(buckets.path_or_content(path), path)

    def versions(self) -> Iterator[tuple]:
        """Yield for each file its path, size and time of change or generation."""
        objects = self.images.objects
        if not objects:
            return file_versions(self.paths)
        return ((path, *objects[path]) for path in self.paths)

    def identity_facts(self) -> Iterator[tuple]:
        """Yield each file's path relative to the folder, and its size in bytes."""
        folder, _, objects = self.images
        for path in self.paths:
            size = objects[path][0] if objects else os.path.getsize(path)
            yield os.path.relpath(path, folder), size

    def __getitem__(self, index: int) -> Example:
        path = self.paths[index]
        image = transforms.decode(
            buckets.path_or_content(path), path, self.image_format
        )
        return {"image": image, "label": np.int32(self.labels[index])}


def load(folder: str, *, image_size: int, channels: int, labels: bool) -> Parts:
    """Find the images in a folder and all its subfolders, sorted by path.

    A subfolder `train` is the training part, if there is one, and the first of
    HELDOUT_FOLDERS that exists is the held-out part. Files and folders whose names
    begin with a dot are left out, and so are files whose names do not end like an
    image's.

    Args:
      folder: the folder, local or gs://.
      image_size: the shorter side of each image is resized to it and the centre cut
        out; 0 means that all images have one size, and keeps it.
      channels: 1 or 3, to which images are converted; 0 keeps theirs.
      labels: whether the subfolders are classes, numbered in alphabetical order.

    Raises:
      UserError: the folder does not exist or has no images, an image lies outside the
        folders of classes, or one of the files whose headers are read is not an image.
    """
    root, heldout_root = _find_parts(folder)
    images = _find_images(root)
    classes = _find_classes(root, images.paths) if labels else []
    train = FolderSource(images, _class_numbers(root, images.paths, classes))
    headers = sample_headers(train)
    train.image_format = choose_format(headers, image_size, channels)
    heldout = None
    if heldout_root is not None:
        images = _find_images(heldout_root)
        numbers = _class_numbers(heldout_root, images.paths, classes)
        heldout = FolderSource(images, numbers)
        heldout.image_format = train.image_format
    return Parts(train, heldout, train.image_format.shape, len(classes))


def load_pair(folder: str, folder_b: str) -> list[FolderSource]:
    """Find the images of two domains, in all subfolders, sorted by path.

    Args:
      folder: without `folder_b`, a folder with the subfolders trainA, trainB, testA and
        testB; if a test folder is missing, 10 % of that domain's training images are
        held out. With `folder_b`, the folder of domain a, laid out as for `load`.
      folder_b: '', or the folder of domain b, laid out as for `load`.

    Returns:
      the training images of a and of b, and the held-out images of a and of b. Their
      `image_format` is still to be set.

    Raises:
      UserError: a folder is missing, has no images, or has only one image where some
        have to be held out.
    """
    if folder_b:
        roots = [_find_parts(folder, "dir"), _find_parts(folder_b, "dir_b")]
    else:
        root = _existing_folder(folder, "dir")
        roots = [(root / f"train{x}", root / f"test{x}") for x in "AB"]
        for train, _ in roots:
            if not train.is_dir():
                found = sorted(path.name for path in root.iterdir() if path.is_dir())
                raise UserError(
                    f"data.dir = {folder}: no folder {train.name} there; found "
                    f"{', '.join(found[:8]) or 'none'}; trainA, trainB, testA and "
                    "testB expected, or two folders as data.dir and data.dir_b"
                )
    (train_a, heldout_a), (train_b, heldout_b) = (_find_domain(*each) for each in roots)
    return [train_a, train_b, heldout_a, heldout_b]


def _find_domain(
    train: pathlib.Path, heldout: pathlib.Path | None
) -> tuple[FolderSource, FolderSource]:
    """Return a domain's training images and held-out images."""
    images = _find_images(train)
    if heldout is not None and heldout.is_dir():
        return FolderSource(images), FolderSource(_find_images(heldout))
    parts = split_indices(len(images.paths), f"data.dir = {train}")
    first, second = (
        FolderSource(images._replace(paths=[images.paths[index] for index in part]))
        for part in parts
    )
    return first, second


def _existing_folder(folder: str, field: str) -> pathlib.Path:
    path = buckets.to_path(folder)
    if not path.is_dir():
        raise UserError(f"data.{field} = {folder}: no such folder")
    return path


def _find_parts(
    folder: str, field: str = "dir"
) -> tuple[pathlib.Path, pathlib.Path | None]:
    """Return the folders of the training images and of the held-out ones, if any."""
    root = _existing_folder(folder, field)
    if not (root / "train").is_dir():
        return root, None
    parts = (root / name for name in HELDOUT_FOLDERS)
    return root / "train", next((part for part in parts if part.is_dir()), None)


def _find_images(root: pathlib.Path) -> ImagePaths:
    remote = buckets.is_remote(root)
    objects = buckets.list_objects(str(root)) if remote else {}
    paths = _remote_images(root, objects) if remote else _local_images(root)
    if not paths:
        endings = ", ".join(IMAGE_ENDINGS)
        raise UserError(f"data.dir = {root}: no images there ({endings} looked for)")
    return ImagePaths(str(root), paths, objects)


def _remote_images(root: pathlib.Path, paths: Iterable[str]) -> list[str]:
    start = len(f"{root}/")
    # Sorted by their parts, as pathlib sorts local paths, and not as strings.
    relative_paths = sorted(path[start:].split("/") for path in paths)
    return [
        f"{root}/{'/'.join(parts)}"
        for parts in relative_paths
        if all(part[:1] != "." for part in parts) and has_image_ending(parts[-1])
    ]


def _local_images(root: pathlib.Path) -> list[str]:
    images = sorted(path for path in walk_files(root) if has_image_ending(path.name))
    return [str(path) for path in images]


def _class_name(root: pathlib.Path, path: str) -> str:
    parts = buckets.to_path(path).relative_to(root).parts
    if len(parts) == 1:
        raise UserError(f"{path}: labels need each image in a subfolder, its class")
    return parts[0]


def _find_classes(root: pathlib.Path, paths: list[str]) -> list[str]:
    return sorted({_class_name(root, path) for path in paths})


def _class_numbers(
    root: pathlib.Path, paths: list[str], classes: list[str]
) -> list[int]:
    """Return the index in `classes` of each image's class; all 0 without classes."""
    if not classes:
        return [0] * len(paths)
    number = {name: index for index, name in enumerate(classes)}
    names = [_class_name(root, path) for path in paths]
    for name, path in zip(names, paths, strict=True):
        if name not in number:
            raise UserError(f"{path}: class {name} is not among those to train on")
    return [number[name] for name in names]
