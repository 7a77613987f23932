"""Files that are written whole, or not at all."""

import errno
import os

import pytest

from jaxgan.files import storage


def test_lines_are_appended_and_are_on_the_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(number))
    path = tmp_path / "a.jsonl"
    storage.append(path, "1 ü\n")
    storage.append(path, b"2\n")
    assert path.read_text() == "1 ü\n2\n"
    assert len(synced) == 2


def test_of_lines_that_do_not_fit_nothing_is_left(tmp_path, monkeypatch):
    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "a.jsonl"
    path.write_text("1\n")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        storage.append(path, "2\n")
    assert path.read_text() == "1\n"


def test_a_folder_is_deleted_and_of_a_link_only_the_link(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_text("")
    (tmp_path / "link").symlink_to("a")
    storage.delete(tmp_path / "link")
    assert storage.list_files(tmp_path) == ["a/b/c"]
    storage.delete(tmp_path / "a")
    assert storage.list_files(tmp_path) == []
    assert storage.list_files(tmp_path / "a") == []


@pytest.mark.parametrize("number", [errno.EACCES, errno.EXDEV])
def test_a_folder_is_moved_whole_or_not_at_all(tmp_path, monkeypatch, number):
    """Only a folder on another disk is copied and deleted."""

    def refuse(path, target):
        raise OSError(number, os.strerror(number), str(path))

    source, target = tmp_path / "a", tmp_path / "b" / "a"
    (source / "c").mkdir(parents=True)
    monkeypatch.setattr(type(source), "rename", refuse)
    if number == errno.EXDEV:
        storage.move(source, target)
        assert (target / "c").is_dir()
    else:
        with pytest.raises(PermissionError):
            storage.move(source, target)
        assert (source / "c").is_dir()
    assert source.exists() != target.exists()
