"""metrics.jsonl when a run is resumed: what is kept, dropped and moved aside."""

import json

import pytest

from jaxgan.workdir.metrics_lines import keep_lines

LINES = [f'{{"step": {step}, "x": 0.1}}\n'.encode() for step in (10, 20, 30, 40)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.jsonl"


def damaged(path):
    """Return what was moved aside, None if nothing was."""
    aside = path.with_name("metrics.jsonl.damaged")
    return aside.read_bytes() if aside.exists() else None


def test_lines_after_the_checkpoint_are_dropped_and_a_torn_line_is_moved(path, capsys):
    path.write_bytes(b"".join(LINES) + b'{"st')
    keep_lines(path, 20)
    assert path.read_bytes() == LINES[0] + LINES[1]
    assert damaged(path) == b'{"st\n'
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"jaxgan: {path}: 1 line that is not of this run, moved to")


def test_a_file_that_is_whole_is_not_written_again(path, capsys):
    path.write_bytes(b"".join(LINES))
    before = path.stat()
    keep_lines(path, 40)
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert capsys.readouterr().err == ""
    assert damaged(path) is None


def test_lines_without_any_checkpoint_are_dropped_with_a_word(path, capsys):
    path.write_bytes(b"".join(LINES))
    keep_lines(path, 0)
    assert path.read_bytes() == b""
    (line,) = capsys.readouterr().err.splitlines()
    words = "no checkpoint is there, so its lines are written again"
    assert line == f"jaxgan: {path}: {words}"


JUNK = [
    b"junk",
    b"\xff\xfe",
    b"7",
    b"null",
    b"[1]",
    b'{"a": 1}',
    b'{"step": "x"}',
    b'{"step": true}',
    b'{"step": 15.0}',
    b'{"step": -5}',
    b'{"step": 10}',
    b'{"step": 5}',
    b'{"step": 1' + b"0" * 5000 + b"}",
    b"[" * 100_000,
    b'{"step": 15, "x": ' + b"[" * 100_000,
    b"\0" * 1000,
    b'{"step": 15}{"step": 16}',
]


@pytest.mark.parametrize("junk", JUNK)
def test_a_line_that_is_not_a_runs_costs_no_other_line(path, junk):
    for place in range(1, len(LINES) + 1):
        path.write_bytes(b"".join([*LINES[:place], junk + b"\n", *LINES[place:]]))
        keep_lines(path, 30)
        assert path.read_bytes() == b"".join(LINES[:3])
    assert damaged(path) == (junk + b"\n") * len(LINES)


def test_junk_before_all_lines(path):
    path.write_bytes(b"junk\n" + b"".join(LINES))
    keep_lines(path, 30)
    assert path.read_bytes() == b"".join(LINES[:3])


def test_what_an_editor_changes_around_lines_is_no_damage(path, capsys):
    """A byte order mark, line ends of Windows, blank lines, no end of the last line."""
    content = b"\xef\xbb\xbf" + b"\r\n\r\n".join(line.rstrip() for line in LINES)
    path.write_bytes(content)
    keep_lines(path, 40)
    assert path.read_bytes() == b"".join(LINES)
    assert damaged(path) is None
    assert capsys.readouterr().err == ""


def test_a_missing_file_is_reported_beside_a_checkpoint_only(path, capsys):
    keep_lines(path, 0)
    assert capsys.readouterr().err == ""
    assert path.read_bytes() == b""
    keep_lines(path, 5)  # stopped before its first line
    assert capsys.readouterr().err == ""
    path.unlink()
    keep_lines(path, 5)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"jaxgan: {path}: missing beside the checkpoint of step 5")


def test_a_file_that_may_not_be_read_is_not_touched(path, monkeypatch):
    path.write_bytes(LINES[0])

    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    with monkeypatch.context() as patch:
        patch.setattr(type(path), "read_bytes", refuse)
        with pytest.raises(PermissionError):
            keep_lines(path, 10)
    assert json.loads(path.read_text()) == {"step": 10, "x": 0.1}
