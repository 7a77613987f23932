"""The arithmetic of the benchmarks; their timings are no test's business."""

import functools
import json
import math
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path

import flax.linen as nn
import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.experiment import build

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


sys.path.insert(0, str(BENCHMARKS))  # as running one of them does


def import_torch():
    """Return PyTorch with one thread, whose threads fight with other processes'."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    return torch


def load(name):
    return runpy.run_path(str(BENCHMARKS / f"{name}.py"))


def config_of(name, small=True):
    module = load("cases")
    case = module["small"](name) if small else module["CASES"][name]
    return module["config_of"](case, "float32")


def test_summary_of_the_blocks():
    times = {"jaxgan": [2.0, 4.0, 3.0], "eager": [6.0, 5.0, 8.0]}
    result = load("side_by_side")["summary"](times)
    assert result["jaxgan"]["ms"] == 3.0
    assert result["jaxgan"]["ms_10"] == pytest.approx(2.2)
    assert result["eager"]["ms"] == 6.0
    assert result["eager"]["ratio"] == 0.5
    # Percentiles of the ratios 1/3, 3/8 and 4/5, interpolated linearly.
    low, high = result["eager"]["ratio_10"], result["eager"]["ratio_90"]
    assert low == pytest.approx(1 / 3 + 0.2 * (3 / 8 - 1 / 3))
    assert high == pytest.approx(3 / 8 + 0.8 * (4 / 5 - 3 / 8))


def test_layers_are_those_of_the_networks_and_count_their_multiplications():
    module = load("network_layers")
    case = load("cases")["cyclegan"](32, 36, 6, 8, 2)
    layers = module["find_layers"](case, "bfloat16")
    found = {str(layer): (layer, passes) for layer, passes in layers.items()}
    block, passes = found["2x10x10 3x3, 32 to 32, stride 1"]
    assert passes == 6 * 12  # two convolutions in each of six blocks
    assert block.dtype == "bfloat16"
    assert block.flops() == 2 * 2 * 8 * 8 * 3 * 3 * 32 * 32
    doubled, passes = found["2x8x8 3x3, 32 to 16, transposed"]
    assert passes == 6
    assert doubled.flops() == 2 * 2 * 8 * 8 * 3 * 3 * 32 * 16
    last, _ = found["2x38x38 7x7, 8 to 3, stride 1"]
    assert last.dtype == "float32"  # as in the network
    rng = np.random.default_rng(0)
    x, kernel = (rng.normal(size=o.shape).astype("f4") for o in last.operands())
    forms = last.forms()
    assert set(forms) == {
        "plain", "padded", "columns", "taps", "outputs 2x2", "outputs 4x4"
    }  # fmt: skip
    for form in forms.values():
        np.testing.assert_allclose(
            form(x, kernel), last.package(x, kernel), rtol=0, atol=1e-3
        )


def test_sides_take_turns_and_none_is_always_the_first():
    module, order = load("side_by_side"), []

    def side(name, steps_per_call):
        def run_call(batch):
            order.append(name)
            return batch

        return module["Side"](lambda: 1, run_call, lambda result: None, steps_per_call)

    sides = {"jaxgan": side("jaxgan", 2), "eager": side("eager", 1)}
    times = module["time_blocks"](sides, 2, 3)
    # Three iterations are two calls of two steps.
    assert order == ["jaxgan"] * 2 + ["eager"] * 6 + ["jaxgan"] * 2
    assert {name: len(each) for name, each in times.items()} == dict.fromkeys(sides, 2)


@pytest.mark.parametrize(
    ("ms", "asked", "chosen"),
    [
        ((1.0, 29.0), (0, 0), (7, 300)),  # 0.3 s of the faster; 63 s in 7 blocks
        ((10.0, 10.0), (0, 0), (15, 30)),
        ((30e3, 30e3), (0, 0), (3, 1)),  # at least three blocks, whatever they take
        ((1.0, 1.0), (2, 5), (2, 5)),
    ],
)
def test_blocks_fit_into_the_time_that_is_given(ms, asked, chosen):
    choose = load("side_by_side")["choose_blocks"]
    assert choose(dict(zip(("jaxgan", "eager"), ms, strict=True)), 60, *asked) == chosen


def step_gflop(name):
    config = config_of(name, small=False)
    return load("flops")["step"](config, load("cases")["networks_of"](config)) / 1e9


def test_flop_of_the_tutorials_step():
    generator = [100 * 128, 128 * 256, 256 * 784]
    critic = [784 * 256, 256 * 128, 128]
    g, d = 2 * sum(generator), 2 * sum(critic)
    critic_step = g + 2 * (3 * d - 2 * critic[0]) + 4 * d
    expected = 64 * (5 * critic_step + 3 * g - 2 * generator[0] + 2 * d)
    assert step_gflop("mlp") == pytest.approx(expected / 1e9)


def test_flop_of_horse2zebra():
    # Pixels of the outputs, taps, channels in and out; of the transposed convolutions
    # the pixels of the inputs (docs/papers.md, "CycleGAN: ResNet generator").
    generator = [(256**2, 49, 3, 64), (128**2, 9, 64, 128), (64**2, 9, 128, 256)]
    generator += [(64**2, 9, 256, 256)] * 18
    generator += [(64**2, 9, 256, 128), (128**2, 9, 128, 64), (256**2, 49, 64, 3)]
    critic = [(128**2, 16, 3, 64), (64**2, 16, 64, 128), (32**2, 16, 128, 256)]
    critic += [(31**2, 16, 256, 512), (30**2, 16, 512, 1)]
    g, d = (2 * sum(map(math.prod, layers)) for layers in (generator, critic))
    g_1, d_1 = 2 * math.prod(generator[0]), 2 * math.prod(critic[0])
    # Six passes with all gradients but four of the first layer; two passes of fakes
    # through a critic and back to them; four passes of the critics' turn.
    expected = 18 * g - 4 * g_1 + 4 * d + 4 * (3 * d - d_1)
    # The critic's fourth layer has 31 x 31 outputs for 32 x 32 inputs.
    assert step_gflop("cyclegan256") == pytest.approx(expected / 1e9)
    assert step_gflop("cyclegan256") == pytest.approx(1880, abs=5)  # docs/scaling.md
    assert step_gflop("cyclegan256_batch8") == 8 * step_gflop("cyclegan256")


def xla_flop(config, shape, batch):
    """Return the FLOP that XLA counts in a step of a network without convolutions."""
    gan = build(config).gan(shape)
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(gan.init, key)
    zeros = load("communication")["zeros"](config, shape, batch)
    data = {name: leaf[0] for name, leaf in zeros.items()}
    # XLA counts the body of a loop once, so the critic's loop is unrolled.
    with jax.disable_jit():
        jaxpr = jax.make_jaxpr(gan.train_step)(state, data, key)
    flat = jax.jit(jax.extend.core.jaxpr_as_fun(jaxpr))
    return flat.lower(*jax.tree.leaves((state, data, key))).cost_analysis()["flops"]


def test_flop_agree_with_xlas_count():
    # XLA counts element-wise work as well, which is little in wide layers.
    config = config_of("mlp", small=False)
    config.generator.hidden = config.critic.hidden = (512, 512)
    config.gan.n_critic = 2
    flop = load("communication")["flop_per_example"](config, (28, 28, 1))
    assert xla_flop(config, (28, 28, 1), 64) / 64 == pytest.approx(flop, rel=0.02)


def test_own_times_leave_out_what_is_nested():
    kernels = load("kernels")
    events = [("while", 0, 10), ("dot", 1, 4), ("add", 4, 5), ("dot", 12, 13)]
    times = kernels["own_times"](kernels["Event"](*each) for each in events)
    assert times == {"while": 6, "dot": 4, "add": 1}
    most = kernels["largest"](times, Counter(while_=1, dot=2), 2, most=1)
    assert most == [("while", 3.0, 0.0, 6 / 11)]


def fake_row():
    side = {"ms": 100.0, "ms_10": 90.0, "ms_90": 120.0, "first_step": 12.0}
    side |= {"tflops": 0.05, "of_matrix_rate": 0.5, "memory": None}
    peer = side | {"ratio": 0.8, "ratio_10": 0.7, "ratio_90": 0.9}
    return {
        "case": "mlp",
        "precision": "float32",
        "sides": {"jaxgan": side | {"host_share": 0.01}, "eager": peer},
    }


def test_lines_of_the_table():
    run, row = load("run"), fake_row()
    ours, theirs = run["lines"](row)
    assert ours == (
        "| mlp, float32 | jaxgan | 100 (90 to 120) |  | 0.05 | 50% |  | 12.0 | 1.0% |"
    )
    assert "| PyTorch eager | 100 (90 to 120) | 0.80 (0.70 to 0.90) |" in theirs
    assert run["HEADER"].splitlines()[0].count("|") == ours.count("|")
    assert ours.count("|") == theirs.count("|")
    found = {"memory": 0.25, "first_step": 3.0}
    run["add_memory"](row, {"cold": "failed", "jaxgan": found, "eager": "failed"})
    assert "| 0.25 | 12.0; warm 3.0 |" in run["lines"](row)[0]
    assert run["lines"](row)[1] == theirs


def test_run_refuses_what_it_does_not_know():
    for flag in ("mpl", "--dtype=float16", "--peers=script"):
        command = [sys.executable, BENCHMARKS / "run.py", flag]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        assert flag.rpartition("=")[2] in done.stderr
        assert "must be" in done.stderr


def test_times_of_whole_runs():
    loop = load("whole_loop")
    lines = [
        {"step": step, "seconds": s} for step, s in ((50, 30), (100, 31), (200, 35))
    ]
    assert loop["step_ms"](lines) == 30.0  # of 20 and 40
    assert loop["first_step"]("first 10 steps after 12.5 s (compiling") == 12.5
    assert loop["first_step"]("first step after 3.0 s") == 3.0
    assert loop["first_step"]("step 1: 3.0 s") is None


@pytest.mark.parametrize("name", ["mlp", "dcgan64", "cifar_resnet", "cyclegan256"])
@pytest.mark.parity
def test_peers_have_as_many_parameters(name):
    torch = import_torch()
    config = config_of(name, small=False)
    networks = load("cases")["networks_of"](config)
    with torch.device("meta"):
        if name == "cyclegan256":
            cyclegan = load("torch_cyclegan")
            peers = cyclegan["generator"](9, 64), cyclegan["critic"](64)
        else:
            peers = load("torch_wgan")["NETWORKS"][config.generator.name](config)
    theirs = [sum(p.numel() for p in network.parameters()) for network in peers]
    images = jnp.zeros((2, *networks.shape))
    latents = images if "cyclegan" in name else jnp.zeros((2, networks.latent_size))
    ours = []
    for module, inputs in ((networks.generator, latents), (networks.critic, images)):
        init = functools.partial(module.init, train=True)
        shapes = jax.eval_shape(init, jax.random.key(0), inputs)
        sizes = (leaf.size for leaf in jax.tree.leaves(shapes["params"]))
        ours.append(sum(sizes))
    assert theirs == ours


def layers_in_order(module, inputs):
    """Return a module's outputs for random arrays, and its layers' as they are called.

    The layers are [(name of the class, {array: value}), ...].
    """
    paths = []

    def note(call, args, options, context):
        outputs = call(*args, **options)
        params = context.module.variables.get("params", {})
        named = type(context.module).__name__, context.module.path
        # BatchNorm calls its parent class, which is the same layer.
        if {"kernel", "scale"} & set(params) and named not in paths:
            paths.append(named)
        return outputs

    with nn.intercept_methods(note):
        init = functools.partial(module.init, train=True)
        shapes = jax.eval_shape(init, jax.random.key(0), *inputs)
    rng = np.random.default_rng(1)

    def draw(leaf):
        return (rng.normal(size=leaf.shape) / math.sqrt(leaf.size)).astype(np.float32)

    variables = jax.tree.map(draw, shapes)
    apply = functools.partial(module.apply, train=True, mutable=["batch_stats"])
    outputs, _ = jax.jit(apply)(variables, *inputs)
    return np.asarray(outputs), [
        (kind, functools.reduce(lambda tree, key: tree[key], path, variables["params"]))
        for kind, path in paths
    ]


def copy_layer(name, params, layer, torch):
    """Copy a Linen layer's arrays into a PyTorch layer, whatever its form."""
    arrays = {key: np.asarray(value) for key, value in params.items()}
    weight, shape = arrays.get("scale", arrays.get("kernel")), layer.weight.shape
    if weight.ndim == 4 and name == "ConvTranspose":
        weight = weight[::-1, ::-1].transpose(2, 3, 0, 1)
    elif weight.ndim == 4:
        weight = weight.transpose(3, 2, 0, 1)
    elif len(shape) == 4:  # a linear layer from or to maps of 4x4
        if shape[0] == len(weight):
            weight = weight.reshape(-1, 4, 4, shape[1]).transpose(0, 3, 1, 2)
        else:
            weight = weight.reshape(4, 4, shape[1]).transpose(2, 0, 1)[None]
    elif weight.ndim == 2:
        weight = weight.T
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight.copy()))
        if "bias" in arrays:
            layer.bias.copy_(torch.from_numpy(arrays["bias"].copy()))


