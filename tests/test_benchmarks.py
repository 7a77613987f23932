"""The arithmetic of the benchmarks; their timings are no test's business."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxgan import checks

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


sys.path.insert(0, str(BENCHMARKS))  # as running one of them does


def load(name):
    return runpy.run_path(str(BENCHMARKS / f"{name}.py"))


def test_summary_of_step_times():
    result = load("side_by_side")["summary"]([2.0, 4.0, 3.0], [6.0, 5.0, 8.0], 0.15)
    assert result["jaxgan_ms"] == 3.0
    assert result["torch_ms"] == 6.0
    assert result["ratio"] == 0.5
    assert result["pipeline_share"] == pytest.approx(0.05)
    # Percentiles of the ratios 1/3, 3/8 and 4/5, interpolated linearly.
    assert result["ratio_10_percent"] == pytest.approx(1 / 3 + 0.2 * (3 / 8 - 1 / 3))
    assert result["ratio_90_percent"] == pytest.approx(3 / 8 + 0.8 * (4 / 5 - 3 / 8))


@pytest.mark.parity
def test_torch_side_is_the_tutorials_wgan_gp():
    torch = pytest.importorskip("torch")
    module = load("wgan_gp_step")
    counts = [
        sum(p.numel() for p in n.parameters()) for n in module["torch_networks"]()
    ]
    assert counts == [247_440, 233_985]
    # A linear critic: its gradient is w for every example, and the norm one each.
    critic = torch.nn.Linear(4, 1)
    torch.nn.init.constant_(critic.weight, 2.0)
    penalty = module["torch_penalty"](critic, torch.zeros(3, 4), torch.ones(3, 4))
    assert penalty.item() == pytest.approx(9.0)
    images = np.random.default_rng(0).integers(0, 256, (640, 28, 28, 1), np.uint8)
    side = module["torch_side"](images, torch.get_num_threads())
    batch = side.make_batch()
    assert batch.shape == (5, 64, 784)
    assert batch.dtype == torch.uint8
    assert np.isfinite(side.run_call(batch).item())


def tiny(module):
    return module["Recipe"](resize=36, size=32, blocks=1, width=2, batch=2)


def test_cyclegans_side_is_the_papers_recipe_at_its_size():
    module = load("cyclegan_step")
    recipe = tiny(module)
    config = module["jaxgan_config"](recipe)
    assert (config.generator.name, config.generator.width) == ("resnet_1blocks", 2)
    assert (config.critic.width, config.critic.num_layers) == (2, 3)
    assert (config.gan.adversarial, config.gan.pool_size) == ("lsgan", 50)
    assert (config.gan.identity_weight, config.data.batch_size) == (0.5, 2)
    checks.check(config)


@pytest.mark.parity
def test_torch_side_is_the_authors_cyclegan():
    torch = pytest.importorskip("torch")
    module, model = load("cyclegan_step"), load("cyclegan_torch")
    # spec/cyclegan.md 1.3 and 1.5
    with torch.device("meta"):
        networks = [model["generator"](9, 64), model["generator"](6, 64)]
        networks.append(model["critic"](64))
        scores = networks[2](torch.zeros(1, 3, 256, 256))
    counts = [sum(p.numel() for p in network.parameters()) for network in networks]
    assert counts == [11_378_179, 7_837_699, 2_764_737]
    assert scores.shape == (1, 1, 30, 30)

    recipe = tiny(module)
    side = module["torch_side"](recipe, module["make_images"](recipe), 1)
    batch = side.make_batch()
    assert [(x.shape, x.dtype) for x in batch] == [((2, 3, 32, 32), torch.uint8)] * 2
    assert np.isfinite(side.run_call(batch).item())

    gan = model["CycleGAN"](recipe.blocks, recipe.width)
    with torch.no_grad():
        for network in (gan.G_A, gan.G_B, gan.D_A, gan.D_B):
            for parameter in network.parameters():
                parameter.zero_()
    # Every output is 0.
    a, b = torch.rand(2, 2, 3, 32, 32)
    loss, fake_a, _ = gan.generator_loss(a, b)
    expected = 2 + 10 * 1.5 * (a.mean() + b.mean())
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert model["critic_loss"](gan.D_A, b, fake_a).item() == 0.5


def test_memory_is_that_of_the_command():
    program = "import sys; x = bytearray(300_000_000); sys.exit(3)"
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "memory.py", "--", sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 3
    text, gigabytes, unit = done.stdout.strip().rsplit(" ", 2)
    assert (text, unit) == ("peak resident memory:", "GB")
    assert 0.3 < float(gigabytes) < 0.4


def test_curves_skip_the_lines_without_the_metric(tmp_path):
    rows = [
        {"step": 100, "critic/wasserstein": 2.0},
        {"step": 200, "critic/wasserstein": 1.5, "heldout/wasserstein": 1.75},
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "metrics.jsonl").write_text(lines)
    read = load("curves")["read_curve"]
    assert read(tmp_path, "critic/wasserstein") == ([100, 200], [2.0, 1.5])
    assert read(tmp_path, "heldout/wasserstein") == ([200], [1.75])
