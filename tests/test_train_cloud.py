"""Runs whose workdir is in a bucket; helpers/cloud.py serves the buckets."""

import json
import re
import subprocess
import time

import jax
import pytest
from helpers import cloud
from helpers.runs import command, environment, lines, run, write_config
from jax.experimental.compilation_cache import compilation_cache

from jaxgan import evaluate, main

SHORT = ("--config.train.num_steps=20", "--config.train.checkpoint_steps=10")


@pytest.fixture(scope="module")
def shared_compilations(tmp_path_factory):
    """Let the runs of this process compile each program once: half of their time."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for values in (settings, before):
        for name, value in values.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
        if values is settings:
            yield


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """The flag --config of a small run."""
    return f"--config={write_config(tmp_path_factory.mktemp('config'))}"


@pytest.fixture(scope="module")
def same_run(config, tmp_path_factory, shared_compilations):
    """The workdirs of the same run in a bucket and in a folder."""
    url = f"{cloud.bucket()}/runs/x"
    folder = tmp_path_factory.mktemp("cloud") / "run"
    for workdir in (url, folder):
        assert main.main([config, f"--workdir={workdir}", *SHORT]) == 0
    return url, folder


def stored(url):
    """Return the content of the objects below a gs:// path, by relative name."""
    bucket, _, prefix = url.removeprefix("gs://").partition("/")
    with cloud.server().lock:  # its threads change the dictionary
        objects = dict(cloud.server().stored[bucket])
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


def test_a_run_in_a_bucket_has_the_files_of_one_in_a_folder(same_run):
    url, folder = same_run
    objects = stored(url)
    assert objects["config.json"] == (folder / "config.json").read_bytes()
    assert without_times(objects["metrics.jsonl"].decode()) == lines(folder)
    picture = "samples/step_00000020.png"
    assert objects[picture] == (folder / picture).read_bytes()
    assert any(name.startswith("events.out.tfevents") for name in objects)
    for step in (10, 20):
        assert f"checkpoints/{step}/checksums.json" in objects
    assert ".lock" not in objects


def test_it_is_resumed_sampled_and_scored(config, same_run, capsys):
    url, folder = same_run
    longer = (SHORT[1], "--config.train.num_steps=30")
    for workdir in (url, folder):
        assert main.main([config, f"--workdir={workdir}", *longer]) == 0
        assert "training from step 20" in capsys.readouterr().out
        assert evaluate.main([f"--workdir={workdir}"]) == 0
    objects = stored(url)
    assert without_times(objects["metrics.jsonl"].decode()) == lines(folder)
    name = "evaluation.jsonl"
    assert objects[name] == (folder / name).read_bytes()


def test_a_bucket_that_is_closed_during_a_run_is_said_in_one_line(config):
    bucket = cloud.bucket()
    # Metrics are written every 10 steps, so the bucket is closed between two
    # checkpoints: while Orbax saves one, TensorStore's threads may print tracebacks of
    # their own ("Event loop is closed").
    steps = "--config.train.num_steps=100000", "--config.train.checkpoint_steps=200"
    flags = config, f"--workdir={bucket}/x", *steps
    with subprocess.Popen(
        command("main", *flags),
        env=environment(flags, quick=True),
        stderr=subprocess.PIPE,
    ) as process:
        limit = time.monotonic() + 120
        while not any(n.endswith("/checksums.json") for n in stored(f"{bucket}/x")):
            assert time.monotonic() < limit
            time.sleep(0.05)
        name = bucket.removeprefix("gs://")
        cloud.server().refusals[name] = 403, "Forbidden: no longer yours"
        errors = process.communicate(timeout=200)[1].decode()
    assert process.returncode == 1
    (line,) = (line for line in errors.splitlines() if line.startswith("jaxgan: "))
    assert line.startswith(f"jaxgan: error: {bucket}/x/")
    assert "could not be written" in line
    assert "no longer yours" in line
    assert "kept" in line
    assert "Traceback" not in errors


def test_a_name_below_which_no_checkpoint_can_be_saved_is_refused(config, capsys):
    bucket = cloud.bucket()
    assert main.main([config, f"--workdir={bucket}/run[1]", *SHORT]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"jaxgan: error: --workdir = {bucket}/run[1]: no checkpoint")
    assert not stored(bucket)


@pytest.mark.slow
def test_killed_in_a_bucket_damaged_and_started_again(config, tmp_path):
    """A second run is refused while the first lives, and takes over once it is dead."""
    bucket = cloud.bucket()
    flags = (
        config,
        f"--workdir={bucket}/x",
        *SHORT[1:],
        "--config.train.num_steps=10000",
    )
    with subprocess.Popen(command("main", *flags), env=environment(flags)) as process:
        limit = time.monotonic() + 120
        while "checkpoints/20/checksums.json" not in stored(f"{bucket}/x"):
            assert time.monotonic() < limit
            time.sleep(0.05)
        refused = run("main", *flags)
        process.kill()
    assert refused.returncode == 2
    assert f"process {process.pid} on" in refused.stderr
    finished = re.compile(r"checkpoints/(\d+)/commit_success.txt")
    newest = max(int(m[1]) for m in map(finished.fullmatch, stored(f"{bucket}/x")) if m)
    name = bucket.removeprefix("gs://")
    objects = cloud.server().stored[name]
    largest = max(
        (n for n in objects if n.startswith(f"x/checkpoints/{newest}/")),
        key=lambda n: len(objects[n].content),
    )
    cloud.put(f"{bucket}/{largest}", b"x" + objects[largest].content[1:])
    done = run("main", *flags[:-1], f"--config.train.num_steps={newest + 10}")
    assert done.returncode == 0, done.stderr
    assert "waiting up to 20 s" in done.stdout
    assert f"checkpoint {newest} is damaged" in done.stderr
    assert any(n.startswith(f"x/damaged/{newest}/state/") for n in objects)
    # The same run without damage, also in its own process, with the same XLA flags.
    done = run("main", config, f"--workdir={tmp_path / 'run'}", *SHORT)
    assert done.returncode == 0, done.stderr
    found = without_times(stored(f"{bucket}/x")["metrics.jsonl"].decode())
    assert found[:2] == lines(tmp_path / "run")