@pytest.mark.usefixtures("plain_convolutions")
@pytest.mark.parametrize("player", ["generator", "critic"])
@pytest.mark.parametrize("name", ["mlp", "dcgan64", "cifar_resnet"])
@pytest.mark.parity
def test_peers_compute_the_same(name, player):
    torch = import_torch()
    config = config_of(name)
    networks = load("cases")["networks_of"](config)
    peers = load("torch_wgan")["NETWORKS"][config.generator.name](config)
    rng = np.random.default_rng(0)
    if player == "generator":
        inputs = rng.normal(size=(3, networks.latent_size)).astype(np.float32)
        arguments, peer = (inputs, np.zeros(3, np.int32)), peers[0]
        theirs_in = inputs
    else:
        inputs = rng.uniform(-1, 1, (3, *networks.shape)).astype(np.float32)
        arguments, peer = (inputs,), peers[1]
        theirs_in = inputs.transpose(0, 3, 1, 2)
    ours, found = layers_in_order(getattr(networks, player), arguments)
    called, hooks = [], []
    for layer in peer.modules():
        if getattr(layer, "weight", None) is not None:
            hook = layer.register_forward_hook(lambda layer, *_: called.append(layer))
            hooks.append(hook)
    example = torch.from_numpy(theirs_in.copy())
    with torch.no_grad():
        peer(example)
        for hook in hooks:
            hook.remove()
        for (kind, params), layer in zip(found, called, strict=True):
            copy_layer(kind, params, layer, torch)
        if (name, player) == ("cifar_resnet", "generator"):
            # Ours reshapes the first layer's outputs to [4, 4, width].
            first = called[0]
            for array in (first.weight, first.bias):
                rows = array.unflatten(0, (16, -1)).transpose(0, 1).flatten(0, 1)
                array.copy_(rows.clone())
        theirs = peer(example).numpy()
    if player == "generator":
        theirs = theirs.transpose(0, 2, 3, 1)
    np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=2e-5)


