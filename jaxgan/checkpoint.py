"""Checkpoints: Orbax, written asynchronously, each file under a checksum of our own.

A flipped byte in an Orbax checkpoint can restore wrong values silently, so every
finished checkpoint gets a file of SHA-256 sums. One that a kill cut short before its
sums is judged by the digest of its arrays, which is part of the checkpoint.
"""

import errno
import functools
import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxgan.checksums import SUMS, UNFINISHED, damage, write_sums
from jaxgan.errors import UserError
from jaxgan.types import GanState


class SaveFailed(Exception):
    """A checkpoint could not be written: says why, and what is kept."""


class Checkpoints:
    """The checkpoints of one run, for the process that trains.

    A checkpoint holds the state, and the loop's own numbers as JSON.
    """

    def __init__(self, directory: Path, keep: int):
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory.absolute()
        self._unsummed: int | None = None
        self._failed = False
        self._manager = ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep,
                cleanup_tmp_directories=True,
                enable_async_checkpointing=True,
            ),
        )

    def save(self, step: int, state: GanState, loop: dict[str, Any]) -> None:
        """Start saving host copies of a state; waits for the save before it alone.

        Raises:
            SaveFailed: this save has no room, or the one before it failed.
        """
        self.wait()
        # Asked first, because Orbax answers a full disk with pages of tracebacks.
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + 2**20
        if shutil.disk_usage(self.directory).free < needed:
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise self._failure(step, full)
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(as_dict(state)),
                loop=ocp.args.JsonSave(loop | {"digest": digest(state)}),
            ),
        )
        self._unsummed = step

    def poll(self) -> None:
        """Write the checksums of a save that has finished; does not wait."""
        if self._unsummed is not None and not self._manager.is_saving_in_progress():
            self.wait()

    def wait(self) -> None:
        """Wait until the last save is on disk, with its checksums.

        Raises:
            SaveFailed: it could not be written.
        """
        step, self._unsummed = self._unsummed, None
        try:
            self._manager.wait_until_finished()
            self._manager.check_for_errors()
            if step is not None:
                write_sums(self.directory / str(step))
        except Exception as error:  # Orbax has no class of its own for a full disk
            self._failed = True
            raise self._failure(step, error) from error

    def _failure(self, step: int | None, error: Exception) -> "SaveFailed":
        reason = "no space left on device" if is_full(error) else str(error)
        latest = self.latest()
        kept = "none was" if latest is None else f"that of step {latest} is"
        return SaveFailed(
            f"{self.directory}: checkpoint {step} could not be written ({reason}); "
            f"{kept} kept, and the same command goes on from there"
        )

    def restore(self, like: GanState) -> tuple[GanState, dict[str, Any]] | None:
        """Return the newest sound checkpoint, or None; moves damaged ones aside.

        They go to `damaged/` beside the checkpoints, each reported on stderr.
        """
        for step in reversed(steps_in(self.directory)):
            problem = damage(self.directory / str(step))
            if problem is None:
                return read(self.directory, step, like)
            if problem == UNFINISHED and (found := self._cut_short(step, like)):
                return found
            target = set_aside(self.directory / str(step))
            print(
                f"jaxgan: checkpoint {step} is damaged ({problem}); moved to {target}",
                file=sys.stderr,
            )
            self._manager.reload()
        return None

    def _cut_short(
        self, step: int, like: GanState
    ) -> tuple[GanState, dict[str, Any]] | None:
        """Return a checkpoint that was killed before its checksums, if it is whole."""
        try:
            state, loop = read(self.directory, step, like)
        except Exception:  # whatever Orbax raises on half a checkpoint
            return None
        if loop["digest"] != digest(state):
            return None
        write_sums(self.directory / str(step))
        return state, loop

    def latest(self) -> int | None:
        """Return the step of the newest finished checkpoint, None without any."""
        sound = [s for s in steps_in(self.directory) if has_sums(self.directory, s)]
        return sound[-1] if sound else None

    def close(self) -> None:
        """Wait for the last save and release Orbax's threads."""
        if not self._failed:
            self.wait()
            self._manager.close()


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
    return sorted(int(p.name) for p in directory.iterdir() if p.name.isdigit())


def has_sums(directory: Path, step: int) -> bool:
    """Return whether a checkpoint was finished, without reading it."""
    return (directory / str(step) / SUMS).exists()


def is_full(error: BaseException) -> bool:
    """Return whether an error says that a disk is full."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "No space left" in str(error) or "RESOURCE_EXHAUSTED" in str(error)


def read(
    directory: Path, step: int, like: GanState, partial: bool = False
) -> tuple[GanState, dict[str, Any]]:
    """Return the state, as numpy arrays, and the loop's numbers of one checkpoint.

    `partial` lets the checkpoint hold more arrays than `like` has.

    Raises:
        UserError: the checkpoint does not fit `like`.
    """
    path = directory.absolute() / str(step)
    wanted = as_dict(like)
    with ocp.StandardCheckpointer() as reader:
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
    with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader:
        return reader.restore(directory.absolute() / str(step) / "loop")


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


def set_aside(path: Path) -> Path:
    """Move a damaged checkpoint to `damaged/` beside the checkpoints."""
    folder = path.parent.parent / "damaged"
    folder.mkdir(exist_ok=True)
    target, count = folder / path.name, 1
    while target.exists():
        target, count = folder / f"{path.name}.{count}", count + 1
    shutil.move(path, target)
    return target
