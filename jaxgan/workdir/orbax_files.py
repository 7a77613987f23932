"""Files of Orbax: paths in a form that it can use, and the arrays of a checkpoint."""

import atexit
import functools
import os
import re
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxgan.errors import UserError
from jaxgan.files import storage
from jaxgan.runtime.signals import clean_up
from jaxgan.workdir.damage import Damaged

# {'generator/params/...': array}, as Orbax stores a state.
Arrays = dict[str, Any]
# TensorStore's list of all arrays; without it a checkpoint is empty.
MANIFEST = "manifest.ocdbt"
# What Orbax raises for files that are damaged. If it cannot read the metadata of the
# arrays it returns None in their place, hence the AttributeError.
UNREADABLE = AttributeError, KeyError, TypeError, ValueError, FileNotFoundError

# Orbax 0.12 takes a path for a pattern of `glob` while it saves: below `run[1]` it
# found none of its own files, wrote no manifest, and reported no error; below `a*b` it
# would find those of `axb`. It takes a folder `gs:` for a bucket's. TensorStore takes a
# backslash for a separator, and needs UTF-8, which Python's surrogates are not.
DIFFICULT = re.compile(r"[*?\[\]\\\ud800-\udfff]|:/")
# What cannot be in the name of a remote folder: there the clients, which are gcsfs,
# TensorStore and google-cloud-storage, read `?` and `#` as parts of a URL.
DIFFICULT_IN_BUCKETS = re.compile(r"[*?\[\]#\x00-\x1f\x7f\ud800-\udfff]")

# Commands close it before they end, and signals remove the links as well.
LINKS = ExitStack()
atexit.register(LINKS.close)


def check_workdir(workdir: Path) -> None:
    """Raise UserError if no checkpoint could be saved below a path in a bucket."""
    found = DIFFICULT_IN_BUCKETS.search(os.fspath(workdir))
    if storage.is_remote(workdir) and found:
        raise UserError(
            f"--workdir = {workdir}: no checkpoint can be saved below a name with "
            f"{found[0]!r} in a bucket; give a name without any of *?[]# and control "
            "characters"
        )


def orbax_path(directory: Path) -> Any:
    """Return another path of a folder, for Orbax: absolute, and without patterns."""
    if storage.is_remote(directory):
        return directory
    path = os.fspath(directory.absolute())
    return Path(linked_path(path) if DIFFICULT.search(path) else path)


@functools.cache
def linked_path(path: str) -> str:
    """Return the path of a symbolic link to a folder; `LINKS.close` removes it.

    The link is in a new folder of its own, among the system's temporary files.
    """
    folder = tempfile.mkdtemp(prefix="jaxgan-")
    remove = functools.partial(shutil.rmtree, folder, ignore_errors=True)
    LINKS.enter_context(clean_up(remove))
    link = os.path.join(folder, "checkpoints")
    os.symlink(path, link)
    return link


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


def open_manager(directory: Path) -> ocp.CheckpointManager:
    """Return what saves checkpoints in a folder, in threads of its own.

    It deletes none: it would delete the oldest one before the new one is verified.
    """
    return ocp.CheckpointManager(
        orbax_path(directory),
        options=ocp.CheckpointManagerOptions(
            max_to_keep=None,
            cleanup_tmp_directories=True,
            enable_async_checkpointing=True,
            create=False,
            **single_process_option(),
        ),
    )


def read_shapes(directory: Path, step: int) -> Arrays:
    """Return the arrays of one checkpoint by name, as their shapes and types.

    Raises:
        Damaged: Orbax cannot list them.
    """
    state = orbax_path(directory) / str(step) / "state"
    # Without it, threads of Orbax print tracebacks after the call has failed.
    if not (state / MANIFEST).exists():
        raise Damaged(f"state/{MANIFEST} is missing")
    with ocp.StandardCheckpointer(**single_process_option()) as reader:
        try:
            return dict(reader.metadata(state).item_metadata.tree)
        except UNREADABLE as error:
            raise Damaged("Orbax cannot list its arrays") from error


def read_arrays(directory: Path, step: int, stored: Arrays) -> Arrays:
    """Return the arrays of one checkpoint, whose shapes are `stored`.

    Raises:
        Damaged: Orbax cannot read them.
    """
    state = orbax_path(directory) / str(step) / "state"
    abstract = {name: np.empty(x.shape, x.dtype) for name, x in stored.items()}
    with ocp.StandardCheckpointer(**single_process_option()) as reader:
        try:
            return reader.restore(state, abstract)
        except UNREADABLE as error:
            raise Damaged("Orbax cannot read its arrays") from error
