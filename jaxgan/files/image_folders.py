"""Folders of image files: which files are images, and how translations are named."""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from jaxgan.errors import UserError
from jaxgan.files.image_files import WRITABLE_ENDINGS

# Files with other endings are not taken for images; upper and lower case are the same.
IMAGE_ENDINGS = (
    ".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff",
    ".webp",
)  # fmt: skip


def has_image_ending(name: str) -> bool:
    """Return whether a file's name ends like an image's."""
    return name.lower().endswith(IMAGE_ENDINGS)


def walk_files(
    root: Path,
    enter: Callable[[Path], bool] = lambda folder: True,
    onerror: Callable[[OSError], None] | None = None,
) -> Iterator[Path]:
    """Yield all files in a folder and its subfolders, without the hidden ones.

    Files and folders whose name begins with a dot are hidden. Links to folders are
    followed. The order of the files is that of the file system.

    Args:
        root: the folder.
        enter: called for each subfolder, those of one folder in the order of their
            names; subfolders for which it returns False are left out.
        onerror: called when a folder cannot be listed; without it, such a folder counts
            as empty.
    """
    for folder, subfolders, names in os.walk(root, onerror=onerror, followlinks=True):
        subfolders[:] = [
            name
            for name in sorted(subfolders)
            if name[0] != "." and enter(Path(folder, name))
        ]
        yield from (Path(folder, name) for name in names if name[0] != ".")


def translation_files(
    given: Path, output: Path, say: Callable[[str], None]
) -> dict[Path, Path]:
    """Return {image file: file of its translation}, sorted by the image's path.

    Hidden files and folders are left out, and so is the output folder if it lies inside
    the input folder. Files whose names do not end like an image's are left out as well,
    and `say` is called with their number.

    Args:
        given: an image file; or a folder, searched with all its subfolders, whose
            relative paths the translations keep.
        output: the folder for the translations.
        say: prints a line for the user.

    Raises:
        UserError: `given` does not exist or has no images, `output` is a file, or a
            translation would overwrite an input image or have the path of a folder.
    """
    if not given.exists():
        raise UserError(f"--input = {given}: no such file or folder")
    if output.exists() and not output.is_dir():
        raise UserError(f"--output = {output}: is a file; must be a folder")
    root = given if given.is_dir() else given.parent
    if output.resolve() == root.resolve():
        raise UserError(
            f"--output = {output}: is the input's own folder; must be another one, so "
            "that no image is overwritten"
        )
    paths = _find_images(given, output.resolve(), say) if given.is_dir() else [given]
    names = translation_names([path.relative_to(root) for path in paths])
    files = {path: output / names[path.relative_to(root)] for path in paths}
    inputs = {_ignore_case(path.resolve()) for path in paths}
    for translation in files.values():
        if translation.is_dir():
            raise UserError(f"--output = {output}: {translation} is a folder, no image")
        if _ignore_case(translation.resolve()) in inputs:
            raise UserError(
                f"--output = {output}: {translation} is an image of the input, and "
                "would be overwritten; choose another folder"
            )
    return files


def translation_names(paths: Sequence[Path]) -> dict[Path, Path]:
    """Return {image: name of its translation}, sorted by the images.

    An image whose format can be written keeps its name; other images get the ending
    .png. If that name is already taken, .png follows the complete name: a.png and a.jpg
    become a.png and a.jpg.png. Some file systems ignore case, so names that differ only
    by case count as the same.
    """
    names: dict[Path, Path] = {}
    taken = set()
    for path in sorted(paths, key=lambda p: (not _keeps_format(p), p)):
        names[path] = next(n for n in _candidates(path) if _ignore_case(n) not in taken)
        taken.add(_ignore_case(names[path]))
    return {path: names[path] for path in sorted(names)}


def _candidates(path: Path) -> Iterator[Path]:
    yield path if _keeps_format(path) else path.with_suffix(".png")
    yield path.with_name(f"{path.name}.png")
    for number in itertools.count(2):
        yield path.with_name(f"{path.name}.{number}.png")


def _keeps_format(path: Path) -> bool:
    return path.suffix.lower() in WRITABLE_ENDINGS


def _ignore_case(path: Path) -> str:
    """Return a string that is equal for all paths that may name the same file."""
    return str(path).casefold()


def _find_images(root: Path, output: Path, say: Callable[[str], None]) -> list[Path]:
    """Return the images in a folder and its subfolders, without the output folder."""
    visited = {output, root.resolve()}

    def enter(folder: Path) -> bool:
        place = folder.resolve()
        if place in visited:  # a link may lead back to a folder above it
            return False
        visited.add(place)
        return True

    images: list[Path] = []
    others: list[Path] = []
    for path in walk_files(root, enter, _raise):
        (images if has_image_ending(path.name) else others).append(path)
    if not images:
        raise UserError(
            f"--input = {root}: no images there ({', '.join(IMAGE_ENDINGS)} looked for)"
        )
    if others:
        kinds = sorted({path.suffix.lower() or path.name for path in others})
        more = ", ..." if len(kinds) > 5 else ""
        say(
            f"{len(others)} files passed over that are not named like images "
            f"({', '.join(kinds[:5])}{more})"
        )
    return sorted(images)


def _raise(error: OSError) -> NoReturn:
    raise error
