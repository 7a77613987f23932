"""Checkpoints: what is stored is what comes back, or it is said what is wrong."""

import errno
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from etils import epath
from helpers.checkpoints import loop_numbers

from configs import wgan
from jaxgan.errors import UserError
from jaxgan.experiment.variants import flatten
from jaxgan.files import storage
from jaxgan.types import GanState, Network
from jaxgan.workdir import (
    checkpoint_files,
    checkpoint_manager,
    checksums,
    orbax_files,
    upkeep,
)
from jaxgan.workdir.checkpoint_files import digest, to_arrays
from jaxgan.workdir.checkpoint_manager import Checkpoints, SaveFailed
from jaxgan.workdir.damage import Damaged
from jaxgan.workdir.lock import LockLost
from jaxgan.workdir.loop_metadata import KEYS, parse_loop
from jaxgan.workdir.startup import check_length, check_same_config


def state(seed, width=3):
    random = np.random.default_rng(seed)

    def network():
        params = {"layer": {"kernel": random.normal(size=(width, 2))}}
        return Network(params, {}, {"mu": random.normal(size=(width, 2))})

    return GanState(np.array(seed, np.int32), network(), network())


def same(a, b):
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, a, b)))


@pytest.fixture(scope="module")
def four_saved(tmp_path_factory):
    """Return a folder of checkpoints: steps 1 to 4 were saved, and 3 of them kept."""
    directory = tmp_path_factory.mktemp("saved") / "checkpoints"
    checkpoints = Checkpoints(directory, keep=3)
    for step in range(1, 5):
        numbers = loop_numbers(mean=0.1 * step)
        checkpoints.save(step, to_arrays(state(step)), numbers)
    checkpoints.close()
    return directory


@pytest.fixture
def saved(four_saved, tmp_path):
    """Return the checkpoints of a copy of that folder, as after a resume."""
    shutil.copytree(four_saved, tmp_path / "checkpoints")
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=3)
    checkpoints._latest = 4
    yield checkpoints
    checkpoints.close()


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def files_of(saved, step):
    folder = saved.directory / str(step)
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def test_newest_comes_back_and_the_oldest_is_gone(saved):
    restored, numbers = saved.restore(state(0))
    assert same(restored, state(4))
    assert numbers == loop_numbers(mean=0.4) | {"digest": digest(to_arrays(state(4)))}
    assert checkpoint_files.steps_in(saved.directory) == [2, 3, 4]


def test_one_flipped_byte_in_any_file_is_detected(saved):
    for path in files_of(saved, 4):
        before = path.read_bytes()
        flip_a_byte(path)
        assert checksums.find_damage(saved.directory / "4") is not None, path
        path.write_bytes(before)
    assert checksums.find_damage(saved.directory / "4") is None


def test_damaged_is_reported_moved_aside_and_replaced(saved, capsys):
    largest = max(files_of(saved, 4), key=lambda path: path.stat().st_size)
    flip_a_byte(largest)
    restored, _ = saved.restore(state(0))
    assert same(restored, state(3))
    assert "checkpoint 4 is damaged" in capsys.readouterr().err
    assert (saved.directory.parent / "damaged" / "4").is_dir()
    saved.save(4, to_arrays(state(4)), loop_numbers())
    saved.wait()
    assert checksums.find_damage(saved.directory / "4") is None
    assert same(saved.restore(state(0))[0], state(4))


def test_missing_file_is_damage(saved):
    files_of(saved, 4)[0].unlink()
    assert "missing" in checksums.find_damage(saved.directory / "4")
    assert same(saved.restore(state(0))[0], state(3))


def test_killed_before_the_sums_a_whole_checkpoint_is_kept(saved):
    (saved.directory / "4" / checksums.FILE_NAME).unlink()
    assert checksums.find_damage(saved.directory / "4") == checksums.UNFINISHED
    assert same(saved.restore(state(0))[0], state(4))
    assert checksums.find_damage(saved.directory / "4") is None


def test_killed_before_the_sums_a_damaged_checkpoint_is_not(saved, monkeypatch):
    """Its arrays are not those of its digest.

    They are not damaged on the disk here: Orbax abandons its other reads when one
    fails, whose complaints ("Event loop is closed") then fail a test at random.
    """
    with monkeypatch.context() as patch:
        patch.setattr(
            checkpoint_manager, "digest", lambda _: digest(to_arrays(state(9)))
        )
        saved.save(5, to_arrays(state(5)), loop_numbers())
        saved.wait()
    (saved.directory / "5" / checksums.FILE_NAME).unlink()
    assert same(saved.restore(state(0))[0], state(4))
    assert (saved.directory.parent / "damaged" / "5").is_dir()


