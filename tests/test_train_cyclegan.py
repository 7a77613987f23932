"""A CycleGAN's run as users see it: scored, killed and resumed, with its pools."""

import json

import pytest
from helpers.runs import (
    LAST,
    assert_same_run,
    config_of,
    final_bytes,
    kill_at,
    lines,
    run,
    write_config,
)

from jaxgan import evaluate, sample

METRICS = {
    *("critic/a", "critic/b", "critic/loss", "generator/loss"),
    *("generator/cycle_a", "generator/cycle_b"),
    *("generator/identity_a", "generator/identity_b"),
    *("generator/adversarial_a2b", "generator/adversarial_b2a"),
    *("heldout/psnr_a2b", "heldout/psnr_identity_a2b"),
    *("heldout/psnr_b2a", "heldout/psnr_identity_b2a"),
    *("learning_rate/generator", "learning_rate/critic"),
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """One uninterrupted run."""
    folder = tmp_path_factory.mktemp("cyclegan")
    path = write_config(folder, "cyclegan")
    done = run("main", f"--config={path}", f"--workdir={folder / 'run'}")
    assert done.returncode == 0, done.stderr
    return folder


def test_metrics_of_a_run(undisturbed):
    rows = lines(undisturbed / "run")
    assert [row["step"] for row in rows] == [10, 20, 30, 40, 50, 60]
    for row in rows:
        assert set(row) == METRICS | {"step"}
    assert rows[-1]["generator/cycle_a"] < rows[0]["generator/cycle_a"]


def test_a_cyclegans_score_is_that_of_its_last_line(undisturbed, capsys):
    workdir = undisturbed / "run"
    assert evaluate.main([f"--workdir={workdir}"]) == 0
    assert "psnr_identity_a2b" in capsys.readouterr().out
    row = json.loads((workdir / "evaluation.jsonl").read_text())
    last = lines(workdir)[-1]
    for name in ("psnr_a2b", "psnr_b2a", "psnr_identity_a2b", "psnr_identity_b2a"):
        assert row[name] == pytest.approx(last[f"heldout/{name}"], abs=1e-3)
    assert row["psnr_images"] == 16
    assert (row["step"], row["weights"]) == (LAST, "EMA")
    assert evaluate.main([f"--workdir={workdir}", "--metrics=wasserstein"]) == 2
    assert "not for cyclegan on day_night; valid: psnr" in capsys.readouterr().err
    assert sample.main([f"--workdir={workdir}"]) == 2
    assert "python -m jaxgan.translate" in capsys.readouterr().err


def test_killed_and_resumed_ends_with_the_same_bytes(undisturbed, tmp_path):
    config = config_of(undisturbed)
    kill_at(30, tmp_path / "run", config, "--config.data.cache=device")
    done = run("main", config, f"--workdir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    assert "training from step" in done.stdout
    assert "on the device" not in done.stdout
    assert_same_run(undisturbed, tmp_path / "run")
    arrays = final_bytes(tmp_path / "run", LAST)
    for domain in ("a", "b"):  # the pools are among them, and full
        assert f"memory/pool/{domain}/images" in arrays
        count = arrays[f"memory/pool/{domain}/count"]
        assert int.from_bytes(count, "little") == 10
