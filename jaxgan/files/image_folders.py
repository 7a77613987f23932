"""Translations of a folder of images: which files they are, and how they are named."""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from jaxgan.errors import UserError
from jaxgan.files import image_search
from jaxgan.files.image_files import WRITABLE_ENDINGS
from jaxgan.files.skipped_files import UNREADABLE, describe_skipped


def translation_files(
    given: Path, output: Path, say: Callable[[str], None]
) -> dict[Path, Path]:
    """Return {image file: file of its translation}, sorted by the image's path.

    Hidden files and folders are left out, and so is the output folder if it lies inside
    the input folder. `say` is called with the numbers of what is left out, and why.

    Args:
        given: an image file; or a folder, searched with all its subfolders, whose
            relative paths the translations keep.
        output: the folder for the translations.
        say: prints a line for the user.

    Raises:
        UserError: `given` does not exist or has no images, a subfolder cannot be read,
            `output` is a file, or a translation would overwrite an input image or have
            the path of a folder.
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
        if os.path.isdir(translation):  # no error where a name is too long
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
    found = image_search.search_images(
        str(root), leave_out=str(output), repeat_files=True
    )
    skipped = describe_skipped(found.skipped)
    if UNREADABLE in found.skipped:
        # Images of the user's would be missing from the output.
        raise UserError(f"--input = {root}: {skipped}")
    if not found.names:
        endings = ", ".join(image_search.IMAGE_ENDINGS)
        raise UserError(
            f"--input = {root}: no images there ({endings} looked for)"
            f"{skipped and '; skipped: '}{skipped}"
        )
    if skipped:
        say(f"skipped: {skipped}")
    return [root / name for name in found.names]
