"""Checkpoints on disk, one folder for each step, and how they are read.

Orbax writes them (`checkpoint_manager.py`). A checkpoint holds the arrays of a state by
name, and the loop's own numbers as JSON.
"""

import functools
import hashlib
import re
import sys
from pathlib import Path

import jax
import numpy as np

from jaxgan.errors import UserError
from jaxgan.files import storage
from jaxgan.types import GanState, PyTree
from jaxgan.workdir import loop_metadata
from jaxgan.workdir.checksums import check_file, find_damage
from jaxgan.workdir.damage import Damaged
from jaxgan.workdir.loop_metadata import Loop
from jaxgan.workdir.orbax_files import Arrays, read_arrays, read_shapes

# In a bucket Orbax renames nothing. It writes this file last, to mark a finished
# checkpoint.
COMMITTED = "commit_success.txt"
# The names that Orbax gives to checkpoints. All other names are not ours, also those
# that Python's `isdigit` and `int` take for numbers. Steps are below 2^31.
STEP_NAME = re.compile(r"0|[1-9][0-9]{0,9}")


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
    """Return the steps of the finished checkpoints in a folder, ascending.

    Raises:
        OSError: the folder cannot be read.
    """
    if not directory.is_dir():
        return []
    names = [path.name for path in directory.iterdir()]
    steps = sorted(int(name) for name in names if STEP_NAME.fullmatch(name))
    if storage.is_remote(directory):
        return [n for n in steps if (directory / str(n) / COMMITTED).exists()]
    return steps


def read(
    directory: Path, step: int, like: GanState, partial: bool = False
) -> tuple[GanState, Loop]:
    """Return one checkpoint's state, as numpy arrays, and the loop's numbers.

    With `partial`, the checkpoint may hold more arrays than `like` has.

    Raises:
        UserError: the checkpoint does not fit `like`, or cannot be read.
    """
    path = directory / str(step)
    wanted = to_arrays(like)
    try:
        stored = read_shapes(directory, step)
        compared = stored.keys() & wanted.keys() if partial else stored.keys()
        check_fits(path, {name: stored[name] for name in compared}, wanted)
        arrays = read_arrays(directory, step, stored)
        loop = read_loop(directory, step)
    except Damaged as damage:
        raise UserError(f"{path}: damaged ({damage})") from damage
    state = jax.tree.unflatten(
        jax.tree.structure(like), [arrays[name] for name in wanted]
    )
    return state, loop


def read_loop(directory: Path, step: int) -> Loop:
    """Return the loop's numbers from one checkpoint.

    Raises:
        Damaged, OSError: as `loop_metadata.read_loop` does.
    """
    return loop_metadata.read_loop(directory / str(step))


def check_saved(directory: Path, step: int, saved: Arrays) -> None:
    """Raise Damaged if a checkpoint lacks what was just saved in it.

    `saved` are the shapes and types of its arrays. Their bytes are not read again: for
    0.23 GB in 230 arrays this took 0.1 s, and the save itself 3.8 s.
    """
    found = read_shapes(directory, step)
    for name, array in saved.items():
        if name not in found:
            raise Damaged(f"array {name} is missing")
        if found[name].shape != array.shape or found[name].dtype != array.dtype:
            raise Damaged(f"array {name} has another shape or type")
    read_loop(directory, step)


def find_problem(directory: Path, step: int) -> str | None:
    """Return what is wrong with a checkpoint, or None if it can be used.

    All files have their checksums, the loop's numbers are a run's, and Orbax finds the
    arrays. A checkpoint of which a run lost the manifest can have right checksums.

    Raises:
        OSError: a file cannot be read, which is no damage: see `damage`.
    """
    folder = directory / str(step)
    if problem := find_damage(folder):
        return problem
    try:
        read_loop(directory, step)
        read_shapes(directory, step)
    except Damaged as damage:
        return str(damage)
    return None


def newest_loop(directory: Path) -> tuple[int, Loop] | None:
    """Return step and loop's numbers of the newest checkpoint that has them, or None.

    Of each checkpoint, only the file with these numbers is examined: reading the arrays
    as well would double the time of a resume.

    Raises:
        OSError: a file cannot be read, which is no damage: see `damage`.
    """
    for step in reversed(steps_in(directory)):
        try:
            check_file(directory / str(step), loop_metadata.FILE_NAME)
            return step, read_loop(directory, step)
        except Damaged:
            continue
    return None


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
        OSError: a checkpoint cannot be read, for example without the permission.
    """
    steps = steps_in(directory)
    if not steps:
        raise UserError(f"{directory}: holds no checkpoint")
    if step is not None and step not in steps:
        found = ", ".join(map(str, steps))
        raise UserError(f"--step = {step}: no such checkpoint; there are {found}")
    problems: dict[int, str] = {}
    for candidate in [step] if step is not None else reversed(steps):
        problem = find_problem(directory, candidate)
        if problem is None:
            for damaged, what in problems.items():
                print(
                    f"jaxgan: checkpoint {damaged} is damaged ({what})", file=sys.stderr
                )
            return candidate
        if step is not None:
            raise UserError(f"{directory / str(step)}: damaged ({problem})")
        problems[candidate] = problem
    raise none_sound_error(directory, problems)


def none_sound_error(directory: Path, problems: dict[int, str]) -> UserError:
    """Return the error for a folder whose checkpoints are all damaged."""
    listed = "; ".join(f"{step}: {problem}" for step, problem in problems.items())
    return UserError(f"{directory}: every checkpoint is damaged ({listed})")
