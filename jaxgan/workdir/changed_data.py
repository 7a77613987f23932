"""The check that a run which goes on has the data that it was trained on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxgan.errors import UserError
from jaxgan.experiment import Experiment
from jaxgan.experiment.feed import Feed
from jaxgan.runtime.processes import Link
from jaxgan.workdir.checkpoint_files import newest_loop

FLAG = "--allow_changed_data"
# The parts of a fingerprint in words.
PARTS = {
    "train": "training examples",
    "heldout": "held-out examples",
    "train_a": "training images of a",
    "train_b": "training images of b",
    "heldout_a": "held-out images of a",
    "heldout_b": "held-out images of b",
}


def facts_to_store(feed: Feed) -> dict[str, Any]:
    """Return what a checkpoint stores about the data, as JSON can hold it."""
    return {
        "shape": list(feed.shape),
        "num_classes": feed.num_classes,
        "data": feed.fingerprint(),
    }


def check_unchanged_data(
    workdir: Path, feed: Feed, experiment: Experiment, allow: bool, link: Link
) -> list[str]:
    """Check that the data is that of the checkpoint from which a run goes on.

    Process 0 decides for all. Checkpoints of a time before fingerprints pass. So does a
    run that has taken all of its steps, if the shape is the same.

    Args:
        workdir: folder of the run.
        feed: the data.
        experiment: the run's experiment.
        allow: whether other examples of the same shape are allowed.
        link: to the other processes.

    Returns:
        a line about a difference that is allowed; or no line.

    Raises:
        UserError: the data differs, and that is not allowed.
    """
    with link.share_errors():
        place = experiment.data_dir
        where = (
            f"data.dir = {place}" if place else f"data.name = {experiment.data_name}"
        )
        found = newest_loop(workdir / "checkpoints") if link.first else None
        step, stored = found or (0, {})
        _check_shape(stored, feed, where)
        before = stored.get("data", {})
        if not before or step >= experiment.num_steps(feed.plan):
            return []
        changes = "; ".join(_describe_changes(before, feed.fingerprint()))
        if not changes:
            return []
        line = f"{where}: not the data that the run was trained on ({changes})"
        if not allow:
            raise UserError(
                f"{line}; bring that data back, or go on with this by {FLAG}"
            )
        return [f"{line}, which {FLAG} allows"]


def _check_shape(stored: dict[str, Any], feed: Feed, where: str) -> None:
    found = {"shape": list(feed.shape), "classes": feed.num_classes}
    before = {
        "shape": stored.get("shape", found["shape"]),
        "classes": stored.get("num_classes", found["classes"]),
    }
    differing = [
        f"{name} {found[name]}, {before[name]} before"
        for name in found
        if found[name] != before[name]
    ]
    if differing:
        raise UserError(
            f"{where}: not the data that the run was trained on "
            f"({'; '.join(differing)}); the networks do not fit it: bring that data "
            "back, or give another --workdir"
        )


def _describe_changes(before: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    for part, words in PARTS.items():
        old, new = before.get(part), found.get(part)
        if old != new:
            old, new = old or {"count": 0}, new or {"count": 0}
            same = ", but others" if old["count"] == new["count"] else ""
            yield f"{new['count']:,} {words}, {old['count']:,} before{same}"
