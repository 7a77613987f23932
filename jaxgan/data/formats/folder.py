"""Folders of image files, with optional subfolders for splits and classes."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from jaxgan.data import transforms
from jaxgan.data.folder_layout import Folders, find_domains, find_folders
from jaxgan.data.image_formats import Header, ImageFormat, choose_format, sample_headers
from jaxgan.data.sources import Example, Parts, file_versions, split_indices
from jaxgan.errors import UserError
from jaxgan.files import buckets, image_search
from jaxgan.files.image_search import FoundImages
from jaxgan.files.skipped_files import describe_skipped


class FolderSource:
    """Image files as a source; they are decoded when they are asked for.

    `source[index]` raises UserError, naming the file, if it cannot be decoded.
    """

    image_format: ImageFormat

    def __init__(self, images: FoundImages, labels: list[int] | None = None):
        self.images, self.names = images, images.names
        self.labels = labels or [0] * len(images.names)

    def __len__(self) -> int:
        return len(self.names)

    def read_header(self, index: int) -> Header:
        """Return the size and colour of an image without decoding it."""
        path = self.images.path(self.names[index])
        return transforms.read_header(buckets.path_or_content(path), path)

    def versions(self) -> Iterator[tuple]:
        """Yield for each file its path, size and time of change or generation."""
        images, paths = self.images, map(self.images.path, self.names)
        if not images.generations:
            return file_versions(paths)
        return (
            (path, images.sizes[name], images.generations[name])
            for path, name in zip(paths, self.names, strict=True)
        )

    def identity_facts(self) -> Iterator[tuple]:
        """Yield each file's path relative to the folder, and its size in bytes."""
        return ((name, self.images.sizes[name]) for name in self.names)

    def __getitem__(self, index: int) -> Example:
        path = self.images.path(self.names[index])
        image = transforms.decode(
            buckets.path_or_content(path), path, self.image_format
        )
        return {"image": image, "label": np.int32(self.labels[index])}


def load(folder: str, *, image_size: int, channels: int, labels: bool) -> Parts:
    """Find the images in a folder and all its subfolders, sorted by path.

    A subfolder `train` is the training part, if there is one, and the first of
    `folder_layout.HELDOUT_FOLDERS` that exists is the held-out part. `image_search`
    says what counts as an image, and `Parts.notes` what was left out.

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
    folders, notes = find_folders(folder, "dir")
    found = _find_images(folders)
    images = found[0]
    classes = _find_classes(images) if labels else []
    train = FolderSource(images, _class_numbers(images, classes))
    headers = sample_headers(train)
    train.image_format = choose_format(headers, image_size, channels)
    heldout = None
    if len(found) == 2:
        heldout = FolderSource(found[1], _class_numbers(found[1], classes))
        heldout.image_format = train.image_format
    return Parts(
        train,
        heldout,
        train.image_format.shape,
        len(classes),
        notes=(*notes, *_skipped_notes(found)),
    )


def load_pair(folder: str, folder_b: str) -> tuple[list[FolderSource], Sequence[str]]:
    """Find the images of two domains, in all subfolders, sorted by path.

    Args:
      folder: without `folder_b`, a folder with the subfolders trainA, trainB, testA and
        testB; if a test folder is missing, 10 % of that domain's training images are
        held out. With `folder_b`, the folder of domain a, laid out as for `load`.
      folder_b: '', or the folder of domain b, laid out as for `load`.

    Returns:
      the training images of a and of b, and the held-out images of a and of b, whose
      `image_format` is still to be set; and lines about what was left out.

    Raises:
      UserError: a folder is missing, has no images, or has only one image where some
        have to be held out.
    """
    if folder_b:
        domain_a, notes_a = find_folders(folder, "dir")
        domain_b, notes_b = find_folders(folder_b, "dir_b")
        domains, notes = [domain_a, domain_b], notes_a + notes_b
    else:
        domains, notes = find_domains(folder)
    found_a = _find_images(domains[0])
    train_a, heldout_a = _split_domain(found_a)
    found_b = _find_images(domains[1])
    train_b, heldout_b = _split_domain(found_b)
    notes = [*notes, *_skipped_notes([*found_a, *found_b])]
    return [train_a, train_b, heldout_a, heldout_b], notes


def _find_images(folders: Folders) -> list[FoundImages]:
    """Return the training images and, if they have a folder, the held-out images.

    An image that is reached from both folders is a training image only.
    """
    try:
        found = [image_search.search_images(folders.train)]
        if folders.heldout:
            places = set(found[0].places.values())
            heldout = image_search.search_images(
                folders.heldout, training_places=places
            )
            found.append(heldout)
    except OSError as error:
        raise UserError(
            f"data.dir = {error.filename}: cannot be read ({error.strerror})"
        ) from error
    for images in found:
        if not images.names:
            endings = ", ".join(image_search.IMAGE_ENDINGS)
            skipped = describe_skipped(images.skipped)
            raise UserError(
                f"data.dir = {images.folder}: no images there ({endings} looked for)"
                f"{skipped and '; skipped: '}{skipped}"
            )
    return found


def _skipped_notes(found: Iterable[FoundImages]) -> list[str]:
    skipped: dict[str, list[str]] = {}
    for images in found:
        for reason, names in images.skipped.items():
            skipped.setdefault(reason, []).extend(map(images.path, names))
    text = describe_skipped(skipped)
    return [f"skipped: {text}"] if text else []


def _split_domain(found: list[FoundImages]) -> tuple[FolderSource, FolderSource]:
    """Return a domain's training images and held-out images."""
    if len(found) == 2:
        return FolderSource(found[0]), FolderSource(found[1])
    (images,) = found
    parts = split_indices(len(images.names), f"data.dir = {images.folder}")
    first, second = (
        FolderSource(images._replace(names=[images.names[index] for index in part]))
        for part in parts
    )
    return first, second


def _class_name(images: FoundImages, name: str) -> str:
    folder, slash, _ = name.partition("/")
    if not slash:
        raise UserError(
            f"{images.path(name)}: labels need each image in a subfolder, its class"
        )
    return folder


def _find_classes(images: FoundImages) -> list[str]:
    return sorted({_class_name(images, name) for name in images.names})


def _class_numbers(images: FoundImages, classes: list[str]) -> list[int]:
    """Return the index in `classes` of each image's class; all 0 without classes."""
    if not classes:
        return [0] * len(images.names)
    number = {name: index for index, name in enumerate(classes)}
    numbers = []
    for name in images.names:
        label = _class_name(images, name)
        if label not in number:
            raise UserError(
                f"{images.path(name)}: class {label} is not among those to train on"
            )
        numbers.append(number[label])
    return numbers