@pytest.mark.parity
def test_peers_penalty_takes_one_norm_an_example():
    torch = import_torch()
    # A linear critic: its gradient is w for every example, and the norm one each.
    critic = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1))
    torch.nn.init.constant_(critic[1].weight, 2.0)
    images = torch.zeros(3, 1, 2, 2), torch.ones(3, 1, 2, 2)
    penalty = load("torch_wgan")["gradient_penalty"](critic, *images)
    assert penalty.item() == pytest.approx(9.0)


@pytest.mark.parity
def test_peers_cyclegan_is_the_authors():
    torch = import_torch()
    model, config = load("torch_cyclegan"), config_of("cyclegan64")
    options = load("torch_options")["Options"](torch.device("cpu"))
    gan = model["CycleGAN"](config, options)
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


@pytest.mark.parametrize("name", load("cases")["CASES"])
def test_cases_have_the_recipes_batches(name):
    module = load("cases")
    case, config = module["small"](name), config_of(name)
    experiment = build(config)
    images = module["make_images"](config, case.count)
    feed = experiment.feed(module["make_data"](config, images))
    batch = next(iter(feed.batches([range(experiment.steps_per_call)])))
    n_critic = config.gan.get("n_critic", 1)
    sizes = experiment.steps_per_call, n_critic, config.data.batch_size
    assert {leaf.shape[:3] for leaf in batch.values()} == {sizes}
    whole = config_of(name, small=False)
    assert build(whole).batch_size == {"cyclegan64": 4, "cyclegan256_batch8": 8}.get(
        name, 1 if "cyclegan" in name else 64
    )


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["mlp", "dcgan64", "cifar_resnet", "cyclegan64"])
@pytest.mark.parity
def test_peers_take_a_step(name, precision):
    torch = import_torch()
    module = load("cases")
    case = module["small"](name)
    config = module["config_of"](case, precision)
    images = module["make_images"](config, case.count)
    side = load("torch_peers")["peer_side"]("eager", config, images, threads=1)
    batch = side.make_batch()
    shape, size = (torch.stack(list(batch)).shape, config.data.batch_size)
    assert shape[:2] == (2 if "cyclegan" in name else 5, size)
    assert math.isfinite(side.run_call(batch).item())


