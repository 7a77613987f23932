"""The lock of a workdir: one holder, and none that is dead."""

import shutil
import subprocess
import sys
from contextlib import ExitStack

import pytest

from jaxgan.errors import UserError
from jaxgan.workdir import lease, lock


def test_a_second_run_is_refused_and_told_who_is_there(tmp_path):
    workdir = tmp_path / "runs" / "x"
    with lock.hold_lock(workdir) as held:
        assert lock.is_lock_visible(workdir, held.token)
        with pytest.raises(UserError) as error, lock.hold_lock(workdir):
            pass
        assert str(error.value).startswith(f"--workdir = {workdir}: process ")
        assert "another --workdir" in str(error.value)
        assert held.token not in str(error.value)
        assert lock.is_lock_visible(workdir, held.token)
    assert not workdir.exists()  # nothing was done there
    with lock.hold_lock(workdir):
        (workdir / "file").touch()
    assert [path.name for path in workdir.iterdir()] == ["file"]


HOLD = """
import sys, time, pathlib
from jaxgan.workdir import lock
with lock.hold_lock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(100)
"""


def test_a_killed_process_holds_it_no_longer(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(UserError, match=f"process {holder.pid} on"),
            lock.hold_lock(tmp_path),
        ):
            pass
        holder.kill()
    assert (tmp_path / lock.FILE_NAME).exists()
    with lock.hold_lock(tmp_path):
        pass


def test_a_file_system_without_file_locks_gets_a_lease(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(lease, "WATCH_SECONDS", 0.5)
    monkeypatch.setattr(lock.fcntl, "flock", flock)
    with lock.hold_lock(tmp_path) as held:
        assert lock.is_lock_visible(tmp_path, held.token)
        assert held.confirm() is False
        with (
            pytest.raises(UserError, match="is training there"),
            lock.hold_lock(tmp_path),
        ):
            pass
    assert not lock.is_lock_visible(tmp_path, held.token, 0.1)
    assert not list(tmp_path.iterdir())


def test_a_lock_file_that_was_deleted_is_restored(tmp_path, capsys):
    with lock.hold_lock(tmp_path) as held:
        assert held.confirm() is False
        (tmp_path / lock.FILE_NAME).unlink()
        assert held.confirm() is True
        assert "was deleted or replaced; this run has" in capsys.readouterr().err
        assert lock.is_lock_visible(tmp_path, held.token)
        assert held.confirm() is False
        with pytest.raises(UserError, match="process "), lock.hold_lock(tmp_path):
            pass
    assert not list(tmp_path.iterdir())


def test_a_lock_that_another_run_has_taken_is_left_to_it(tmp_path):
    path = tmp_path / lock.FILE_NAME
    with ExitStack() as first, ExitStack() as second:
        held = first.enter_context(lock.hold_lock(tmp_path))
        path.unlink()
        other = second.enter_context(lock.hold_lock(tmp_path))
        for _ in range(2):
            with pytest.raises(lock.LockLost, match="another run has taken the lock"):
                held.confirm()
        assert other.confirm() is False
        first.close()  # the first run ends before the second one
        assert lock.is_lock_visible(tmp_path, other.token)
    assert not list(tmp_path.iterdir())


def test_a_lock_in_a_workdir_that_was_deleted(tmp_path):
    workdir = tmp_path / "run"
    workdir.mkdir()
    with lock.hold_lock(workdir) as held:
        shutil.rmtree(workdir)
        with pytest.raises(FileNotFoundError):
            held.confirm()


def test_a_lock_file_that_is_not_text(tmp_path):
    (tmp_path / lock.FILE_NAME).write_bytes(b"\xff\xfe\x00")
    with lock.hold_lock(tmp_path) as held:
        assert lock.is_lock_visible(tmp_path, held.token)
