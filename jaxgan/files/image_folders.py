"""Which image files a folder holds, and under which names their translations go."""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from jaxgan.errors import UserError
from jaxgan.files.image_files import ENDINGS, KEPT_ENDINGS


def targets(given: Path, output: Path, say: Callable[[str], None]) -> dict[Path, Path]:
    """Return {image file: file of its translation}, sorted by the image's path.

    `given` is a file, or a folder with all its subfolders, whose relative paths are
    kept. Passed over are hidden files and folders, the output folder where it lies in
    the input, and files that are not named like images, which is said.

    Raises:
        UserError: no such file or folder, no images in it, an output that is a file,
            or a translation that would take the place of an input or of a folder.
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
    paths = _find(given, output.resolve(), say) if given.is_dir() else [given]
    names = named([path.relative_to(root) for path in paths])
    found = {path: output / names[path.relative_to(root)] for path in paths}
    inputs = {_same(path.resolve()) for path in paths}
    for target in found.values():
        if target.is_dir():
            raise UserError(f"--output = {output}: {target} is a folder, no image")
        if _same(target.resolve()) in inputs:
            raise UserError(
                f"--output = {output}: {target} is an image of the input, and would be "
                "overwritten; choose another folder"
            )
    return found


def named(paths: Sequence[Path]) -> dict[Path, Path]:
    """Return {image: its translation's name}, no two the same, sorted by the images.

    An image keeps its name where its format is written, and becomes .png otherwise.
    Where that name is another's, .png follows the whole name: a.png and a.jpg become
    a.png and a.jpg.png. Names that differ by case alone are the same in some file
    systems, and count as such.
    """
    names: dict[Path, Path] = {}
    taken = set()
    for path in sorted(paths, key=lambda p: (not _is_kept(p), p)):
        names[path] = next(n for n in _candidates(path) if _same(n) not in taken)
        taken.add(_same(names[path]))
    return {path: names[path] for path in sorted(names)}


def _candidates(path: Path) -> Iterator[Path]:
    yield path if _is_kept(path) else path.with_suffix(".png")
    yield path.with_name(f"{path.name}.png")
    for number in itertools.count(2):
        yield path.with_name(f"{path.name}.{number}.png")


def _is_kept(path: Path) -> bool:
    return path.suffix.lower() in KEPT_ENDINGS


def _same(path: Path) -> str:
    """Return what is equal for paths that may name one file."""
    return str(path).casefold()


def _find(root: Path, output: Path, say: Callable[[str], None]) -> list[Path]:
    """Return the images in a folder and its subfolders, links to folders included."""
    found: list[Path] = []
    other: list[Path] = []
    seen = {output, root.resolve()}
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=_refuse):
        shown = [name for name in subfolders if name[0] != "."]
        subfolders.clear()
        for name in sorted(shown):
            # A link may lead back to a folder above it.
            place = Path(folder, name).resolve()
            if place not in seen:
                seen.add(place)
                subfolders.append(name)
        for name in names:
            if name[0] != ".":
                kind = found if name.lower().endswith(ENDINGS) else other
                kind.append(Path(folder, name))
    if not found:
        raise UserError(
            f"--input = {root}: no images there ({', '.join(ENDINGS)} looked for)"
        )
    if other:
        kinds = sorted({path.suffix.lower() or path.name for path in other})
        more = ", ..." if len(kinds) > 5 else ""
        say(
            f"{len(other)} files passed over that are not named like images "
            f"({', '.join(kinds[:5])}{more})"
        )
    return sorted(found)


def _refuse(error: OSError) -> NoReturn:
    raise error