def test_no_checkpoint_is_none(tmp_path):
    assert Checkpoints(tmp_path / "checkpoints", keep=3).restore(state(0)) is None


def test_if_every_checkpoint_is_damaged_all_stay_where_they_are(saved):
    """A run that started again at step 0 would look as if nothing had happened."""
    for step in (2, 3, 4):
        files_of(saved, step)[0].unlink()
    for _ in range(2):
        with pytest.raises(UserError) as error:
            saved.restore(state(0))
    assert str(error.value).startswith(f"{saved.directory}: every checkpoint is dam")
    assert "3: _CHECKPOINT_METADATA is missing" in str(error.value)
    assert "move that folder away" in str(error.value)
    assert checkpoint_files.steps_in(saved.directory) == [2, 3, 4]
    assert not (saved.directory.parent / "damaged").exists()


def test_full_disk_is_said_and_nothing_is_lost(saved, monkeypatch):
    usage = checkpoint_manager.shutil.disk_usage(saved.directory)._replace(free=1000)
    monkeypatch.setattr(checkpoint_manager.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(SaveFailed, match=r"No space left.*step 4 is kept"):
        saved.save(5, to_arrays(state(5)), loop_numbers())
    monkeypatch.undo()
    assert same(saved.restore(state(0))[0], state(4))


def test_what_tensorstore_was_told_to_do_is_not_repeated(saved, monkeypatch):
    def failed():
        raise ValueError("UNKNOWN: no answer [tensorstore_spec='{...}']")

    monkeypatch.setattr(saved._open_manager(), "check_for_errors", failed)
    saved.save(5, to_arrays(state(5)), loop_numbers())
    with pytest.raises(SaveFailed, match=r"written \(UNKNOWN: no answer\); that of"):
        saved.wait()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "x"), "No space left on device"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "Disk quota exceeded"),
        (
            ValueError(
                'OUT_OF_RANGE: Error writing "critic" in OCDBT database at local file '
                '"/run/1/": Failed to write 987612 bytes to file 11: File too large '
                "[os_error_code='27'] [tensorstore_spec='{}']"
            ),
            "File too large",
        ),
        (ValueError("Error: [os_error_code='30']"), "Read-only file system"),
        (ValueError("whatever [tensorstore_spec='{}']"), "whatever"),
    ],
)
def test_why_a_checkpoint_could_not_be_written(error, words):
    assert checkpoint_manager.describe_write_error(error).endswith(words)


def test_another_networks_checkpoint_is_refused_and_stays(saved):
    with pytest.raises(UserError, match=r"shape \(3, 2\).*needs \(5, 2\)"):
        saved.restore(state(0, width=5))
    assert checkpoint_files.steps_in(saved.directory) == [2, 3, 4]


def test_sound_step_changes_nothing(saved):
    directory = saved.directory
    flip_a_byte(files_of(saved, 4)[0])
    assert checkpoint_files.sound_step(directory) == 3
    assert checkpoint_files.sound_step(directory, 2) == 2
    with pytest.raises(UserError, match="damaged"):
        checkpoint_files.sound_step(directory, 4)
    with pytest.raises(UserError, match="there are 2, 3, 4"):
        checkpoint_files.sound_step(directory, 7)
    with pytest.raises(UserError, match="holds no checkpoint"):
        checkpoint_files.sound_step(directory / "elsewhere")
    assert checkpoint_files.steps_in(directory) == [2, 3, 4]


def test_a_file_in_the_place_of_the_folder_is_said_before_training(tmp_path):
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(UserError, match=r"checkpoints: is a file; must be a folder"):
        Checkpoints(tmp_path / "checkpoints", keep=3)


def test_numbers_that_change_after_a_save_are_not_those_saved(tmp_path, monkeypatch):
    """Orbax writes them later, in a thread of its own."""
    given = {}
    manager = SimpleNamespace(save=lambda step, args, force: given.update(args.items()))
    monkeypatch.setattr(checkpoint_manager, "open_manager", lambda directory: manager)
    checkpoints = checkpoint_manager.Checkpoints(tmp_path / "checkpoints", keep=1)
    sums = {"x": 1.0}
    checkpoints.save(10, {"a": np.zeros(2)}, {"sums": sums, "counts": {"x": 1}})
    sums["x"] += 1
    sums["y"] = 2.0
    assert given["loop"].item["sums"] == {"x": 1.0}


