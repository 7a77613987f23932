"""Checkpoints: what is stored is what comes back, or it is said what is wrong."""

import jax
import numpy as np
import pytest

from jaxgan.errors import UserError
from jaxgan.types import GanState, Network
from jaxgan.workdir import checkpoint_files, checkpoint_manager, checksums
from jaxgan.workdir.checkpoint_files import digest, to_arrays
from jaxgan.workdir.checkpoint_manager import Checkpoints, SaveFailed


def state(seed, width=3):
    random = np.random.default_rng(seed)

    def network():
        params = {"layer": {"kernel": random.normal(size=(width, 2))}}
        return Network(params, {}, {"mu": random.normal(size=(width, 2))})

    return GanState(np.array(seed, np.int32), network(), network())


def same(a, b):
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, a, b)))


@pytest.fixture
def saved(tmp_path):
    """Checkpoints of steps 1 to 4, of which 3 are kept."""
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=3)
    for step in range(1, 5):
        checkpoints.save(step, to_arrays(state(step)), {"sums": {"x": 0.1 * step}})
    checkpoints.wait()
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
    restored, loop = saved.restore(state(0))
    assert same(restored, state(4))
    assert loop == {"sums": {"x": 0.4}, "digest": digest(to_arrays(state(4)))}
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
    saved.save(4, to_arrays(state(4)), {})
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
        saved.save(5, to_arrays(state(5)), {})
        saved.wait()
    (saved.directory / "5" / checksums.FILE_NAME).unlink()
    assert same(saved.restore(state(0))[0], state(4))
    assert (saved.directory.parent / "damaged" / "5").is_dir()


def test_nothing_sound_is_none(saved):
    for step in (2, 3, 4):
        files_of(saved, step)[0].unlink()
    assert saved.restore(state(0)) is None


def test_full_disk_is_said_and_nothing_is_lost(saved, monkeypatch):
    usage = checkpoint_manager.shutil.disk_usage(saved.directory)._replace(free=1000)
    monkeypatch.setattr(checkpoint_manager.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(SaveFailed, match=r"no space left.*step 4 is kept"):
        saved.save(5, to_arrays(state(5)), {})
    monkeypatch.undo()
    assert same(saved.restore(state(0))[0], state(4))


def test_what_tensorstore_was_told_to_do_is_not_repeated(saved, monkeypatch):
    def failed():
        raise ValueError("UNKNOWN: no answer [tensorstore_spec='{...}']")

    monkeypatch.setattr(saved._manager, "check_for_errors", failed)
    saved.save(5, to_arrays(state(5)), {})
    with pytest.raises(SaveFailed, match=r"written \(UNKNOWN: no answer\); that of"):
        saved.wait()


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
