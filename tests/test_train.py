"""The training loop as users see it: killed, stopped, damaged, resumed, extended.

The tests here train WGANs; test_train_cyclegan.py trains a CycleGAN.
"""

import contextlib
import io
import itertools
import json
import re
import shutil
import signal
import subprocess

import numpy as np
import pytest
from helpers.runs import (
    LAST,
    assert_same_run,
    command,
    config_of,
    environment,
    final_bytes,
    kill_at,
    lines,
    pictures,
    run,
    run_in_process,
    run_until,
    write_config,
)

from jaxgan import main
from jaxgan.data.formats import embedded
from jaxgan.errors import UserError
from jaxgan.experiment import latent_family
from jaxgan.runtime import devices, streams
from jaxgan.workdir import checkpoint_files
from jaxgan.workdir.checkpoint_manager import Checkpoints
from jaxgan.workdir.writers import Means, Writers, find_thread

ESTIMATES = {"critic/wasserstein", "heldout/wasserstein"}
METRICS = {
    "wgan": ESTIMATES | {"critic/weights_at_clip"},
    "wgan_gp": ESTIMATES | {"critic/gradient_penalty", "critic/gradient_norm"},
}


@pytest.fixture(scope="module")
def runs_of(tmp_path_factory):
    """One uninterrupted run of each Gan."""
    folders = {}
    for gan in METRICS:
        folders[gan] = folder = tmp_path_factory.mktemp(gan)
        path = write_config(folder, gan)
        done = run("main", f"--config={path}", f"--workdir={folder / 'run'}")
        assert done.returncode == 0, done.stderr
    return folders


@pytest.fixture(params=METRICS)
def each(request, runs_of):
    return runs_of[request.param]


@pytest.fixture
def undisturbed(runs_of):
    return runs_of["wgan_gp"]


def test_files_and_metrics_of_a_run(each):
    workdir = each / "run"
    rows = lines(workdir)
    assert [row["step"] for row in rows] == [10, 20, 30, 40, 50, 60]
    gan = json.loads((workdir / "config.json").read_text())["gan"]["name"]
    names = {
        "critic/loss",
        "generator/loss",
        "learning_rate/generator",
        "learning_rate/critic",
    } | METRICS[gan]
    for row in rows:
        assert set(row) == names | {"step"}
        assert np.all(np.isfinite(list(row.values())))
    assert sorted(pictures(workdir)) == [
        f"step_{step:08d}.png" for step in (20, 40, 60)
    ]
    assert checkpoint_files.steps_in(workdir / "checkpoints") == [40, 50, 60]
    assert list(workdir.glob("events.out.tfevents.*"))


