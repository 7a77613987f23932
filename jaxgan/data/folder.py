"""A folder of image files, with subfolders for splits and classes where it has them."""

import os
import pathlib

import numpy as np

from jaxgan.data import transforms
from jaxgan.data.sources import Example, Source
from jaxgan.errors import UserError

ENDINGS = (
    ".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff",
    ".webp",
)  # fmt: skip
HELDOUT_FOLDERS = ("test", "val", "valid", "validation")


class FolderSource:
    """Image files, decoded when asked for; [] raises UserError naming a bad file."""

    def __init__(self, paths: list[str], labels: list[int], form: transforms.Format):
        self.paths, self.labels, self.form = paths, labels, form

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Example:
        path = self.paths[index]
        image = transforms.decode(path, path, self.form)
        return {"image": image, "label": np.int32(self.labels[index])}


def load(
    folder: str, *, image_size: int, channels: int, labels: bool
) -> tuple[Source, Source | None, tuple[int, int, int], int]:
    """Find the images of a folder, in all its subfolders, sorted by path.

    Where it has a subfolder `train`, that is the training set, and the first there is
    of `test`, `val`, `valid`, `validation` is the held-out one. Names that begin with a
    dot are passed over, and so are files that are not named like images.

    Args:
      folder: the folder.
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
    if not pathlib.Path(folder).is_dir():
        raise UserError(f"data.dir = {folder}: no such folder")
    root = pathlib.Path(folder, "train")
    heldout = None
    if root.is_dir():
        parts = (pathlib.Path(folder, name) for name in HELDOUT_FOLDERS)
        heldout = next((part for part in parts if part.is_dir()), None)
    else:
        root = pathlib.Path(folder)

    paths = _find(root)
    classes = _classes(root, paths) if labels else []
    step = max(1, len(paths) // transforms.SAMPLE)
    headers = [transforms.header(path, path) for path in paths[::step]]
    form = transforms.settle(headers, image_size, channels)
    train = FolderSource(paths, _numbers(root, paths, classes), form)
    if heldout is None:
        return train, None, form.shape, len(classes)
    paths = _find(heldout)
    numbers = _numbers(heldout, paths, classes)
    return train, FolderSource(paths, numbers, form), form.shape, len(classes)


def _find(root: pathlib.Path) -> list[str]:
    found = []
    for folder, subfolders, names in os.walk(root, followlinks=True):
        subfolders[:] = [name for name in subfolders if name[0] != "."]
        found += [
            pathlib.Path(folder, name)
            for name in names
            if name[0] != "." and name.lower().endswith(ENDINGS)
        ]
    if not found:
        raise UserError(
            f"data.dir = {root}: no images there ({', '.join(ENDINGS)} looked for)"
        )
    return [str(path) for path in sorted(found)]


def _class(root: pathlib.Path, path: str) -> str:
    parts = pathlib.Path(path).relative_to(root).parts
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
