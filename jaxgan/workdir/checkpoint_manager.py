"""Checkpoints of a training run, saved asynchronously, with checksums of our own.

An Orbax checkpoint with one flipped byte can restore wrong values without an error, so
each finished checkpoint gets a file of SHA-256 checksums. If the process was killed
before it wrote them, a digest of the arrays, which is part of the checkpoint, decides
whether the checkpoint is sound.
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

from jaxgan.errors import UserError
from jaxgan.files import storage
from jaxgan.runtime.processes import Link
from jaxgan.types import GanState
from jaxgan.workdir.checkpoint_files import (
    Arrays,
    absolute_path,
    digest,
    read,
    single_process_option,
    steps_in,
    to_arrays,
)
from jaxgan.workdir.checksums import UNFINISHED, find_damage, write_checksums


class SaveFailed(Exception):
    """A checkpoint could not be written; the message says why, and what is kept."""


class Checkpoints:
    """The checkpoints of one run, for the processes that train.

    A checkpoint holds the state's arrays, and the loop's own numbers as JSON. All
    processes have the same state and call the same methods. Only JAX's process 0
    writes. The others do not wait for it in Orbax's barriers, where they would wait
    for twenty minutes if it fails. All processes read; process 0 decides which
    checkpoint is sound.
    """

    def __init__(self, directory: Path, keep: int, link: Link | None = None):
        self.directory = absolute_path(directory)
        if directory.exists() and not directory.is_dir():
            raise UserError(f"{directory}: is a file; must be a folder of checkpoints")
        self._keep = keep
        self._link = link or Link()
        self._writes = jax.process_index() == 0
        self._unsummed: int | None = None
        self._latest: int | None = None
        self._manager: ocp.CheckpointManager | None = None

    def _open_manager(self) -> ocp.CheckpointManager:
        # Opened at the first save, so that a run that ends earlier, for example because
        # of a mistake in the config, leaves no folder behind.
        if self._manager is None:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._manager = ocp.CheckpointManager(
                self.directory,
                options=ocp.CheckpointManagerOptions(
                    max_to_keep=self._keep,
                    cleanup_tmp_directories=True,
                    enable_async_checkpointing=True,
                    create=False,
                    **single_process_option(),
                ),
            )
        return self._manager

    def save(self, step: int, arrays: Arrays, loop: dict[str, Any]) -> None:
        """Wait for the previous save, then start saving a state's arrays.

        The arrays are copies on the host.

        Raises:
            SaveFailed: there is no space for this save, or the previous one failed.
        """
        self.wait()
        self._unsummed = step
        if not self._writes:
            return
        try:
            manager = self._open_manager()
            # Checked first, because Orbax prints pages of tracebacks if the disk is
            # full. One megabyte is added for Orbax's own files.
            needed = sum(array.nbytes for array in arrays.values()) + 2**20
            if free_bytes(self.directory) < needed:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(arrays),
                    loop=ocp.args.JsonSave(loop | {"digest": digest(arrays)}),
                ),
                force=True,  # otherwise Orbax may skip the save and only return False
            )
        except Exception as error:  # Orbax has no error class for a full disk
            raise self._failure(step, error) from error

    def poll(self) -> None:
        """Write the checksums of the last save if it has finished; do not wait."""
        if self._unsummed is None or self._manager is None:
            return
        if not self._manager.is_saving_in_progress():
            self.wait()

    def wait(self) -> None:
        """Wait until the last save is on disk, with its checksums.

        Only the process that writes waits.

        Raises:
            SaveFailed: the checkpoint could not be written.
        """
        step, self._unsummed = self._unsummed, None
        if step is None:
            return
        try:
            if self._manager is not None:
                self._manager.wait_until_finished()
                self._manager.check_for_errors()
                write_checksums(self.directory / str(step))
        except Exception as error:
            raise self._failure(step, error) from error
        self._latest = step

    def finish(self) -> None:
        """Wait, on all processes, until the last save is on disk.

        Raises:
            SaveFailed: the checkpoint could not be written.
        """
        self.wait()
        self._link.exchange(None)

    def _failure(self, step: int, error: Exception) -> "SaveFailed":
        # The manager's threads may wait forever, so it is not used or closed again.
        self._manager = self._unsummed = None
        self._writes = False
        # TensorStore appends its specification, a thousand characters: cut it off.
        reason = str(error).partition(" [tensorstore_spec=")[0]
        reason = "no space left on device" if is_full(error) else reason
        latest = self.latest()
        kept = "no checkpoint was" if latest is None else f"that of step {latest} is"
        return SaveFailed(
            f"{self.directory}: checkpoint {step} could not be written ({reason}); "
            f"{kept} kept; run the same command to continue"
        )

    def restore(self, like: GanState) -> tuple[GanState, dict[str, Any]] | None:
        """Return the newest sound checkpoint, or None; move damaged ones aside.

        Damaged checkpoints go to `damaged/`, beside the folder of checkpoints, and each
        is reported on stderr.
        """
        sound = self._newest_sound(like) if self._link.first else None
        step = self._latest = self._link.exchange(sound)[0]
        if self._manager is not None:
            self._manager.reload()  # so that it forgets those that were moved aside
        return None if step is None else read(self.directory, step, like)

    def _newest_sound(self, like: GanState) -> int | None:
        for step in reversed(steps_in(self.directory)):
            problem = find_damage(self.directory / str(step))
            if problem is None:
                return step
            if problem == UNFINISHED and self._is_complete(step, like):
                write_checksums(self.directory / str(step))
                return step
            target = set_aside(self.directory / str(step))
            print(
                f"jaxgan: checkpoint {step} is damaged ({problem}); moved to {target}",
                file=sys.stderr,
            )
        return None

    def _is_complete(self, step: int, like: GanState) -> bool:
        """Return whether a checkpoint without checksums has all of its arrays."""
        try:
            state, loop = read(self.directory, step, like)
        except Exception:  # whatever Orbax raises for an incomplete checkpoint
            return False
        return loop["digest"] == digest(to_arrays(state))

    def latest(self) -> int | None:
        """Return the step of the newest checkpoint restored or saved, or None."""
        return self._latest

    def close(self) -> None:
        """Wait for the last save and release Orbax's threads."""
        self.wait()
        if self._manager is not None:
            self._manager.close()


def free_bytes(directory: Path) -> float:
    """Return the free bytes on a folder's disk; infinity for a bucket."""
    if storage.is_remote(directory):
        return math.inf
    return shutil.disk_usage(directory).free


def is_full(error: BaseException) -> bool:
    """Return whether an error says that a disk is full."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "No space left" in str(error) or "RESOURCE_EXHAUSTED" in str(error)


def set_aside(path: Path) -> Path:
    """Move a damaged checkpoint to `damaged/`, beside the folder of checkpoints."""
    folder = path.parent.parent / "damaged"
    target, count = folder / path.name, 1
    while target.exists():
        target, count = folder / f"{path.name}.{count}", count + 1
    storage.move(path, target)
    return target
