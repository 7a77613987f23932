"""Saving while training: asynchronous, each checkpoint under checksums of our own.

A flipped byte in an Orbax checkpoint can restore wrong values silently, so every
finished checkpoint gets a file of SHA-256 sums. One that a kill cut short before its
sums is judged by the digest of its arrays, which is part of the checkpoint.
"""

import errno
import math
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from jaxgan.files import storage
from jaxgan.runtime.processes import Link
from jaxgan.types import GanState
from jaxgan.workdir.checkpoint_files import (
    absolute,
    as_dict,
    digest,
    read,
    steps_in,
    this_process,
)
from jaxgan.workdir.checksums import UNFINISHED, damage, write_sums


class SaveFailed(Exception):
    """A checkpoint could not be written: says why, and what is kept."""


class Checkpoints:
    """The checkpoints of one run, for the processes that train.

    A checkpoint holds the state, and the loop's own numbers as JSON. All processes
    call the same methods. All have the same state, so that JAX's process 0 alone
    writes it: were the others to wait for it in Orbax's barriers, they would do so for
    twenty minutes when it fails. All read; process 0 judges what is there.
    """

    def __init__(self, directory: Path, keep: int, link: Link | None = None):
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = absolute(directory)
        self._link = link or Link()
        self._unsummed: int | None = None
        self._latest: int | None = None
        self._manager: ocp.CheckpointManager | None = None
        if jax.process_index() == 0:
            self._manager = ocp.CheckpointManager(
                self.directory,
                options=ocp.CheckpointManagerOptions(
                    max_to_keep=keep,
                    cleanup_tmp_directories=True,
                    enable_async_checkpointing=True,
                    create=False,
                    **this_process(),
                ),
            )

    def save(self, step: int, state: GanState, loop: dict[str, Any]) -> None:
        """Start saving host copies of a state; waits for the save before it alone.

        Raises:
            SaveFailed: this save has no room, or the one before it failed.
        """
        self.wait()
        self._unsummed = step
        if self._manager is None:
            return
        try:
            # Asked first, because Orbax answers a full disk with pages of tracebacks.
            needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + 2**20
            if free_bytes(self.directory) < needed:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(as_dict(state)),
                    loop=ocp.args.JsonSave(loop | {"digest": digest(state)}),
                ),
                force=True,  # or else it may do nothing, and say so by returning False
            )
        except Exception as error:  # Orbax has no class of its own for a full disk
            raise self._failure(step, error) from error

    def poll(self) -> None:
        """Write the checksums of a save that has finished; does not wait."""
        if self._unsummed is None or self._manager is None:
            return
        if not self._manager.is_saving_in_progress():
            self.wait()

    def wait(self) -> None:
        """Wait until the last save is on disk, with its checksums, where it is written.

        Raises:
            SaveFailed: it could not be written.
        """
        step, self._unsummed = self._unsummed, None
        if step is None:
            return
        try:
            if self._manager is not None:
                self._manager.wait_until_finished()
                self._manager.check_for_errors()
                write_sums(self.directory / str(step))
        except Exception as error:
            raise self._failure(step, error) from error
        self._latest = step

    def finish(self) -> None:
        """Wait, on all processes, until the last save is on disk.

        Raises:
            SaveFailed: it could not be written.
        """
        self.wait()
        self._link.exchange(None)

    def _failure(self, step: int, error: Exception) -> "SaveFailed":
        self._manager = self._unsummed = None  # its threads may wait for ever
        # What TensorStore was told to do follows, in a thousand characters.
        reason = str(error).partition(" [tensorstore_spec=")[0]
        reason = "no space left on device" if is_full(error) else reason
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
        sound = self._newest_sound(like) if self._link.first else None
        step = self._latest = self._link.exchange(sound)[0]
        if self._manager is not None:
            self._manager.reload()
        return None if step is None else read(self.directory, step, like)

    def _newest_sound(self, like: GanState) -> int | None:
        for step in reversed(steps_in(self.directory)):
            problem = damage(self.directory / str(step))
            if problem is None:
                return step
            if problem == UNFINISHED and self._whole(step, like):
                write_sums(self.directory / str(step))
                return step
            target = set_aside(self.directory / str(step))
            print(
                f"jaxgan: checkpoint {step} is damaged ({problem}); moved to {target}",
                file=sys.stderr,
            )
        return None

    def _whole(self, step: int, like: GanState) -> bool:
        """Return whether a checkpoint that was killed before its checksums is whole."""
        try:
            state, loop = read(self.directory, step, like)
        except Exception:  # whatever Orbax raises on half a checkpoint
            return False
        return loop["digest"] == digest(state)

    def latest(self) -> int | None:
        """Return the step of the newest that was restored or saved, None without."""
        return self._latest

    def close(self) -> None:
        """Wait for the last save and release Orbax's threads."""
        self.wait()
        if self._manager is not None:
            self._manager.close()


def free_bytes(directory: Path) -> float:
    """Return the room on a folder's disk; a bucket has no end."""
    if storage.is_remote(directory):
        return math.inf
    return shutil.disk_usage(directory).free


def is_full(error: BaseException) -> bool:
    """Return whether an error says that a disk is full."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "No space left" in str(error) or "RESOURCE_EXHAUSTED" in str(error)


def set_aside(path: Path) -> Path:
    """Move a damaged checkpoint to `damaged/` beside the checkpoints."""
    folder = path.parent.parent / "damaged"
    target, count = folder / path.name, 1
    while target.exists():
        target, count = folder / f"{path.name}.{count}", count + 1
    storage.move(path, target)
    return target
