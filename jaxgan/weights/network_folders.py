"""Folders of a CycleGAN's networks, one network a file."""

from pathlib import Path
from typing import Any

from jaxgan.errors import UserError
from jaxgan.types import PyTree
from jaxgan.weights.network_files import NAMES, load

ENDINGS = (".safetensors", ".pth")  # in any case; the first are preferred


def load_named(path: Path) -> tuple[str, PyTree, dict[str, Any]]:
    """Return (name, variables, about) of a file that says which network it holds.

    The name is that in the metadata, or that of the official code's file name, or else
    the name of the file, as in a2b.safetensors.

    Raises:
        UserError: the file has no name, or holds another player than its name says; or
            as `load` does.
    """
    variables, about = load(path)
    name = about["name"] or path.stem
    if name not in NAMES:
        raise UserError(
            f"{path}: does not say which network it is; call it a2b{path.suffix}, or "
            "b2a, a, b"
        )
    if about["player"] != NAMES[name]:
        raise UserError(f"{path}: holds a {about['player']}, but is called {name}")
    return name, variables, about


def find_files(folder: Path) -> list[Path]:
    """Return the files of weights in a folder, sorted.

    Where there are .safetensors files, those of the official code are left out, from
    which they may have been converted. The official code saves every few epochs, as in
    5_net_G_A.pth. Where it has written its latest_net_*.pth as well, those of the
    epochs are left out.
    """
    found = sorted(path for path in folder.iterdir() if path.name[0] != ".")
    for ending in ENDINGS:
        paths = [path for path in found if path.suffix.lower() == ending]
        latest = [path for path in paths if path.name.startswith("latest_net_")]
        others = [path for path in paths if "_net_" not in path.name]
        if paths:
            return sorted(latest + others) if latest else paths
    return []


def load_folder(folder: str | Path) -> dict[str, tuple[PyTree, dict[str, Any]]]:
    """Return {'a2b': (variables, about), ...} of the files of weights in a folder.

    The folder holds one to four networks.

    Raises:
        UserError: a file has no name, two files hold the same network, or there is no
            file; or as `load_named` does.
    """
    found: dict[str, tuple[PyTree, dict[str, Any]]] = {}
    for path in find_files(Path(folder)):
        name, variables, about = load_named(path)
        if name in found:
            raise UserError(
                f"{path}: holds {name}, as another file there does; leave one of them"
            )
        found[name] = variables, about
    if not found:
        raise UserError(f"{folder}: holds no {' or '.join(ENDINGS)} file")
    return found
