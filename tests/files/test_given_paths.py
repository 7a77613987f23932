"""Paths that users give: home folders, impossible ones, and files that are whole."""

import errno
import os
from pathlib import Path

import pytest

from jaxgan.errors import UserError
from jaxgan.files import storage


def refused(text, take=storage.checked_path):
    """Return the line with which a path is refused."""
    with pytest.raises(UserError) as caught:
        take(text, "--out")
    line = str(caught.value)
    assert line.startswith("--out = ")
    assert line.isprintable()
    assert len(line) < 700
    return line


def test_home_folders_are_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert storage.checked_path("~/a", "--out") == tmp_path / "a"
    assert storage.checked_path("~", "--out") == tmp_path
    assert storage.checked_path("~root", "--out") == Path("~root").expanduser()
    # Only at the start, and no variables of the environment.
    for text in ("a/~/b", "./~", "$HOME/a"):
        assert storage.checked_path(text, "--out") == Path(text)
    # Windows calls its lock files so: what is there keeps its name.
    (tmp_path / "~$letter.png").touch()
    assert storage.checked_path("~$letter.png", "--out") == Path("~$letter.png")
    assert "the home of ~nobody-here is not known" in refused("~nobody-here/x")


def test_paths_where_nothing_can_be(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for text, words in {
        f"{tmp_path}/file/x/y": "lies below a file",
        f"{tmp_path}/{'x' * 5000}": "is too long",
        f"{tmp_path}/{'x' * 256}": "is too long, or a name in it is",
        f"{tmp_path}/loop/x": "has a link that leads to itself",
        f"{tmp_path}/a\0b": "a character that no path can have",
        "\ud800": "a character that no path can have",
    }.items():
        assert words in refused(text)
    for text, words in {
        f"{tmp_path}/file": "exists and is no folder",
        "/proc/no/folder": "no folder can be made there",
    }.items():
        assert words in refused(Path(text), storage.make_folder)
    for _ in range(2):
        storage.make_folder(tmp_path / "a" / "b", "--out")
        assert (tmp_path / "a" / "b").is_dir()


def test_a_disk_that_refuses_a_folder_is_no_mistake(tmp_path, monkeypatch):
    def refuse(path, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OSError, match="Read-only file system"):
        storage.make_folder(tmp_path / "a", "--out")


def test_a_file_is_whole_or_as_it_was(tmp_path):
    """Also where its name is as long as a name can be."""
    path = tmp_path / ("x" * 255)
    storage.write(path, b"older")
    with storage.whole_file(path) as beside:
        assert beside.name[0] == "."
        beside.write_bytes(b"newer")
    assert path.read_bytes() == b"newer"

    def fill():
        with storage.whole_file(path) as beside:
            beside.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left") as caught:
        fill()
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"newer"
    assert list(tmp_path.iterdir()) == [path]
