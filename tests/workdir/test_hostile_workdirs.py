"""Random bytes in every file of a workdir: nothing is lost, and a line says it."""

import random
import shutil

import pytest
from helpers.runs import LAST, final_bytes, lines, run_in_process, write_config

from jaxgan import main
from jaxgan.files import storage

KINDS = {
    "empty": lambda content, chance: b"",
    "half": lambda content, chance: content[: len(content) // 2],
    "noise": lambda content, chance: chance.randbytes(chance.randrange(1, 2000)),
    "list": lambda content, chance: b"[]\n",
    "number": lambda content, chance: b"5",
    "zeros": lambda content, chance: bytes(len(content)),
    "flipped": lambda content, chance: bytes([content[0] ^ 1]) + content[1:],
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, and the flags that made it."""
    folder = tmp_path_factory.mktemp("run")
    config = f"--config={write_config(folder)}"
    done = run_in_process(main, config, f"--workdir={folder / 'run'}")
    assert done.returncode == 0, done.stderr
    return folder / "run", config


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_any_content_of_any_file(finished, tmp_path, seed):
    folder, config = finished
    workdir = tmp_path / "run"
    shutil.copytree(folder, workdir)
    chance = random.Random(seed)
    texts = ["config.json", "metrics.jsonl"]
    files = [*storage.list_files(workdir / "checkpoints"), *texts * 5]
    name = chance.choice(files)
    path = workdir / name if name in texts else workdir / "checkpoints" / name
    kind = chance.choice([*KINDS, "missing"])
    before = path.read_bytes()
    path.unlink()
    if kind != "missing":
        path.write_bytes(KINDS[kind](before, chance))
    done = run_in_process(main, config, f"--workdir={workdir}")
    what = f"{name}, {kind}: {done}"
    assert all(line.startswith("jaxgan: ") for line in done.stderr.splitlines()), what
    if done.returncode != 0:
        assert name == "config.json", what
        assert done.returncode == 2, what
        assert done.stderr.startswith("jaxgan: error: "), what
        assert done.stderr.count("\n") == 1, what
        assert storage.list_files(workdir / "checkpoints") == storage.list_files(
            folder / "checkpoints"
        )
        return
    assert final_bytes(workdir, LAST) == final_bytes(folder, LAST), what
    if name != "metrics.jsonl":
        assert lines(workdir) == lines(folder), what