def test_links_to_folders_with_difficult_names_do_not_last(tmp_path):
    orbax_files.linked_path.cache_clear()
    link = orbax_files.orbax_path(tmp_path / "a[1]")
    assert link.is_symlink()
    assert link.parent.parent != tmp_path
    orbax_files.LINKS.close()
    assert not link.parent.exists()
    orbax_files.linked_path.cache_clear()


# Orbax 0.12 fails below some of these names if it is given them (see orbax_files).
NAMES = ["run[1]", "a\\b", "*%20?#\n ", "a\udcff", "gs:"]


@pytest.mark.parametrize("name", NAMES)
def test_a_workdir_may_have_any_name(tmp_path, name):
    directory = tmp_path / name / "checkpoints"
    checkpoints = Checkpoints(directory, keep=1)
    for step in (1, 2):
        checkpoints.save(step, to_arrays(state(step)), loop_numbers())
    checkpoints.close()
    assert [path.name for path in directory.iterdir()] == ["2"]
    flip_a_byte(directory / "2" / "loop" / "metadata")
    assert checksums.find_damage(directory / "2") is not None
    flip_a_byte(directory / "2" / "loop" / "metadata")
    assert same(Checkpoints(directory, keep=1).restore(state(0))[0], state(2))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_names_in_a_bucket_below_which_orbax_cannot_save_are_refused():
    for name in ("run[1]", "a*b", "a?b", "a#b", "a\nb"):
        with pytest.raises(UserError, match=r"in a bucket; give a name"):
            orbax_files.check_workdir(epath.Path(f"gs://b/{name}/x"))
    orbax_files.check_workdir(epath.Path("gs://b/a b/%20/ü,x=1"))


@pytest.mark.parametrize("lost", ["manifest.ocdbt", "../loop/metadata"])
def test_a_save_that_lost_a_file_is_no_checkpoint_and_older_ones_stay(
    saved, monkeypatch, lost
):
    """The files of `run[1]` lacked a manifest, and Orbax reported no error."""
    path = saved.directory / "5" / "state" / lost
    monkeypatch.setattr(saved._open_manager(), "check_for_errors", path.unlink)
    saved.save(5, to_arrays(state(5)), loop_numbers())
    with pytest.raises(SaveFailed, match=r"checkpoint 5 could .*that of step 4 is kep"):
        saved.wait()
    assert checkpoint_files.steps_in(saved.directory) == [2, 3, 4, 5]
    assert same(saved.restore(state(0))[0], state(4))
    assert checkpoint_files.steps_in(saved.directory) == [2, 3, 4]


def test_right_checksums_of_a_checkpoint_without_a_manifest_do_not_help(saved):
    (saved.directory / "4" / "state" / "manifest.ocdbt").unlink()
    checksums.write_checksums(saved.directory / "4")
    assert checkpoint_files.sound_step(saved.directory) == 3
    assert same(saved.restore(state(0))[0], state(3))


BROKEN_JSON = [b"", b"[]", b"null", b"5", b"{}", b"\xff", b"\0", b"[" * 100_000]


@pytest.mark.parametrize("content", [*BROKEN_JSON, b'{"loop/metadata": 1}'])
def test_checksums_that_are_not_checksums_are_damage(tmp_path, content):
    (tmp_path / checksums.FILE_NAME).write_bytes(content)
    assert checksums.FILE_NAME in checksums.find_damage(tmp_path)


def complete_numbers():
    """Return the loop's numbers with all keys that a checkpoint may have."""
    data = {"train": {"count": 5, "digest": "0"}}
    return loop_numbers() | {"digest": "0", "fields": {}, "data": data}


WRONG = {
    "digest": 5,
    "shape": [0, "x"],
    "num_classes": -1,
    "sums": {"critic/loss": float("nan")},
    "counts": {"another": 1},
    "seconds": 10**400,
    "data": {"train": {"count": 5}},
    "fields": [],
}


@pytest.mark.parametrize("content", [*BROKEN_JSON, *WRONG])
def test_numbers_that_are_not_the_loops_are_damage(content):
    numbers = complete_numbers()
    assert parse_loop(json.dumps(numbers).encode()) == numbers
    if isinstance(content, str):
        content = json.dumps(numbers | {content: WRONG[content]}).encode()
    with pytest.raises(Damaged, match="loop/metadata"):
        parse_loop(content)


