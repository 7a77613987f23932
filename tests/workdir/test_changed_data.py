"""Whether a run that goes on has the data that it was trained on."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.runs import run_in_process, write_config

from jaxgan import main
from jaxgan.errors import UserError
from jaxgan.runtime.processes import Link
from jaxgan.workdir import checkpoint_files
from jaxgan.workdir.changed_data import check_unchanged_data, facts_to_store
from jaxgan.workdir.checksums import write_checksums
from jaxgan.workdir.damage import Damaged


def facts(**counts):
    return {
        name: {"count": count, "digest": f"{count}{note}"}
        for name, (count, note) in counts.items()
    }


def feed(shape=(8, 8, 1), num_classes=0, **counts):
    parts = {"train": (9, "x"), "heldout": (1, "x")} | counts
    return SimpleNamespace(
        shape=shape,
        num_classes=num_classes,
        fingerprint=lambda: facts(**parts),
        plan=None,
    )


EXPERIMENT = SimpleNamespace(
    data_dir="/photos", data_name="folder", num_steps=lambda plan: 60
)


@pytest.fixture
def stored(monkeypatch):
    """The loop's numbers that each checkpoint holds; an error if it is damaged."""
    loops = {}

    def read_loop(directory, step):
        assert directory.name == "checkpoints"
        if isinstance(loops[step], Exception):
            raise loops[step]
        # As JSON brings it back.
        return json.loads(json.dumps(loops[step]))

    monkeypatch.setattr(checkpoint_files, "read_loop", read_loop)
    monkeypatch.setattr(checkpoint_files, "steps_in", lambda directory: sorted(loops))
    return loops


def check(tmp_path, feed, allow=False, experiment=EXPERIMENT):
    return check_unchanged_data(tmp_path, feed, experiment, allow, Link())


def refusal(*args, **options):
    with pytest.raises(UserError) as caught:
        check(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_same_data_passes_and_so_does_a_new_run(stored, tmp_path):
    assert check(tmp_path, feed()) == []
    stored[10] = facts_to_store(feed())
    assert check(tmp_path, feed()) == []
    assert check(tmp_path, feed(), allow=True) == []


def test_other_data_is_refused_with_both_counts(stored, tmp_path):
    stored[10] = facts_to_store(feed())
    other = feed(train=(1200, "x"), heldout=(1, "y"))
    changes = "1,200 training examples, 9 before; 1 held-out examples, 1 before, but"
    line = f"data.dir = /photos: not the data that the run was trained on ({changes}"
    assert refusal(tmp_path, other) == (
        f"{line} others); bring that data back, or go on with this by "
        "--allow_changed_data"
    )
    assert check(tmp_path, other, allow=True) == [
        f"{line} others), which --allow_changed_data allows"
    ]
    no_folder = SimpleNamespace(**vars(EXPERIMENT) | {"data_dir": ""})
    message = refusal(tmp_path, other, experiment=no_folder)
    assert message.startswith("data.name = folder: not the data")


def test_two_domains_are_named(stored, tmp_path):
    def pair(count):
        parts = {"train_a": (5, ""), "train_b": (count, ""), "heldout_b": (1, "")}
        return feed(**parts)

    stored[10] = facts_to_store(pair(7))
    message = refusal(tmp_path, pair(6))
    assert "(6 training images of b, 7 before);" in message


@pytest.mark.parametrize("allow", [False, True])
def test_another_shape_is_never_allowed(stored, tmp_path, allow):
    stored[10] = facts_to_store(feed())
    message = refusal(tmp_path, feed((8, 8, 3), num_classes=2), allow=allow)
    assert message == (
        "data.dir = /photos: not the data that the run was trained on (shape [8, 8, 3],"
        " [8, 8, 1] before; classes 2, 0 before); the networks do not fit it: bring "
        "that data back, or give another --workdir"
    )


def test_checkpoints_of_before_pass(stored, tmp_path):
    stored[10] = {"shape": [8, 8, 1], "num_classes": 0, "sums": {}}
    assert check(tmp_path, feed(train=(8, ""))) == []
    assert "shape [4], [8, 8, 1] before" in refusal(tmp_path, feed((4,)))
    stored[10] = {}
    assert check(tmp_path, feed()) == []


def test_the_newest_checkpoint_that_can_be_read_decides(stored, tmp_path):
    stored[10] = facts_to_store(feed(train=(8, "")))
    stored[20] = facts_to_store(feed())
    stored[30] = Damaged("loop/metadata is not readable")
    assert check(tmp_path, feed()) == []
    assert "8 training examples, 9 before" in refusal(tmp_path, feed(train=(8, "")))


def test_damaged_numbers_of_the_loop_decide_nothing(stored, tmp_path):
    stored[10] = facts_to_store(feed())
    stored[20] = stored[10] | {"shape": [8, 8, 7]}
    folder = tmp_path / "checkpoints" / "20"
    (folder / "loop").mkdir(parents=True)
    (folder / "loop" / "metadata").write_text("[8, 8, 1]")
    # A checkpoint that was not finished has no checksums yet.
    assert "shape [8, 8, 1], [8, 8, 7] before" in refusal(tmp_path, feed())
    write_checksums(folder)
    assert "shape [8, 8, 1], [8, 8, 7] before" in refusal(tmp_path, feed())
    (folder / "loop" / "metadata").write_text("[8, 8, 7]")
    assert check(tmp_path, feed()) == []
    (folder / "checksums.json").write_text("[]")
    assert check(tmp_path, feed()) == []


def test_a_finished_run_needs_no_data(stored, tmp_path):
    stored[60] = facts_to_store(feed())
    assert check(tmp_path, feed(train=(8, ""))) == []
    longer = SimpleNamespace(**vars(EXPERIMENT) | {"num_steps": lambda plan: 61})
    assert "8 training" in refusal(tmp_path, feed(train=(8, "")), experiment=longer)


@pytest.mark.slow
def test_a_run_whose_data_changes(tmp_path):
    """From end to end: refused, allowed once, and then the data of the run."""
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), np.uint8)
    file, workdir = tmp_path / "images.npz", tmp_path / "run"
    config = write_config(tmp_path)

    def train(images, num_steps, *flags, file=file):
        np.savez(file, image=images)
        return run_in_process(
            main,
            f"--config={config}",
            f"--workdir={workdir}",
            "--config.data.name=npz",
            f"--config.data.dir={file}",
            f"--config.train.num_steps={num_steps}",
            *flags,
        )

    def steps():
        return checkpoint_files.steps_in(workdir / "checkpoints")

    done = train(images, 10)
    assert done.returncode == 0, done.stderr
    assert "jaxgan: data: 18 training and 2 held-out examples" in done.stdout
    before = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
    for changed, words in (
        (images[:19], "17 training examples, 18 before"),
        (255 - images, "18 training examples, 18 before, but others"),
        (images.repeat(3, -1), "shape [8, 8, 3], [8, 8, 1] before"),
    ):
        done = train(changed, 20)
        assert done.returncode == 2
        assert done.stderr.startswith(f"jaxgan: error: data.dir = {file}: not the data")
        assert done.stderr.count("\n") == 1
        assert words in done.stderr
    after = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
    assert after == before

    done = train(images[:19], 20, "--allow_changed_data")
    assert done.returncode == 0, done.stderr
    assert "which --allow_changed_data allows" in done.stdout
    # Now it is the data of the run, wherever it is.
    done = train(images[:19], 30, file=tmp_path / "moved.npz")
    assert done.returncode == 0, done.stderr
    assert steps()[-1] == 30
