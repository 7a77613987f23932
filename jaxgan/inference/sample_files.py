"""Files of samples: a grid (.png), an array (.npz), or a folder of single images."""

import io
import math
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from jaxgan import pixels
from jaxgan.errors import UserError, printable
from jaxgan.files import pictures, storage
from jaxgan.files.image_search import has_image_ending
from jaxgan.inference.drawing import TrainedRun, check_memory

ENDINGS: dict[str, Literal["grid", "array"]] = {".png": "grid", ".npz": "array"}


class Target(NamedTuple):
    """Where samples are written, and as what."""

    path: Path
    kind: Literal["grid", "array", "folder"]


def parse_target(text: str) -> Target:
    """Return the target that `--out` names; endings count in any case.

    Raises:
        UserError: the name ends like a file of another kind, or is taken by a folder
            where a file is wanted or by a file where a folder is.
    """
    path = storage.checked_path(text, "--out")
    name = f"--out = {printable(text)}"
    kind = None if text.endswith("/") else ENDINGS.get(path.suffix.lower())
    if kind is None:
        if path.suffix and not text.endswith("/") and not path.is_dir():
            raise UserError(
                f"{name}: must end in .png (a grid) or .npz (an array), or name a "
                "folder (end its name with / if that has a dot)"
            )
        if path.exists() and not path.is_dir():
            raise UserError(
                f"{name}: is a file; must be FILE.png, FILE.npz or a folder"
            )
        return Target(path, "folder")
    if path.is_dir():
        raise UserError(f"{name}: is a folder; give a file's name, or end it with /")
    return Target(path, kind)


def check_target(target: Target, run: TrainedRun, count: int) -> None:
    """Check that `count` samples of a run can be written to a target; make its folder.

    A folder may hold files of any other kind, and these samples of an earlier call, but
    no other images: they would be taken for samples.

    Raises:
        UserError: they cannot, or need more memory than there is.
        OSError: the disk refuses the folder.
    """
    path, kind = target
    numbers = math.prod(run.shape)
    if kind == "grid" and len(run.shape) == 3:
        # A cell of the grid: see `pictures.grid`.
        cell = pictures.grid(np.zeros((1, *run.shape), np.uint8))
        numbers = max(numbers, cell.size)
    check_memory("--num", count, numbers)
    if kind == "folder":
        _check_folder(path, run.shape, count)
    if not storage.is_remote(path):
        storage.make_folder(path if kind == "folder" else path.parent, "--out")


def _check_folder(folder: Path, shape: tuple[int, ...], count: int) -> None:
    if len(shape) == 1:
        raise UserError(
            f"--out = {printable(folder)}: must be FILE.png or FILE.npz for points"
        )
    names = {p.name for p in folder.iterdir()} if folder.is_dir() else set()
    ours = {image_name(number) for number in range(count)}
    others = sorted(name for name in names - ours if has_image_ending(name))
    if others:
        raise UserError(
            f"--out = {printable(folder)}: has {len(others):,} other images "
            f"({printable(others[0])}), which would be taken for samples; give a new "
            "folder"
        )


def image_name(number: int) -> str:
    """Return the name of one sample's file in a folder."""
    return f"{number:06d}.png"


def write_samples(
    target: Target, run: TrainedRun, drawn: np.ndarray, labels: np.ndarray, columns: int
) -> None:
    """Write samples as a grid, an array or single PNGs.

    Points (toy sets) are written as a scatter plot, or as floats in the array.
    """
    players, points = run.players(), drawn.ndim == 2
    encoded = drawn if points else pixels.to_uint8(drawn, players.value_range)
    if target.kind == "grid":
        picture = (
            pictures.scatter(drawn, drawn)
            if points
            else pictures.grid(encoded, columns)
        )
        pictures.save_png(target.path, picture)
    elif target.kind == "array":
        arrays = {"image": encoded}
        if players.num_classes:
            arrays["label"] = labels
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
        storage.write(target.path, content.getvalue())
    else:
        for number, image in enumerate(encoded):
            pictures.save_png(target.path / image_name(number), image)
