"""Checkpoints of a training run, saved asynchronously, with checksums of our own.

An Orbax checkpoint with one flipped byte can restore wrong values without an error, so
each finished checkpoint gets a file of SHA-256 checksums. If the process was killed
before it wrote them, a digest of the arrays, which is part of the checkpoint, decides
whether the checkpoint is sound.
"""

import copy
import errno
import math
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from jaxgan.errors import UserError
from jaxgan.experiment import stored
from jaxgan.files import storage
from jaxgan.runtime.processes import Link
from jaxgan.types import GanState
from jaxgan.workdir.checkpoint_files import check_saved, digest, read
from jaxgan.workdir.checksums import write_checksums
from jaxgan.workdir.lock import LockLost
from jaxgan.workdir.loop_metadata import Loop
from jaxgan.workdir.orbax_files import Arrays, open_manager
from jaxgan.workdir.upkeep import check_no_other, delete_oldest, use_newest_sound


class SaveFailed(Exception):
    """A checkpoint could not be written; the message says why, and what is kept."""


class Checkpoints:
    """The checkpoints of one run, for the processes that train.

    A checkpoint holds the state's arrays, and the loop's own numbers as JSON. All
    processes have the same state and call the same methods. Only JAX's process 0
    writes. The others do not wait for it in Orbax's barriers, where they would wait
    for twenty minutes if it fails. All processes read; process 0 decides which
    checkpoint is sound.

    Args:
        directory: the folder of checkpoints.
        keep: how many are kept: the newest ones.
        link: the connections to the other processes.
        fields: the config's fields, of which those that a resume must not change are
            stored in each checkpoint, and compared when one is restored.
        confirm_lock: `Lock.confirm`.
    """

    def __init__(
        self,
        directory: Path,
        keep: int,
        link: Link | None = None,
        fields: Mapping[str, Any] | None = None,
        confirm_lock: Callable[[], bool] = lambda: False,
    ):
        self.directory = (
            directory if storage.is_remote(directory) else directory.absolute()
        )
        if directory.exists() and not directory.is_dir():
            raise UserError(f"{directory}: is a file; must be a folder of checkpoints")
        self._keep = keep
        self._link = link or Link()
        self._fields = fields
        self._confirm_lock = confirm_lock
        self._writes = jax.process_index() == 0
        self._unsummed: int | None = None
        self._saving: Arrays = {}  # shapes and types of the arrays of that step
        self._latest: int | None = None
        self._manager: ocp.CheckpointManager | None = None

    def _open_manager(self) -> ocp.CheckpointManager:
        # Opened at the first save, so that a run that ends earlier, for example because
        # of a mistake in the config, leaves no folder behind.
        if self._manager is None:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._manager = open_manager(self.directory)
        return self._manager

    def save(self, step: int, arrays: Arrays, loop: Loop) -> None:
        """Wait for the previous save, then start saving a state's arrays.

        The arrays are copies on the host.

        Raises:
            SaveFailed: there is no space for this save, the previous one failed, or
                another run holds the workdir.
        """
        self.confirm_lock()
        self.wait()
        self._unsummed = step
        if not self._writes:
            return
        self._saving = {
            name: jax.ShapeDtypeStruct(array.shape, array.dtype)
            for name, array in arrays.items()
        }
        # Orbax writes it in a thread, while the caller goes on changing its sums.
        loop = copy.deepcopy(loop) | {"digest": digest(arrays)}
        if self._fields is not None:
            loop["fields"] = stored.lasting_fields(self._fields)
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
                    state=ocp.args.StandardSave(arrays), loop=ocp.args.JsonSave(loop)
                ),
                force=True,  # otherwise Orbax may skip the save and only return False
            )
        except Exception as error:  # Orbax has no error class for a full disk
            raise self._failure(step, error) from error

    def poll(self) -> None:
        """Complete the last save if Orbax has ended it; do not wait.

        Raises:
            SaveFailed: the checkpoint could not be written.
        """
        if self._unsummed is None or self._manager is None:
            return
        if not self._manager.is_saving_in_progress():
            self.wait()

    def confirm_lock(self) -> None:
        """Check, before anything is written, that no other run holds the workdir.

        Raises:
            SaveFailed: another run holds it, or came and ended meanwhile.
        """
        try:
            if self._confirm_lock():
                check_no_other(self.directory, {self._unsummed, self._latest})
        except LockLost as error:
            self._stop_writing()
            raise SaveFailed(str(error)) from error

    def wait(self) -> None:
        """Wait until the last save is on disk and verified, with its checksums.

        Only then are older checkpoints deleted. Only the process that writes waits.

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
                check_saved(self.directory, step, self._saving)
                write_checksums(self.directory / str(step))
                delete_oldest(self.directory, self._keep)
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

    def _stop_writing(self) -> None:
        # The manager's threads may wait forever, so it is not used or closed again.
        self._manager = self._unsummed = None
        self._writes = False

    def _failure(self, step: int, error: Exception) -> "SaveFailed":
        self._stop_writing()
        latest = self.latest()
        made = f"that of step {latest} is kept"
        kept = "no checkpoint was saved before" if latest is None else made
        return SaveFailed(
            f"{self.directory}: checkpoint {step} could not be written "
            f"({describe_write_error(error)}); {kept}; run the same command to continue"
        )

    def restore(self, like: GanState) -> tuple[GanState, Loop] | None:
        """Return the newest sound checkpoint, or None if there is no checkpoint.

        Damaged checkpoints that are newer go to `damaged/`, beside the folder of
        checkpoints, and each is reported on stderr.

        Raises:
            UserError: every checkpoint is damaged, and all are left where they are; or
                the checkpoint is of a run with another config.
            OSError: a checkpoint cannot be read, for example without the permission.
        """
        sound = use_newest_sound(self.directory, like) if self._link.first else None
        step = self._latest = self._link.exchange(sound)[0]
        if self._manager is not None:
            self._manager.reload()  # so that it forgets those that were moved aside
        if step is None:
            return None
        state, loop = read(self.directory, step, like)
        if self._fields is not None and "fields" in loop:
            stored.check_same_run(loop["fields"], self._fields)
        return state, loop

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
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return True
    return "No space left" in str(error)


def describe_write_error(error: Exception) -> str:
    """Return why a checkpoint could not be written, in a few words."""
    if is_full(error):
        return os.strerror(errno.ENOSPC)
    # TensorStore gives the number of the system's error. Before it are two paths, and
    # after it is its specification, a thousand characters.
    number = re.search(r"os_error_code='(\d+)'", str(error))
    if number:
        return os.strerror(int(number[1]))
    return str(error).partition(" [tensorstore_spec=")[0]
