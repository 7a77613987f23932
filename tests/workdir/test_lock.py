"""The lock of a workdir: one holder, and none that is dead."""

import subprocess
import sys
import time

import pytest

from jaxgan.errors import UserError
from jaxgan.workdir import lock


def test_a_second_run_is_refused_and_told_who_is_there(tmp_path):
    workdir = tmp_path / "runs" / "x"
    with lock.locked(workdir) as word:
        assert lock.seen(workdir, word)
        with pytest.raises(UserError) as error, lock.locked(workdir):
            pass
        assert str(error.value).startswith(f"--workdir = {workdir}: process ")
        assert str(error.value).endswith(
            "is training there; let it end, or give another --workdir"
        )
        assert lock.seen(workdir, word)
    assert not workdir.exists()  # nothing was done there
    with lock.locked(workdir):
        (workdir / "file").touch()
    assert [path.name for path in workdir.iterdir()] == ["file"]


HOLD = """
import sys, time, pathlib
from jaxgan import lock
with lock.locked(pathlib.Path(sys.argv[1])):
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
            lock.locked(tmp_path),
        ):
            pass
        holder.kill()
    assert (tmp_path / lock.NAME).exists()
    with lock.locked(tmp_path):
        pass


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(lock, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(lock, "WATCH_SECONDS", 0.5)
    monkeypatch.setattr(lock, "SETTLE_SECONDS", 0.1)


def test_a_lease_is_renewed_while_its_holder_lives(tmp_path, quick):
    path = tmp_path / lock.NAME
    with (
        lock.leased(path, "process 1 on here, a"),
        pytest.raises(UserError, match="process 1 on here is training there"),
        lock.leased(path, "process 2 on there, b"),
    ):
        pass
    assert not path.exists()


def test_a_lease_of_a_dead_process_is_taken_over(tmp_path, quick, capsys):
    path = tmp_path / lock.NAME
    path.write_text("process 1 on here, a 7")
    begin = time.monotonic()
    with lock.leased(path, "process 2 on there, b"):
        assert time.monotonic() - begin >= 0.5
        assert path.read_text().startswith("process 2 on there, b")
    assert "waiting up to 0.5 s" in capsys.readouterr().out


def test_two_that_take_a_lease_at_the_same_time(tmp_path, quick, monkeypatch):
    path = tmp_path / lock.NAME
    sleep = time.sleep

    def another_writes(seconds):
        sleep(seconds)
        if seconds == lock.SETTLE_SECONDS:
            path.write_text("process 2 on there, b 0")

    monkeypatch.setattr(lock.time, "sleep", another_writes)
    with (
        pytest.raises(UserError, match="process 2 on there is training"),
        lock.leased(path, "process 1 on here, a"),
    ):
        pass


def test_a_file_system_without_file_locks_gets_a_lease(tmp_path, quick, monkeypatch):
    def flock(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    with lock.locked(tmp_path) as word:
        assert lock.seen(tmp_path, word)
        with pytest.raises(UserError, match="is training there"), lock.locked(tmp_path):
            pass
    assert not lock.seen(tmp_path, word, 0.1)