@pytest.mark.parametrize("has_checksums", [True, False])
def test_a_checkpoint_with_other_numbers_is_moved_aside(saved, has_checksums):
    folder = saved.directory / "4"
    (folder / "loop" / "metadata").write_text("[1]")
    checksums.write_checksums(folder)
    if not has_checksums:
        (folder / checksums.FILE_NAME).unlink()
    assert checkpoint_files.newest_loop(saved.directory)[0] == 3
    assert same(saved.restore(state(0))[0], state(3))
    assert (saved.directory.parent / "damaged" / "4").is_dir()


@pytest.mark.parametrize("name", KEYS)
def test_only_keys_that_were_added_later_may_be_missing(name):
    numbers = complete_numbers()
    del numbers[name]
    if KEYS[name].required:
        with pytest.raises(Damaged, match=f"lacks {name}"):
            parse_loop(json.dumps(numbers).encode())
    else:
        assert parse_loop(json.dumps(numbers).encode()) == numbers


def test_only_the_names_that_orbax_gives_are_checkpoints(saved):
    for name in ("²", "٣", "00000300", "+5", "5 ", "1_0", "9" * 30, "5.tmp"):
        (saved.directory / name).mkdir()
    (saved.directory / "00000301").write_text("")
    assert checkpoint_files.steps_in(saved.directory) == [2, 3, 4]
    saved.save(5, to_arrays(state(5)), loop_numbers())
    saved.wait()
    assert same(saved.restore(state(0))[0], state(5))
    assert (saved.directory / "00000301").exists()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_in_the_place_of_a_checkpoint_is_moved_aside(saved, kind, capsys):
    path = saved.directory / "5"
    if kind == "file":
        path.write_text("mine")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    assert same(saved.restore(state(0))[0], state(4))
    assert "checkpoint 5 is damaged" in capsys.readouterr().err
    assert os.path.lexists(saved.directory.parent / "damaged" / "5")
    saved.save(5, to_arrays(state(5)), loop_numbers())
    saved.wait()
    assert checkpoint_files.sound_step(saved.directory) == 5


FOREIGN = [
    ".DS_Store",
    "state/._manifest.ocdbt",
    "@eaDir/loop/metadata@SynoEAStream",
    "state/Thumbs.db",
    "loop/desktop.ini",
    "state/d/.nfs0000000001",
]
# Names that Orbax knows, or might.
UNLISTED = [
    "state/array_metadatas/process_0",
    "state/_sharding",
    "state/_strings.json",
    "state/ocdbt.process_1/manifest.ocdbt",
    "state/critic/params/layer/kernel/.zarray",
    "manifest.ocdbt",
]


def test_files_that_the_run_did_not_write_are_no_damage(saved):
    folder = saved.directory / "4"
    for name in (*FOREIGN, *UNLISTED):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    for name in (".DS_Store", "Thumbs.db"):
        (saved.directory / name).write_text("")
    (saved.directory / "@eaDir").mkdir()
    assert checksums.find_damage(folder) is None
    assert same(saved.restore(state(0))[0], state(4))
    saved.save(5, to_arrays(state(5)), loop_numbers())
    saved.wait()
    assert checkpoint_files.steps_in(saved.directory) == [3, 4, 5]


def test_foreign_files_have_no_checksums_and_old_ones_do_not_count(saved):
    folder = saved.directory / "4"
    for name in FOREIGN:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    sums = checksums.compute_checksums(folder)
    checksums.write_checksums(folder)
    assert not sums.keys() & set(FOREIGN)
    path = folder / checksums.FILE_NAME
    path.write_text(json.dumps(sums | dict.fromkeys(FOREIGN, "of another content")))
    assert checksums.find_damage(folder) is None


def test_a_file_that_orbax_would_read_in_place_of_the_arrays_is_damage(saved):
    (saved.directory / "4" / "state" / "checkpoint").write_text("{}")
    assert "does not belong" in checksums.find_damage(saved.directory / "4")
    assert same(saved.restore(state(0))[0], state(3))


