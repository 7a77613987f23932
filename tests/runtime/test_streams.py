"""Standard streams that are closed, broken or full."""

import os
import subprocess
import sys

import pytest
from helpers import ROOT

from jaxgan.runtime.streams import Output, is_terminal


def test_closed_streams_are_opened_and_their_numbers_not_given_to_files(tmp_path):
    """As by `2>&-`; else a checkpoint would get the number that libraries write to."""
    script = (
        "import os, sys\n"
        "from jaxgan.runtime import program\n"
        "program.start()\n"
        "with open(sys.argv[1], 'w') as file:\n"
        "    print(sys.stdin.read(), 'printed')\n"
        "    print('an error', file=sys.stderr, flush=True)\n"
        "    os.write(2, b'from a library')\n"
        "    print(file.fileno() > 2, file=file)\n"
    )
    path = tmp_path / "file"
    closing = 'exec "$0" -c "$1" "$2" <&- >&- 2>&-'
    line = ["sh", "-c", closing, sys.executable, script, path]
    assert subprocess.run(line, cwd=ROOT, check=False).returncode == 0
    assert path.read_text() == "True\n"


def test_output_to_a_full_disk_is_an_error_unless_it_may_fail():
    full = Output(open("/dev/full", "wb"), line_buffering=True)  # noqa: SIM115
    with pytest.raises(OSError, match="No space left on device: 'standard output'"):
        full.write("line\n")
    with pytest.raises(OSError, match="standard output"):
        full.flush()
    full.may_fail = True
    for _ in range(3):
        print("a line " * 10_000, file=full, flush=True)
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), full.fileno())  # for what its buffer still holds
    full.close()


def test_letters_that_the_encoding_lacks_are_escaped(tmp_path):
    script = (
        "from jaxgan.runtime import program\n"
        "program.start()\n"
        "print('gr\\xfcn \\udcff')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "gr\\xfcn \\udcff\n"


def test_a_stream_that_is_closed_is_no_terminal():
    assert not is_terminal(None)
    with open("/dev/null") as file:
        assert not is_terminal(file)
    assert not is_terminal(file)
