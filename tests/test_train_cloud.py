"""A run whose workdir is in a bucket: the stand-in of cloud.py."""

import json

import cloud
import pytest
from runs import lines, run, write_config

SHORT = ("--config.train.num_steps=20", "--config.train.checkpoint_steps=10")


@pytest.fixture(scope="module")
def runs_of(tmp_path_factory):
    """The same run in a bucket and in a folder."""
    folder = tmp_path_factory.mktemp("cloud")
    config = f"--config={write_config(folder)}"
    bucket = cloud.bucket()
    for workdir in (f"{bucket}/runs/x", folder / "run"):
        done = run("main", config, f"--workdir={workdir}", *SHORT)
        assert done.returncode == 0, done.stderr
    return config, f"{bucket}/runs/x", folder / "run"


def stored(url):
    """Return the content of the objects below a gs:// path, by relative name."""
    bucket, _, prefix = url.removeprefix("gs://").partition("/")
    objects = cloud.server().stored[bucket]
    return {
        name.removeprefix(f"{prefix}/"): one.content
        for name, one in objects.items()
        if name.startswith(f"{prefix}/")
    }


def without_times(text):
    rows = [json.loads(line) for line in text.splitlines()]
    return [
        {k: v for k, v in row.items() if k not in ("seconds", "images_per_second")}
        for row in rows
    ]


def test_a_run_in_a_bucket_has_the_files_of_one_in_a_folder(runs_of):
    _, url, folder = runs_of
    objects = stored(url)
    assert objects["config.json"] == (folder / "config.json").read_bytes()
    assert without_times(objects["metrics.jsonl"].decode()) == lines(folder)
    picture = "samples/step_00000020.png"
    assert objects[picture] == (folder / picture).read_bytes()
    assert any(name.startswith("events.out.tfevents") for name in objects)
    for step in (10, 20):
        assert f"checkpoints/{step}/checksums.json" in objects
    assert ".lock" not in objects


def test_it_is_resumed_sampled_and_scored(runs_of):
    config, url, folder = runs_of
    longer = "--config.train.num_steps=30"
    for workdir in (url, folder):
        done = run("main", config, f"--workdir={workdir}", *SHORT[1:], longer)
        assert done.returncode == 0, done.stderr
        assert "training from step 20" in done.stdout
        done = run("evaluate", f"--workdir={workdir}")
        assert done.returncode == 0, done.stderr
        done = run("sample", f"--workdir={workdir}", "--num=16")
        assert done.returncode == 0, done.stderr
    objects = stored(url)
    assert without_times(objects["metrics.jsonl"].decode()) == lines(folder)
    for name in ("evaluation.jsonl", "samples-30.png"):
        assert objects[name] == (folder / name).read_bytes()
