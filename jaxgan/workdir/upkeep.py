"""The checkpoints of a run that is resumed: which is used, moved aside or deleted."""

import sys
from contextlib import suppress
from pathlib import Path

from jaxgan.errors import UserError
from jaxgan.files import storage
from jaxgan.types import GanState
from jaxgan.workdir.checkpoint_files import (
    COMMITTED,
    digest,
    find_problem,
    newest_loop,
    none_sound_error,
    read,
    steps_in,
    to_arrays,
)
from jaxgan.workdir.checksums import UNFINISHED, compute_checksums, write_checksums
from jaxgan.workdir.lock import LockLost

DELETED = ".deleted-"  # in front of the name of a checkpoint that is being deleted


def use_newest_sound(directory: Path, like: GanState) -> int | None:
    """Return the step of the newest sound checkpoint; None if there is no checkpoint.

    Newer ones, which are damaged, go to `damaged/`, and each is reported on stderr.

    Raises:
        UserError: every checkpoint is damaged; all are left where they are.
        OSError: a checkpoint cannot be read, for example without the permission.
    """
    problems: dict[int, str] = {}
    for step in reversed(steps_in(directory)):
        problem = find_problem(directory, step)
        if problem == UNFINISHED and is_complete(directory, step, like):
            write_checksums(directory / str(step))
            problem = None
        if problem is not None:
            problems[step] = problem
            continue
        for damaged, what in problems.items():
            target = set_aside(directory / str(damaged))
            print(
                f"jaxgan: checkpoint {damaged} is damaged ({what}); moved to {target}",
                file=sys.stderr,
            )
        return step
    if problems:
        error = none_sound_error(directory, problems)
        raise UserError(f"{error}; move that folder away to start at step 0")
    return None


def is_complete(directory: Path, step: int, like: GanState) -> bool:
    """Return whether a checkpoint without checksums has all of its arrays.

    Raises:
        OSError: one of its files cannot be read, which is no damage.
    """
    compute_checksums(directory / str(step))  # reads all files
    try:
        state, loop = read(directory, step, like)
    except UserError:  # an array is missing, or cannot be read
        return False
    return loop["digest"] == digest(to_arrays(state))


def check_no_other(directory: Path, own: set[int | None]) -> None:
    """Raise LockLost if the newest checkpoint is none of the steps `own`."""
    found = newest_loop(directory)
    if found and found[0] not in own:
        raise LockLost(
            f"{directory}: another run has saved step {found[0]} while this one had "
            "lost its lock; its checkpoints are kept, this run ends"
        )


def set_aside(path: Path) -> Path:
    """Move a damaged checkpoint to `damaged/`, beside the folder of checkpoints."""
    folder = path.parent.parent / "damaged"
    target, count = folder / path.name, 1
    while target.exists():
        target, count = folder / f"{path.name}.{count}", count + 1
    storage.move(path, target)
    return target


def delete_oldest(directory: Path, keep: int) -> None:
    """Delete all checkpoints but the `keep` newest ones.

    One that cannot be deleted is no reason to end a run: it is reported on stderr.
    """
    remote = storage.is_remote(directory)
    paths = [directory / str(step) for step in steps_in(directory)]
    for path in [path for path in paths if remote or path.is_dir()][:-keep]:
        try:
            if remote:
                with storage.raise_write_failed(path):
                    (path / COMMITTED).unlink()
                storage.delete(path)
            else:
                path.rename(path.with_name(f"{DELETED}{path.name}"))
        except (OSError, storage.WriteFailed) as error:
            print(f"jaxgan: {path}: not deleted ({error})", file=sys.stderr)
    if not remote:
        # Also what a killed process left. A file server may keep a file that is still
        # open: the next call finds it again.
        for path in directory.glob(f"{DELETED}*"):
            with suppress(OSError):
                storage.delete(path)