def test_killed_twice_and_resumed_ends_with_the_same_bytes(each, tmp_path):
    """The examples are kept in memory at first, and then on the device."""
    config = config_of(each)
    kill_at(20, tmp_path / "run", config)
    on_device = config, "--config.data.cache=device"
    kill_at(40, tmp_path / "run", *on_device)
    done = run("main", *on_device, f"--workdir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    assert "training from step" in done.stdout
    assert "data: the training examples are kept on the device" in done.stdout
    assert_same_run(each, tmp_path / "run")


def test_single_steps_and_sigterm_between_lines_give_the_same_bytes(
    undisturbed, tmp_path
):
    """The run is stopped between two lines, and the means continue where they were."""
    config = config_of(undisturbed)
    single = "--config.train.steps_per_call=1"
    # Below a name with brackets Orbax finds none of its own files.
    workdir = tmp_path / "run[1] *%20"
    code, output = run_until(signal.SIGTERM, 20, workdir, config, single)
    assert code == 143, output
    stopped = checkpoint_files.steps_in(workdir / "checkpoints")[-1]
    assert f"step {stopped} is saved" in output
    done = run("main", config, f"--workdir={workdir}")
    assert done.returncode == 0, done.stderr
    assert f"training from step {stopped}" in done.stdout
    assert_same_run(undisturbed, workdir)


def test_damaged_newest_checkpoint(undisturbed, tmp_path):
    config, workdir = config_of(undisturbed), tmp_path / "run"
    kill_at(50, workdir, config)
    newest = checkpoint_files.steps_in(workdir / "checkpoints")[-1]
    files = [p for p in (workdir / f"checkpoints/{newest}").rglob("*") if p.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 3] ^= 4
    largest.write_bytes(content)
    done = run("main", config, f"--workdir={workdir}")
    assert done.returncode == 0, done.stderr
    assert f"checkpoint {newest} is damaged" in done.stderr
    assert (workdir / "damaged" / str(newest)).is_dir()
    assert_same_run(undisturbed, workdir)


def test_sigint_exits_130_and_a_finished_run_goes_on(undisturbed, tmp_path):
    config, workdir = config_of(undisturbed), tmp_path / "run"
    shorter = "--config.train.num_steps=30"
    code, _ = run_until(signal.SIGINT, 10, workdir, config, shorter)
    assert code == 130
    assert run("main", config, shorter, f"--workdir={workdir}").returncode == 0
    boards = sorted(workdir.glob("events.out.tfevents.*"))
    again = run_in_process(main, config, shorter, f"--workdir={workdir}")
    assert again.returncode == 0
    assert sorted(workdir.glob("events.out.tfevents.*")) == boards
    assert "finished at step 30" in again.stdout
    assert run("main", config, f"--workdir={workdir}").returncode == 0
    assert lines(workdir) == lines(undisturbed / "run")
    assert final_bytes(workdir, LAST) == final_bytes(undisturbed / "run", LAST)


@pytest.mark.slow
@pytest.mark.parametrize("streams", [">/dev/full", "| true", "<&- >&- 2>&-"])
def test_lines_that_cannot_be_printed_do_not_end_training(
    streams, undisturbed, tmp_path
):
    arguments = config_of(undisturbed), f"--workdir={tmp_path / 'run'}"
    line = ["bash", "-c", f'"$@" {streams}', "bash", *command("main", *arguments)]
    assert subprocess.run(line, env=environment(arguments), check=False).returncode == 0
    assert_same_run(undisturbed, tmp_path / "run")


def test_training_goes_on_when_its_tensorboard_file_fails(tmp_path, capsys):
    """tensorboardX's thread ends then, and later calls would wait for it for ever."""
    values = {f"metric/{i}": 1.0 for i in range(1100)} | {"images_per_second": 1.0}
    writers = Writers(tmp_path, 0, 10_000)
    thread = find_thread("tensorboardX")
    board = writers._board
    board.file_writer.event_writer._event_queue.put(object())  # ends the thread
    thread.join()
    for step in (1, 2, 3):
        writers.metrics(step, values, 0.0)
    writers.picture(3, "samples", np.zeros((2, 2, 1), np.uint8))
    writers.close()
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 3
    out, err = capsys.readouterr()
    assert out.count("no more TensorBoard events") == 1
    assert err == ""


def test_the_last_line_is_below_the_progress_bar(tmp_path, monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(streams, "is_terminal", lambda stream: True)
    both = io.StringIO()
    with contextlib.redirect_stdout(both), contextlib.redirect_stderr(both):
        writers = Writers(tmp_path, 0, 10)
        writers.advance(10)
        writers.say("first")
        writers.say_last("done")
        writers.close()
    bar, text = both.getvalue().split("jaxgan: done")
    assert "jaxgan: first" in bar
    assert "10/10" in bar
    assert text == "\n"


def test_another_config_is_refused_with_a_table(undisturbed, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(undisturbed / "run", workdir)
    before = final_bytes(workdir, LAST), lines(workdir)
    done = run_in_process(
        main,
        config_of(undisturbed),
        f"--workdir={workdir}",
        "--config.data.batch_size=16",
        "--config.optimizer.critic.learning_rate=0.5",
    )
    assert done.returncode == 2
    assert done.stderr.startswith("jaxgan: error: ")
    assert done.stderr.count("\n") == 1
    assert "data.batch_size: stored 8, given 16" in done.stderr
    assert "optimizer.critic.learning_rate: stored" in done.stderr
    config_json = (workdir / "config.json").read_bytes()
    (workdir / "config.json").unlink()
    again = run_in_process(
        main,
        config_of(undisturbed),
        f"--workdir={workdir}",
        "--config.data.batch_size=16",
        "--config.optimizer.critic.learning_rate=0.5",
    )
    assert (again.returncode, again.stderr) == (2, done.stderr)
    (workdir / "config.json").write_bytes(config_json)
    fewer = run_in_process(
        main,
        config_of(undisturbed),
        f"--workdir={workdir}",
        "--config.train.num_steps=50",
    )
    assert fewer.returncode == 2
    assert "is at step 60 already" in fewer.stderr
    assert (final_bytes(workdir, LAST), lines(workdir)) == before


def test_other_data_than_the_run_was_trained_on_is_refused(undisturbed, monkeypatch):
    workdir = undisturbed / "run"
    before = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
    images, labels = embedded.digits()
    monkeypatch.setattr(embedded, "digits", lambda: (images[:-1], labels[:-1]))
    flags = config_of(undisturbed), f"--workdir={workdir}"
    done = run_in_process(main, *flags, "--config.train.num_steps=70")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "jaxgan: error: data.name = digits: not the data that the run was trained on "
        "(1,616 training examples, 1,617 before; 180 held-out examples, 180 before, "
        "but others); bring that data back, or go on with this by "
        "--allow_changed_data\n"
    )
    after = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
    assert after == before
    done = run_in_process(main, *flags)
    assert (done.returncode, "finished at step 60" in done.stdout) == (0, True)


def test_loss_that_is_not_finite(tmp_path):
    config = write_config(tmp_path)
    workdir = tmp_path / "run"
    shorter = "--config.train.num_steps=20"
    done = run_in_process(main, f"--config={config}", f"--workdir={workdir}", shorter)
    assert done.returncode == 0, done.stderr
    wild = tmp_path / "wild"
    done = run_in_process(
        main,
        f"--config={config}",
        f"--workdir={wild}",
        f"--config.train.init_from={workdir}",
        "--config.optimizer.critic.name=sgd",
        "--config.optimizer.critic.learning_rate=1e4",
    )
    assert done.returncode == 1
    assert done.stderr.startswith("jaxgan: error: training failed at step ")
    reason = (
        "likely because of optimizer.critic.learning_rate = 10000 (the recipes have"
    )
    assert f"is not finite, {reason}" in done.stderr
    assert done.stderr.count("\n") == 1
    assert checkpoint_files.steps_in(wild / "checkpoints") == []
    assert checkpoint_files.sound_step(workdir / "checkpoints") == 20


def test_warm_start_takes_the_networks_and_nothing_else(undisturbed, tmp_path):
    """At a learning rate of nearly 0, the networks stay those of the other run."""
    other = undisturbed / "run"
    done = run_in_process(
        main,
        config_of(undisturbed),
        f"--workdir={tmp_path / 'run'}",
        f"--config.train.init_from={other}",
        "--config.train.num_steps=5",
        "--config.optimizer.critic.learning_rate=1e-30",
        "--config.optimizer.generator.learning_rate=1e-30",
    )
    assert done.returncode == 0, done.stderr
    found, wanted = final_bytes(tmp_path / "run", 5), final_bytes(other, LAST)
    names = [name for name in wanted if "/params/" in name and "memory" not in name]
    assert names
    assert all(found[name] == wanted[name] for name in names)
    moments = "critic/opt_state/nu/"
    assert any(found[n] != wanted[n] for n in wanted if n.startswith(moments))


def feed_that_fails(after_calls):
    """Return a replacement for `latent_family.feed`, whose next batch is unreadable."""
    whole = latent_family.feed

    def feed(*arguments):
        found = whole(*arguments)

        def batches(calls):
            yield from itertools.islice(found.batches(calls), after_calls)
            raise UserError("x.png: not a readable image")

        return found._replace(batches=batches)

    return feed


@pytest.mark.parametrize("checkpoint_steps", [0, 15])
def test_an_image_that_cannot_be_read_loses_no_step(
    checkpoint_steps, tmp_path, monkeypatch
):
    """Nor is a step saved twice."""
    monkeypatch.setattr(latent_family, "feed", feed_that_fails(after_calls=3))
    workdir = tmp_path / "run"
    flags = (
        f"--workdir={workdir}",
        f"--config.train.checkpoint_steps={checkpoint_steps}",
    )
    done = run_in_process(main, f"--config={write_config(tmp_path)}", *flags)
    assert done.returncode == 2
    error = "jaxgan: error: x.png: not a readable image; step 15 is saved\n"
    assert done.stderr == error
    assert checkpoint_files.steps_in(workdir / "checkpoints") == [15]


def test_any_steps_per_call_and_odd_intervals_give_the_same_bytes(
    tmp_path, monkeypatch
):
    """Also where a run is resumed at a step that is due for nothing."""
    config = f"--config={write_config(tmp_path)}"
    sizes = {"num_steps": 22, "log_steps": 7, "sample_steps": 5, "checkpoint_steps": 0}

    def train_with(number, fails=False):
        sizes["steps_per_call"] = number
        flags = [f"--config.train.{name}={value}" for name, value in sizes.items()]
        with monkeypatch.context() as patch:
            if fails:
                patch.setattr(latent_family, "feed", feed_that_fails(after_calls=5))
            workdir = tmp_path / str(number)
            return run_in_process(main, config, f"--workdir={workdir}", *flags)

    assert train_with(10).returncode == 0
    assert train_with(1).returncode == 0
    assert train_with(3, fails=True).stderr.endswith("; step 9 is saved\n")
    again = train_with(3)
    assert again.returncode == 0, again.stderr
    assert "training from step 9" in again.stdout
    first, *others = [
        (final_bytes(path, 22), lines(path), pictures(path))
        for path in (tmp_path / number for number in ("10", "1", "3"))
    ]
    assert [row["step"] for row in first[1]] == [7, 14, 21, 22]
    assert list(first[2]) == [f"step_{n:08d}.png" for n in (5, 10, 15, 20, 22)]
    assert others == [first, first]


def test_a_line_is_written_while_the_device_takes_the_next_steps(tmp_path, monkeypatch):
    events = []
    whole = devices.compile_steps

    def compile_steps(*arguments):
        steps = whole(*arguments)

        def recorded(state, batch, key):
            events.append("call")
            return steps(state, batch, key)

        return recorded

    def record(name, event):
        method = getattr(Writers, name)

        def recorded(self, step, *arguments):
            events.append(f"{event} {step}")
            return method(self, step, *arguments)

        monkeypatch.setattr(Writers, name, recorded)

    save = Checkpoints.save

    def recorded_save(self, step, *arguments):
        events.append(f"checkpoint {step}")
        return save(self, step, *arguments)

    monkeypatch.setattr(devices, "compile_steps", compile_steps)
    monkeypatch.setattr(Checkpoints, "save", recorded_save)
    record("metrics", "line")
    record("picture", "picture")
    flags = "--config.train.num_steps=25", "--config.train.sample_steps=10"
    config = f"--config={write_config(tmp_path)}"
    done = run_in_process(main, config, f"--workdir={tmp_path / 'run'}", *flags)
    assert done.returncode == 0, done.stderr
    assert events == [
        "call", "call",
        "call", "line 10", "picture 10", "checkpoint 10", "call",
        "call", "line 20", "picture 20", "checkpoint 20",
        "line 25", "picture 25", "checkpoint 25",
    ]  # fmt: skip
    assert re.search(
        r"jaxgan: first 5 steps after \d+\.\d s \(compiling took \d+\.\d s\)\n",
        done.stdout,
    )


def test_a_loss_that_is_not_finite_is_found_with_its_step_and_not_saved(
    tmp_path, monkeypatch
):
    """Step 18 is computed with step 20, where a line and a checkpoint are due."""
    whole = devices.compile_steps

    def compile_steps(*arguments):
        steps = whole(*arguments)

        def broken(state, batch, key):
            first = int(state.step)
            state, metrics = steps(state, batch, key)
            losses = np.array(metrics["generator/loss"])
            losses[np.arange(first, first + len(losses)) == 17] = np.nan
            return state, metrics | {"generator/loss": losses}

        return broken

    monkeypatch.setattr(devices, "compile_steps", compile_steps)
    config, workdir = f"--config={write_config(tmp_path)}", tmp_path / "run"
    done = run_in_process(main, config, f"--workdir={workdir}")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "jaxgan: error: training failed at step 18: generator/loss is not finite"
    )
    assert "; the checkpoint of step 10 is kept in " in done.stderr
    assert checkpoint_files.steps_in(workdir / "checkpoints") == [10]
    assert [row["step"] for row in lines(workdir)] == [10]


def test_files_in_the_place_of_folders_are_told_before_training(tmp_path):
    config = f"--config={write_config(tmp_path)}"
    for name, words in {
        "samples": "is a file; must be a folder",
        "metrics.jsonl": "is a folder; must be a file",
    }.items():
        workdir = tmp_path / name
        (workdir / name).mkdir(parents=True)
        if name == "samples":
            (workdir / name).rmdir()
            (workdir / name).touch()
        done = run_in_process(main, config, f"--workdir={workdir}")
        assert done.returncode == 2
        assert done.stderr == f"jaxgan: error: {workdir / name}: {words}\n"
        assert [path.name for path in workdir.iterdir()] == [name]


def test_profile_writes_a_trace(tmp_path):
    config = write_config(tmp_path)
    # The third of three calls is the first to trace, and the last.
    shorter = "--config.train.num_steps=15"
    flags = f"--config={config}", f"--workdir={tmp_path}", "--profile", shorter
    done = run_in_process(main, *flags)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))
    assert list((tmp_path / "profile").rglob("perfetto_trace.json.gz"))


def test_means_do_not_depend_on_where_they_were_cut():
    values = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    whole = Means({}, {})
    whole.add({"x": values})
    cut = Means({}, {})
    cut.add({"x": values[:7]})
    stored = json.loads(json.dumps({"sums": cut.sums, "counts": cut.counts}))
    cut = Means(**stored)
    cut.add({"x": values[7:]})
    assert cut.take() == whole.take()
    assert cut.take() == {}