@pytest.mark.slow
@pytest.mark.parametrize("name", load("cases")["CASES"])
def test_each_case_is_measured(name, tmp_path):
    import_torch()
    path = tmp_path / "rows.json"
    command = [sys.executable, BENCHMARKS / "run.py", name, "--smoke", "--profile"]
    command += ["--blocks=1", "--iterations=1", "--threads=1", f"--json={path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(path.read_text())
    assert set(row["sides"]) == {"jaxgan", "eager"}
    assert all(side["ms"] > 0 for side in row["sides"].values())
    assert len(row["profiles"]["jaxgan"]) == 10
    assert f"| {name}, float32 | PyTorch eager |" in done.stdout


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
    # Gradients of five critic steps and of one generator step. Moments of two layers in
    # three passes: of the fakes for all critic steps at once, and of the generator's
    # step, forward and back; XLA joins the first of the fakes' with a later one.
    assert sent["reduces"] == 5 + 1 + 2 * 3 - 1


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


def test_time_of_a_step_on_several_devices():
    module = load("links")
    link = module["Link"](bandwidth=1e9, latency=1e-6, peak=1e12)
    sent = {"reduced": 4e6, "reduces": 3, "gathers": 2, "pool_per_example": 0.0}
    one = module["Measured"]("float32", 2, 50.0)
    assert module["step_ms"](link, 1, sent, one) == 50
    assert module["step_ms"](link, 4, sent, one) == pytest.approx(50 + 6.024)
    # 25 ms an example; 6.024 ms are a tenth of 60.24, of which computing is 54.216.
    hidden = module["hiding_batch"](link, 4, sent, 0.025, share=0.1)
    assert hidden == pytest.approx(54.216 / 25)


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
    flop = module["flop_per_example"](config, (8, 8, 1))
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
