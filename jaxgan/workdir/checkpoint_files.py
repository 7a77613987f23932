"""Checkpoints on disk, one folder for each step, and how they are read.

Orbax writes them (`checkpoint_manager.py`). A checkpoint holds the arrays of a state by
name, and the loop's own numbers as JSON.
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
from jaxgan.types import GanState, PyTree
from jaxgan.workdir.checksums import find_damage

# In a bucket Orbax renames nothing. It writes this file last, to mark a finished
# checkpoint.
COMMITTED = "commit_success.txt"
Arrays = dict[str, Any]  # {'generator/params/...': array}, as Orbax stores a state


def to_arrays(state: PyTree) -> Arrays:
    """Return the arrays of a state, or of a part of it, by name."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    name = functools.partial(jax.tree_util.keystr, simple=True, separator="/")
    return {name(path): leaf for path, leaf in leaves}


def digest(arrays: Arrays) -> str:
    """Return the SHA-256 of the names, types, shapes and bytes of all arrays."""
    sums = hashlib.sha256()
    for name, leaf in arrays.items():
        sums.update(f"{name} {leaf.dtype} {leaf.shape}".encode())
        sums.update(np.ascontiguousarray(leaf).tobytes())
    return sums.hexdigest()


def steps_in(directory: Path) -> list[int]:
    """Return the steps of the finished checkpoints in a folder, ascending."""
    if not directory.is_dir():
        return []
    found = (path for path in directory.iterdir() if path.name.isdigit())
    if storage.is_remote(directory):
        found = (path for path in found if (path / COMMITTED).exists())
    return sorted(int(path.name) for path in found)


def absolute_path(directory: Path) -> Path:
    """Return the path in the form that Orbax needs: absolute, or a bucket's."""
    return directory if storage.is_remote(directory) else directory.absolute()


def single_process_option() -> dict[str, Any]:
    """Return the Orbax option for working without waiting for the other processes.

    When one process fails, Orbax's barriers would hold all others for twenty minutes.
    """
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
    """Return one checkpoint's state, as numpy arrays, and the loop's numbers.

    With `partial`, the checkpoint may hold more arrays than `like` has.

    Raises:
        UserError: the checkpoint does not fit `like`.
    """
    path = absolute_path(directory) / str(step)
    wanted = to_arrays(like)
    with ocp.StandardCheckpointer(**single_process_option()) as reader:
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
    """Return the loop's numbers from one checkpoint."""
    handler = ocp.JsonCheckpointHandler()
    with ocp.Checkpointer(handler, **single_process_option()) as reader:
        return reader.restore(absolute_path(directory) / str(step) / "loop")


def check_fits(path: Path, stored: Arrays, wanted: Arrays) -> None:
    """Raise UserError naming the first array that is missing, unknown or misshapen.

    `stored` are the arrays of the file `path`, `wanted` those of the config's networks.
    """
    for name in sorted(stored.keys() | wanted.keys()):
        found, needed = stored.get(name), wanted.get(name)
        if found is None or needed is None:
            what = "lacks" if found is None else "has the unknown"
            raise UserError(f"{path}: {what} array {name}; it is for another network")
        if tuple(found.shape) != tuple(needed.shape):
            raise UserError(
                f"{path}: array {name} has shape {tuple(found.shape)}, the config's "
                f"network needs {tuple(needed.shape)}"
            )


def sound_step(directory: Path, step: int | None = None) -> int:
    """Return `step`, or the step of the newest sound checkpoint; change no files.

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
        problem = find_damage(directory / str(candidate))
        if problem is None:
            return candidate
        if step is not None:
            raise UserError(f"{directory / str(step)}: damaged ({problem})")
        print(f"jaxgan: checkpoint {candidate} is damaged ({problem})", file=sys.stderr)
    raise UserError(f"{directory}: every checkpoint is damaged")
