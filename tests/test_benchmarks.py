"""The arithmetic of the benchmarks; their timings are no test's business."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxgan.experiment import build

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
    build(config)


@pytest.mark.parity
def test_torch_side_is_the_authors_cyclegan():
    torch = pytest.importorskip("torch")
    module, model = load("cyclegan_step"), load("cyclegan_torch")
    # docs/papers.md, "CycleGAN: ResNet generator"
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


def small(gan, **generator):
    """Return the default config of a GAN with other options of its generator."""
    module = load("communication")
    config = module["config_of"](module["Recipe"](gan, "", (), 1))
    config.generator.update(generator)
    return config


@pytest.fixture
def quickly_compiled(plain_convolutions):
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.usefixtures("quickly_compiled")
def test_what_wgan_gp_communicates():
    module = load("communication")
    config = small("wgan_gp", hidden=(8,))
    config.critic.hidden = (4,)
    sent = module["count"](config, (4, 4, 1), 2)
    generator, critic = 64 * 8 + 8 + 8 * 16 + 16, 16 * 4 + 4 + 4 + 1
    assert sent["parameters"] == [generator, critic]
    assert sent["bytes"] == {
        "gradients": 4 * (5 * critic + generator),
        "batch_norm": 0,
        # Loss, distance, penalty and gradient norm of the critic, the generator's loss
        "metrics": 4 * (5 * 4 + 1),
        "pool": 0,
    }
    assert sent["compiled"] == sum(sent["bytes"].values())
    assert (sent["reduces"], sent["gathers"]) == (6, 0)


@pytest.mark.usefixtures("quickly_compiled")
def test_what_wgan_communicates_for_batch_norm():
    module = load("communication")
    config = small("wgan")
    config.generator = {"name": "dcgan_5x5", "width": 2, "norm": "batch"}
    config.generator.output = "tanh"
    config.critic.hidden = (4,)
    sent = module["count"](config, (8, 8, 1), 1)
    # BatchNorm of 16 channels on 4x4 pixels' inputs and of 2 channels on 8x8.
    statistics = 2 * (16 + 2)
    assert sent["bytes"]["batch_norm"] == 4 * statistics * (5 + 2)
    assert sent["bytes"]["metrics"] == 4 * (5 * 2 + 1)
    # The gradient of the critic's last bias is 0 and, so XLA, need be summed once.
    assert sent["compiled"] == sum(sent["bytes"].values()) - 4 * 4
    assert sent["reduces"] == 5 * (2 + 1) + 2 + 2 + 1


@pytest.mark.usefixtures("quickly_compiled")
def test_what_cyclegan_communicates():
    module = load("communication")
    config = small("cyclegan", name="resnet_1blocks", width=1)
    config.critic.update(name="pixel", width=1)
    sent = module["count"](config, (8, 8, 3), 2)
    assert sent["bytes"]["gradients"] == 4 * sum(sent["parameters"])
    assert sent["bytes"]["batch_norm"] == 0
    # Both domains: images of 8 devices.
    assert sent["bytes"]["pool"] == 2 * 16 * 4 * 192
    assert sent["compiled"] == sum(sent["bytes"].values())
    assert (sent["reduces"], sent["gathers"]) == (1, 2)


def test_time_of_a_ring_and_the_batch_that_hides_it():
    module = load("communication")
    link = module["Link"](bandwidth=1e9, latency=1e-6, peak=1e12)
    sent = {"reduced": 4e6, "reduces": 3, "gathers": 2, "pool_per_example": 0.0}
    # 2 x 3 steps of 3 + 2 / 2 operations, and 2 x 3 / 4 of 4 MB.
    assert module["seconds"](link, 4, sent, 1) == pytest.approx(24e-6 + 6e-3)
    sent |= {"flop_per_example": 1e9}  # 2.5 ms
    assert module["hiding_batch"](link, 4, sent) == pytest.approx(6.024 / 2.5)
    sent |= {"pool_per_example": 1e6}  # 3 MB from the others: 3 ms
    assert module["seconds"](link, 4, sent, 2) == pytest.approx(24e-6 + 12e-3)
    assert module["hiding_batch"](link, 4, sent) == float("inf")


def test_collectives_of_a_loop_are_counted_as_often_as_it_runs():
    text = """
%body (p: f32[]) -> f32[] {
  %x = (f32[2,3]{1,0}, f32[]) all-reduce(%a, %b), to_apply=%add
}
%add (p: f32[]) -> f32[] {
}
ENTRY %main (p: f32[]) -> f32[] {
  %w = f32[] while(%p), body=%body, backend_config={"known_trip_count":{"n":"5"}}
  %y = u8[7]{0} all-gather(%p), dimensions={0}
}
"""
    module = load("collectives")
    found = module["compiled"](text)
    assert found == [("all-reduce", 28, 5, ""), ("all-gather", 7, 1, "")]
    assert module["total"](found) == 147


def test_flop_of_a_step_are_those_of_all_critic_steps():
    module = load("communication")
    config = small("wgan", hidden=(512,))
    config.critic.hidden = (512,)
    flop = module["flop_per_example"](config, (8, 8, 1), 64)
    # Multiplications of a critic step: G, then D forward and its weights' gradients
    # twice, the first layer's inputs having none; of a generator step: G and D forward,
    # the gradients of both but of G's inputs and D's weights.
    layer = 2 * 64 * 512
    critic = 2 * layer + 2 * (2 * layer)
    generator = 2 * layer + layer + (3 * layer + layer)
    assert flop == pytest.approx(5 * critic + generator, rel=0.1)


def test_rows_of_weak_scaling():
    times = {(1, 1): 2.0, (2, 2): 5.0, (1, 2): 4.0, (8, 8): 20.0, (1, 8): 16.0}
    one, two, eight = load("weak_scaling")["rows"]("cyclegan", times)
    assert (one["relative"], one["split"]) == (1, 1)
    assert (two["images"], two["relative"], two["split"]) == (2, 0.8, 1.25)
    assert (eight["ms"], eight["relative"], eight["split"]) == (20, 0.8, 1.25)
