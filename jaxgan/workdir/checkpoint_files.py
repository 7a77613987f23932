"""Checkpoints as they lie on the disk, one folder a step, and how they are read.

Orbax writes them (`saving.py`): the arrays of a state by name, and the loop's own
numbers as JSON.
"""

import functools
import hashlib
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxgan.errors import UserError
from jaxgan.files import storage
from jaxgan.types import GanState
from jaxgan.workdir.checksums import damage

COMMITTED = "commit_success.txt"


def as_dict(state: GanState) -> dict[str, Any]:
    """Return {'generator/params/...': array}, as Orbax stores a state."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    name = functools.partial(jax.tree_util.keystr, simple=True, separator="/")
    return {name(path): leaf for path, leaf in leaves}


def digest(state: GanState) -> str:
    """Return the SHA-256 of the names, types, shapes and bytes of all arrays."""
    sums = hashlib.sha256()
    for name, leaf in as_dict(state).items():
        sums.update(f"{name} {leaf.dtype} {leaf.shape}".encode())
        sums.update(np.ascontiguousarray(leaf).tobytes())
    return sums.hexdigest()


def steps_in(directory: Path) -> list[int]:
    """Return the steps of the finished checkpoints in a folder, ascending."""
    if not directory.is_dir():
        return []
    found = (path for path in directory.iterdir() if path.name.isdigit())
    if storage.is_remote(directory):
        # Nothing is renamed in a bucket; Orbax marks what is finished.
        found = (path for path in found if (path / COMMITTED).exists())
    return sorted(int(path.name) for path in found)


def absolute(directory: Path) -> Path:
    """Return the path as Orbax needs it."""
    return directory if storage.is_remote(directory) else directory.absolute()


def this_process() -> dict[str, Any]:
    """Return the option of Orbax to read without waiting for other processes."""
    index = jax.process_index()
    return {
        "multiprocessing_options": ocp.options.MultiprocessingOptions(
            primary_host=index,
            active_processes={index},
            barrier_sync_key_prefix=f"process_{index}",
        )
    }


def read(
    directory: Path, step: int, like: GanState, partial: bool = False
) -> tuple[GanState, dict[str, Any]]:
    """Return the state, as numpy arrays, and the loop's numbers of one checkpoint.

    `partial` lets the checkpoint hold more arrays than `like` has.

    Raises:
        UserError: the checkpoint does not fit `like`.
    """
    path = absolute(directory) / str(step)
    wanted = as_dict(like)
    with ocp.StandardCheckpointer(**this_process()) as reader:
        stored = reader.metadata(path / "state").item_metadata.tree
        compared = stored.keys() & wanted.keys() if partial else stored.keys()
        check_fits(path, {name: stored[name] for name in compared}, wanted)
        abstract = {name: np.empty(x.shape, x.dtype) for name, x in stored.items()}
        arrays = reader.restore(path / "state", abstract)
    state = jax.tree.unflatten(
        jax.tree.structure(like), [arrays[name] for name in wanted]
    )
    return state, read_loop(directory, step)


def read_loop(directory: Path, step: int) -> dict[str, Any]:
    """Return the loop's numbers of one checkpoint."""
    handler = ocp.JsonCheckpointHandler()
    with ocp.Checkpointer(handler, **this_process()) as reader:
        return reader.restore(absolute(directory) / str(step) / "loop")


def check_fits(path: Path, stored: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise UserError naming the first array that is missing, new or of other shape."""
    for name in sorted(stored.keys() | wanted.keys()):
        found, needed = stored.get(name), wanted.get(name)
        if found is None or needed is None:
            what = "lacks" if found is None else "has the unknown"
            raise UserError(f"{path}: {what} array {name}; it is another network's")
        if tuple(found.shape) != tuple(needed.shape):
            raise UserError(
                f"{path}: array {name} has shape {tuple(found.shape)}, the config's "
                f"network needs {tuple(needed.shape)}"
            )


def sound_step(directory: Path, step: int | None = None) -> int:
    """Return `step`, or the newest sound checkpoint's, without changing anything.

    Raises:
        UserError: there is no such checkpoint, or it is damaged.
    """
    steps = steps_in(directory)
    if not steps:
        raise UserError(f"{directory}: holds no checkpoint")
    if step is not None and step not in steps:
        found = ", ".join(map(str, steps))
        raise UserError(f"--step = {step}: no such checkpoint; there are {found}")
    for candidate in [step] if step is not None else reversed(steps):
        problem = damage(directory / str(candidate))
        if problem is None:
            return candidate
        if step is not None:
            raise UserError(f"{directory / str(step)}: damaged ({problem})")
        print(f"jaxgan: checkpoint {candidate} is damaged ({problem})", file=sys.stderr)
    raise UserError(f"{directory}: every checkpoint is damaged")
