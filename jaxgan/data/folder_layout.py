"""Layouts of folders of images: which subfolders hold training and held-out images."""

import os
from typing import NamedTuple

from jaxgan.errors import UserError
from jaxgan.files import buckets, image_search

# The first of these that exists next to `train` is the held-out part. Here and below,
# upper and lower case are the same in names of folders.
HELDOUT_FOLDERS = ("test", "val", "valid", "validation")


class Folders(NamedTuple):
    """The folders of one set of images, or of one domain.

    Attributes:
        train: the folder of the training images.
        heldout: the folder of the held-out images; '' for none.
    """

    train: str
    heldout: str


class _Listing(NamedTuple):
    """What lies directly in a folder, without what is hidden; names are sorted."""

    field: str
    folder: str
    subfolders: list[str]
    files: list[str]


def _list_folder(given: str, field: str) -> _Listing:
    path = buckets.to_path(given)
    try:
        if not path.is_dir():
            is_file = path.exists()
            fault = "is a file; must be a folder" if is_file else "no such folder"
            raise UserError(f"data.{field} = {given}: {fault}")
        if buckets.is_remote(given):
            subfolders, files = buckets.list_names(str(path))
        else:
            subfolders, files = [], []
            with os.scandir(path) as entries:
                for entry in entries:
                    (subfolders if entry.is_dir() else files).append(entry.name)
    except OSError as error:
        raise UserError(
            f"data.{field} = {given}: cannot be read ({error.strerror})"
        ) from error
    subfolders, files = (
        sorted(name for name in names if not image_search.is_hidden(name))
        for names in (subfolders, files)
    )
    return _Listing(field, str(path), subfolders, files)


def _find_subfolder(listing: _Listing, name: str) -> str:
    """Return the path of a subfolder whose name may differ in case; '' for none.

    Raises:
      UserError: there are two, which differ only in case.
    """
    field, folder, subfolders, _ = listing
    found = [each for each in subfolders if each.lower() == name.lower()]
    places = {os.path.realpath(os.path.join(folder, each)) for each in found}
    if len(places) > 1:
        raise UserError(
            f"data.{field} = {folder}: has the folders {' and '.join(found)}; only "
            "one of them expected"
        )
    return f"{folder}/{found[0]}" if found else ""


def find_folders(given: str, field: str) -> tuple[Folders, list[str]]:
    """Return the folders of a set of images, and lines about what is not used.

    Args:
      given: the folder, local or gs://.
      field: 'dir' or 'dir_b', for messages.

    Raises:
      UserError: the folder is missing, or two subfolders differ only in case.
    """
    listing = _list_folder(given, field)
    folder = listing.folder
    train = _find_subfolder(listing, "train")
    if train:
        parts = (_find_subfolder(listing, name) for name in HELDOUT_FOLDERS)
        heldout = next(filter(None, parts), "")
        return Folders(train, heldout), _unused_notes(listing, [train, heldout])
    # Without `train` such a folder is like any other: its images are trained on.
    notes = [
        f"the images of {folder}/{name} are trained on, as no folder train is beside it"
        for name in listing.subfolders
        if name.lower() in (*HELDOUT_FOLDERS, "testa", "testb")
    ]
    return Folders(folder, ""), notes


def find_domains(given: str) -> tuple[list[Folders], list[str]]:
    """Return the folders of domains a and b, and lines about what is not used.

    Raises:
      UserError: a folder is missing, or two subfolders differ only in case.
    """
    listing = _list_folder(given, "dir")
    names = ("trainA", "testA", "trainB", "testB")
    used = [_find_subfolder(listing, name) for name in names]
    for name, path in zip(names, used, strict=True):
        if not path and name.startswith("train"):
            raise UserError(
                f"data.dir = {given}: no folder {name} there; found "
                f"{', '.join(listing.subfolders[:8]) or 'none'}; trainA, trainB, testA "
                "and testB expected, or two folders as data.dir and data.dir_b"
            )
    notes = _unused_notes(listing, used)
    return [Folders(*used[:2]), Folders(*used[2:])], notes


def _unused_notes(listing: _Listing, used: list[str]) -> list[str]:
    _, folder, subfolders, files = listing
    unused = [name for name in subfolders if f"{folder}/{name}" not in used]
    num_images = sum(map(image_search.has_image_ending, files))
    if num_images:
        unused.append(f"{num_images} image{'s' if num_images > 1 else ''}")
    if not unused:
        return []
    more = ", ..." if len(unused) > 8 else ""
    return [f"not used in {folder}: {', '.join(unused[:8])}{more}"]
