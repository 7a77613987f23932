"""Checks before a run starts, made by all of its processes together."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from jaxgan.errors import UserError
from jaxgan.experiment import stored
from jaxgan.experiment.feed import Feed
from jaxgan.runtime import versions
from jaxgan.runtime.processes import Link
from jaxgan.types import GanState
from jaxgan.workdir import checkpoint_files, lock, orbax_files

# Each machine may keep the same examples in a different folder: `check_same_data`
# compares the examples themselves.
DATA_PATHS = ("data.dir", "data.dir_b")


def check_same_command(fields: dict[str, Any], workdir: str, link: Link) -> None:
    """Raise UserError if processes differ in config, code, packages or workdir.

    `fields` are the fields of this process's config, {'section.field': value}.
    """
    mine = {"--workdir": workdir} | versions.installed_versions() | fields
    mine = {name: value for name, value in mine.items() if name not in DATA_PATHS}
    first = link.exchange(mine)[0]
    differing = [
        f"{name}: {first.get(name, '-')} in process 0, {mine.get(name, '-')} here"
        for name in sorted(first.keys() | mine.keys())
        if first.get(name) != mine.get(name)
    ]
    with link.share_errors():
        if differing:
            raise UserError(
                "another config or code than that of process 0 "
                f"({'; '.join(differing)}); all processes need the same"
            )


@contextmanager
def hold_workdir(
    workdir: Path, fields: dict[str, Any], link: Link
) -> Iterator[Callable[[], bool]]:
    """Hold the lock of a workdir that is new or holds a run of this config.

    Yields:
        `lock.Lock.confirm`.

    Raises:
        UserError: the workdir holds a run with another config or a run that is training
            now, or the processes do not see the same folder.
    """
    with ExitStack() as stack:
        held = lock.Lock("", lambda: False)
        with link.share_errors():
            if link.first:
                orbax_files.check_workdir(workdir)
                check_folders(workdir)
                check_same_config(workdir, fields)
                held = stack.enter_context(lock.hold_lock(workdir))
        token = link.exchange(held.token)[0]
        with link.share_errors():
            if not lock.is_lock_visible(workdir, token):
                raise UserError(
                    f"--workdir = {workdir}: what process 0 writes there is not seen "
                    "here; all processes need the same folder, or gs://..."
                )
        yield held.confirm


def check_folders(workdir: Path) -> None:
    """Raise UserError if there is a file where a run keeps a folder, or the reverse."""
    for name in ("samples", "checkpoints", "profile"):
        if (workdir / name).exists() and not (workdir / name).is_dir():
            raise UserError(f"{workdir / name}: is a file; must be a folder")
    for name in ("config.json", "metrics.jsonl"):
        if (workdir / name).is_dir():
            raise UserError(f"{workdir / name}: is a folder; must be a file")


def check_same_config(workdir: Path, fields: dict[str, Any]) -> None:
    """Raise UserError if a workdir's config or newest checkpoint is of another run.

    The checkpoint has the fields that a resume must not change, so that the run is
    protected also where config.json was deleted or edited.
    """
    if (workdir / "config.json").exists():
        stored.check_same_run(stored.load(workdir).fields, fields)
    found = checkpoint_files.newest_loop(workdir / "checkpoints")
    if found and "fields" in found[1]:
        stored.check_same_run(found[1]["fields"], fields)


def check_length(workdir: Path, num_steps: int) -> None:
    """Raise UserError if the run has already taken more than `num_steps` steps."""
    found = checkpoint_files.newest_loop(workdir / "checkpoints")
    if found and found[0] > num_steps:
        raise UserError(
            f"train.num_steps = {num_steps}: the run in {workdir} is at step "
            f"{found[0]} already"
        )


def check_same_state(state: GanState, init_from: str, link: Link) -> None:
    """Raise UserError on all processes if one of them starts from another state."""
    if link.count == 1:
        return
    mine = checkpoint_files.digest(checkpoint_files.to_arrays(state))
    with link.share_errors():
        if mine != link.exchange(mine)[0]:
            raise UserError(
                "starts from another state than process 0 (train.init_from = "
                f"'{init_from}'); all processes need the same files and hardware"
            )


def check_same_data(feed: Feed, name: str, link: Link) -> None:
    """Raise UserError on all processes if one of them has other examples.

    `name` is the data's folder, or its name if it has no folder.
    """
    if link.count == 1:
        return
    mine = feed.fingerprint()
    on_device = link.exchange(feed.device_data is not None)
    with link.share_errors():
        if len(set(on_device)) > 1:
            # Their programs would differ, and wait for one another for ever.
            raise UserError(
                "data.cache = auto: only some processes can keep the examples on their "
                "devices; must be device, memory or none"
            )
        if mine != link.exchange(mine)[0]:
            raise UserError(
                f"data.dir = {name}: other examples than those of process 0"
            )
