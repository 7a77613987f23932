"""Leases, on a file system and in a bucket (the stand-in of helpers/cloud.py)."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from etils import epath
from helpers import cloud

from jaxgan.errors import UserError
from jaxgan.files import storage
from jaxgan.workdir import atomic_files, lease

ONE, TWO = "process 1 on here, a", "process 2 on there, b"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(lease, "WATCH_SECONDS", 0.5)


@pytest.fixture(params=["folder", "bucket"])
def path(request, tmp_path):
    if request.param == "folder":
        return tmp_path / ".lock"
    return epath.Path(cloud.bucket()) / "runs/x/.lock"


@pytest.fixture
def exits(monkeypatch):
    """Note the exit codes of processes that end themselves."""
    codes = []
    monkeypatch.setattr(os, "_exit", codes.append)
    return codes


def file_at(path):
    """Return the file of a lease."""
    kind = (
        atomic_files.BucketObject if storage.is_remote(path) else atomic_files.LocalFile
    )
    return kind(path)


def wait_for(condition):
    limit = time.monotonic() + 10
    while not condition() and time.monotonic() < limit:
        time.sleep(0.01)
    assert condition()


def test_a_lease_is_renewed_while_its_holder_lives(path, exits):
    with lease.hold_lease(path, ONE):
        assert path.read_text().startswith(ONE)
        with (
            pytest.raises(UserError, match="process 1 on here is training there"),
            lease.hold_lease(path, TWO),
        ):
            pass
        wait_for(lambda: int(path.read_text().rpartition(" ")[2]) >= 3)
    assert not path.exists()
    assert exits == []
    if not storage.is_remote(path):
        assert not list(path.parent.iterdir())


def test_a_lease_of_a_dead_process_is_taken_over(path, capsys):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{ONE} 7")
    begin = time.monotonic()
    with lease.hold_lease(path, TWO):
        assert time.monotonic() - begin >= 0.5
        assert path.read_text().startswith(TWO)
    assert "waiting up to 0.5 s" in capsys.readouterr().out


@pytest.mark.parametrize("before", [None, f"{ONE} 7"])
def test_of_many_that_take_a_lease_at_the_same_time_one_gets_it(path, before, exits):
    if before is not None:
        path.write_text(before)
    count = 8
    together, tried = threading.Barrier(count), threading.Barrier(count)

    def take(number):
        together.wait()
        holder, error = f"process {number} on here, {number}x", ""
        try:
            with lease.hold_lease(path, holder):
                tried.wait()
        except UserError as refused:
            error = str(refused)
            tried.wait()
        return error

    with ThreadPoolExecutor(count) as pool:
        errors = list(pool.map(take, range(count)))
    (winner,) = (number for number, error in enumerate(errors) if not error)
    for error in errors[:winner] + errors[winner + 1 :]:
        assert "is training there" in error
    assert exits == []
    assert not path.exists()


def test_another_takes_the_lease_between_two_steps(path, monkeypatch):
    """Whoever is slower is refused, at whichever step it is overtaken."""
    for step in ("delete", "create"):
        path.write_text(f"{ONE} 7")
        kind = type(file_at(path))
        take = getattr(kind, step)

        def overtaken(file, *arguments, take=take):
            path.unlink(missing_ok=True)
            path.write_text(f"{TWO} 0")
            take(file, *arguments)

        with monkeypatch.context() as patched:
            patched.setattr(kind, step, overtaken)
            with (
                pytest.raises(UserError, match="process 2 on there is training"),
                lease.hold_lease(path, "process 3 on here, c"),
            ):
                pass
        assert path.read_text() == f"{TWO} 0"


def test_a_holder_that_was_away_too_long_ends_itself(path, exits, capsys):
    with lease.hold_lease(path, ONE):
        path.write_text(f"{TWO} 0")
        wait_for(lambda: exits)
    assert set(exits) == {1}
    assert path.read_text() == f"{TWO} 0"  # the other one's is left alone
    assert f"{path}: another run took the lock" in capsys.readouterr().err


def test_a_lease_that_was_deleted_is_restored(path, exits):
    with lease.hold_lease(path, ONE):
        path.unlink()
        wait_for(lambda: path.exists() and path.read_text().startswith(ONE))
        with (
            pytest.raises(UserError, match="process 1 on here is training there"),
            lease.hold_lease(path, TWO),
        ):
            pass
    assert exits == []
    assert not path.exists()


def test_a_lease_that_was_deleted_long_ago_is_not(path, exits, monkeypatch):
    """Another run may have come and gone while this one was suspended."""
    clock = [1000.0]
    monkeypatch.setattr(lease.time, "time", lambda: clock[0])
    with lease.hold_lease(path, ONE):
        clock[0] += 2 * lease.WATCH_SECONDS
        path.unlink()
        wait_for(lambda: exits)
    assert set(exits) == {1}
    assert not path.exists()


def test_a_heartbeat_does_not_overwrite_the_lease_of_another_in_a_bucket():
    """Not even where the other one took it since the holder looked."""
    path = epath.Path(cloud.bucket()) / ".lock"
    file = file_at(path)
    file.create(f"{ONE} 0")
    found = file.read()
    path.write_text(f"{TWO} 0")
    file.overwrite(found, f"{ONE} 1")
    file.delete(found)
    assert path.read_text() == f"{TWO} 0"


def test_a_write_whose_answer_was_lost_is_no_loss():
    """The client sends it again, and the server refuses what is there already."""
    path = epath.Path(cloud.bucket()) / ".lock"
    client = file_at(path)._client
    call = type(client).call
    lost = []

    def send_twice(self, method, *arguments, **options):
        if method == "POST":
            lost.append(call(client, method, *arguments, **options))
        return call(client, method, *arguments, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(client), "call", send_twice)
        with lease.hold_lease(path, ONE):
            wait_for(lambda: len(lost) > 3)
            assert path.read_text().startswith(ONE)
    assert not path.exists()


def test_a_claim_of_a_process_that_died_while_it_took_a_lease_over(tmp_path):
    path, claim = tmp_path / ".lock", tmp_path / ".lock.claim"
    path.write_text(f"{ONE} 7")
    claim.touch()
    os.utime(claim, (0, 0))
    with pytest.raises(UserError, match="another process"), lease.hold_lease(path, TWO):
        pass
    with lease.hold_lease(path, TWO):
        assert path.read_text().startswith(TWO)
    assert not list(tmp_path.iterdir())


def test_a_file_system_without_hard_links(tmp_path, monkeypatch):
    def link(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    path = tmp_path / ".lock"
    with lease.hold_lease(path, ONE):
        assert path.read_text().startswith(ONE)
        with (
            pytest.raises(UserError, match="process 1 on here"),
            lease.hold_lease(path, TWO),
        ):
            pass
    assert not list(tmp_path.iterdir())


def test_a_bucket_that_takes_no_lock_is_said_in_one_line():
    bucket = cloud.bucket()
    path = epath.Path(bucket) / ".lock"
    create = atomic_files.BucketObject.overwrite

    def closed(file, *arguments):
        cloud.server().refusals[bucket.removeprefix("gs://")] = 403, "not yours"
        with suppress(FileNotFoundError):
            create(file, *arguments)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(atomic_files.BucketObject, "overwrite", closed)
        with (
            pytest.raises(storage.WriteFailed, match=r"no access .*not yours"),
            lease.hold_lease(path, ONE),
        ):
            pass
