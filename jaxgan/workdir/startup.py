"""What must hold before a run starts, on all its processes alike."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ml_collections import ConfigDict

from jaxgan.errors import UserError
from jaxgan.experiment import variants as configs
from jaxgan.experiment.feed import Feed
from jaxgan.runtime import versions
from jaxgan.runtime.processes import Link
from jaxgan.types import GanState
from jaxgan.workdir import checkpoint_files, lock

# The same examples may lie elsewhere on each machine (`check_same_data`).
WHERE_DATA_LIES = ("data.dir", "data.dir_b")


def check_same_command(config: ConfigDict, workdir: str, link: Link) -> None:
    """Raise UserError where processes differ in config, code, packages or workdir."""
    mine = {"--workdir": workdir} | versions.versions() | configs.flatten(config)
    mine = {name: value for name, value in mine.items() if name not in WHERE_DATA_LIES}
    first = link.exchange(mine)[0]
    differing = [
        f"{name}: {first.get(name, '-')} in process 0, {mine.get(name, '-')} here"
        for name in sorted(first.keys() | mine.keys())
        if first.get(name) != mine.get(name)
    ]
    with link.together():
        if differing:
            raise UserError(
                "another config or code than that of process 0 "
                f"({'; '.join(differing)}); all need the same"
            )


@contextmanager
def alone_in(workdir: Path, config: ConfigDict, link: Link) -> Iterator[None]:
    """Hold the lock of a workdir that is new, or has this config's run.

    Raises:
        UserError: it has another run, or one that is going on, or the processes do
            not see the same folder.
    """
    with ExitStack() as stack:
        word = ""
        with link.together():
            if link.first:
                if (workdir / "config.json").exists():
                    configs.check_same_run(configs.load(workdir), config)
                word = stack.enter_context(lock.locked(workdir))
        word = link.exchange(word)[0]
        with link.together():
            if not lock.seen(workdir, word):
                raise UserError(
                    f"--workdir = {workdir}: what process 0 writes there is not seen "
                    "here; all need the same folder, or gs://..."
                )
        yield


def check_length(workdir: Path, num_steps: int) -> None:
    """Raise UserError where the run has more steps already."""
    latest = checkpoint_files.steps_in(workdir / "checkpoints")[-1:]
    if latest and latest[0] > num_steps:
        raise UserError(
            f"train.num_steps = {num_steps}: the run in {workdir} is at step "
            f"{latest[0]} already"
        )


def check_same_state(config: ConfigDict, state: GanState, link: Link) -> None:
    """Raise UserError on all processes where one starts from another state."""
    if link.count == 1:
        return
    mine = checkpoint_files.digest(state)
    with link.together():
        if mine != link.exchange(mine)[0]:
            raise UserError(
                "another state to start from than that of process 0 (train.init_from "
                f"= '{config.train.init_from}'); all need the same files and hardware"
            )


def check_same_data(config: ConfigDict, source: Feed, link: Link) -> None:
    """Raise UserError on all processes where one has other examples than another."""
    if link.count == 1:
        return
    mine = source.fingerprint()
    with link.together():
        if mine != link.exchange(mine)[0]:
            raise UserError(
                f"data.dir = {config.data.dir or config.data.name}: other examples "
                "than those of process 0"
            )