@pytest.mark.parametrize("has_checksums", [True, False])
def test_a_file_that_may_not_be_read_is_no_damage(saved, monkeypatch, has_checksums):
    """Root reads everything, so the error is raised by hand."""
    if not has_checksums:
        (saved.directory / "4" / checksums.FILE_NAME).unlink()
    read_bytes = Path.read_bytes

    def refuse(path):
        if path.parts[-2:] == ("state", "_METADATA") and "4" in path.parts:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(PermissionError):
        saved.restore(state(0))
    with pytest.raises(PermissionError):
        checksums.compute_checksums(saved.directory / "4")
    assert checkpoint_files.steps_in(saved.directory) == [2, 3, 4]
    assert not (saved.directory.parent / "damaged").exists()


def test_a_folder_that_may_not_be_listed_is_no_empty_one(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError):
        storage.list_files(tmp_path)


def test_a_disk_that_fails_is_damage(saved, monkeypatch):
    def fail(path):
        raise OSError(errno.EIO, "Input/output error", path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fail)
        assert "Input/output" in checksums.find_damage(saved.directory / "4")


def fields(**changed):
    """Return the fields of a recipe."""
    return flatten(wgan.get_config()) | changed


def test_a_checkpoint_knows_the_config_of_its_run(tmp_path):
    directory, before = tmp_path / "checkpoints", fields()
    checkpoints = Checkpoints(directory, keep=1, fields=before)
    checkpoints.save(1, to_arrays(state(1)), loop_numbers())
    checkpoints.close()
    stored = checkpoint_files.read_loop(directory, 1)["fields"]
    assert stored["data.batch_size"] == 64
    assert stored["critic.hidden"] == before["critic.hidden"]
    assert "train.num_steps" not in stored
    other = fields(**{"optimizer.critic.learning_rate": 0.5, "train.num_steps": 9})
    with pytest.raises(UserError, match=r"critic\.learning_rate: stored .* given 0.5"):
        Checkpoints(directory, keep=1, fields=other).restore(state(0))
    with pytest.raises(UserError, match=r"critic\.learning_rate: stored .* given 0.5"):
        check_same_config(tmp_path, other)
    longer = fields(**{"train.num_steps": 9})
    check_same_config(tmp_path, longer)
    restored, _ = Checkpoints(directory, keep=1, fields=longer).restore(state(0))
    assert same(restored, state(1))


def test_a_checkpoint_from_before_it_knew_its_config_is_resumed(saved, tmp_path):
    check_same_config(tmp_path, fields())
    restored = Checkpoints(saved.directory, keep=1, fields=fields()).restore(state(0))
    assert same(restored[0], state(4))


def test_a_length_is_compared_with_checkpoints_only(saved, tmp_path):
    (saved.directory / "1000").mkdir()
    (saved.directory / "2000").write_text("")
    check_length(tmp_path, 4)
    with pytest.raises(UserError, match=r"train\.num_steps = 3: .* at step 4 already"):
        check_length(tmp_path, 3)


def test_what_a_killed_process_was_deleting_is_deleted(saved):
    left = saved.directory / ".deleted-1"
    (left / "state").mkdir(parents=True)
    (saved.directory / "0").write_text("not a checkpoint")
    saved.save(5, to_arrays(state(5)), loop_numbers())
    saved.wait()
    assert not left.exists()
    assert sorted(p.name for p in saved.directory.iterdir()) == ["0", "3", "4", "5"]


def test_a_checkpoint_that_cannot_be_deleted_ends_no_run(saved, monkeypatch, capsys):
    def refuse(path, target):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(Path, "rename", refuse)
    upkeep.delete_oldest(saved.directory, keep=2)
    assert "2: not deleted" in capsys.readouterr().err
    assert checkpoint_files.steps_in(saved.directory) == [2, 3, 4]


def test_a_run_that_lost_its_lock_writes_no_more(saved, monkeypatch):
    def lose():
        raise LockLost("another run has taken the lock")

    saved.save(5, to_arrays(state(5)), loop_numbers())
    saved.wait()
    monkeypatch.setattr(saved, "_confirm_lock", lose)
    with pytest.raises(SaveFailed, match="another run has taken the lock"):
        saved.save(6, to_arrays(state(6)), loop_numbers())
    saved.close()
    assert checkpoint_files.steps_in(saved.directory) == [3, 4, 5]


def test_a_run_that_came_and_went_while_the_lock_was_gone(saved, monkeypatch):
    monkeypatch.setattr(saved, "_confirm_lock", lambda: True)
    saved.confirm_lock()
    other = Checkpoints(saved.directory, keep=3)
    other.save(9, to_arrays(state(9)), loop_numbers())
    other.close()
    with pytest.raises(SaveFailed, match="another run has saved step 9"):
        saved.confirm_lock()
