"""The networks: golden sizes, initialisation, normalisation, independence, errors."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.variables import draw_variables

from jaxgan.errors import UserError
from jaxgan.models import latent, layers
from jaxgan.models.convolutions import strided
from jaxgan.models.latent import mlp

FAST_KEY = jax.random.key(0, impl="unsafe_rbg")
# Of LLVM; half the time of compilation.
QUICK = {"xla_backend_optimization_level": 0}

DCGAN = {"width": 64, "batch_norm": True, "extra_layers": 0}
MLP_512 = {"hidden": (512,) * 3, "activation": "relu"}
TOY = {**MLP_512, "initializer": "he_uniform"}
KERAS_G = {
    "hidden": (128, 256, 512),
    "activation": "leaky_relu",
    "output": "tanh",
    "initializer": "glorot_uniform",
}
KERAS_D = {
    "hidden": (512, 256),
    "activation": "leaky_relu",
    "initializer": "glorot_uniform",
}
TORCH_G = {
    "hidden": (128, 256),
    "activation": "relu",
    "output": "tanh",
    "initializer": "torch",
}
TORCH_D = {"hidden": (256, 128), "activation": "leaky_relu", "initializer": "torch"}


def drawn_params(network, *inputs, only=None):
    """Return initial parameters, or those of the layers and blocks in `only`.

    Key and jit are the ones that compile fastest; what is not returned is not compiled.
    """

    def init(key):
        params = network.init(key, *inputs, train=True)["params"]
        return {name: params[name] for name in only or params}

    return jax.jit(init, compiler_options=QUICK)(FAST_KEY)


def shapes_of(network, *inputs):
    init = functools.partial(network.init, train=True)
    return jax.eval_shape(init, jax.random.key(0), *inputs)


def variables_of(network, *inputs):
    return draw_variables(shapes_of(network, *inputs))


def size(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def latents(batch=2, length=6):
    return jnp.asarray(np.random.default_rng(0).normal(size=(batch, length)), "f4")


def images(shape, batch=2):
    rng = np.random.default_rng(1)
    return jnp.asarray(rng.uniform(-1, 1, size=(batch, *shape)), "f4")


# Numbers of parameters. Name, options, shape, classes, number of latents for a
# generator, parameters.
GOLDEN_GENERATORS = [
    # docs/papers.md, "CIFAR-10 ResNet", then
    # docs/papers.md, "64x64 networks", and
    # docs/papers.md, "DCGANs of the WGAN-GP code"
    ("resnet32", {"width": 128}, (32, 32, 3), 0, 128, 1_204_483),
    ("resnet32", {"width": 128}, (32, 32, 3), 10, 128, 1_218_307),
    ("resnet64", {"width": 64}, (64, 64, 3), 0, 128, 8_540_483),
    (
        "dcgan_5x5",
        {"width": 64, "norm": "batch", "output": "tanh"},
        (64, 64, 3),
        0,
        128,
        5_364_739,
    ),
    (
        "dcgan_5x5",
        {"width": 64, "norm": "none", "output": "sigmoid"},
        (28, 28, 1),
        0,
        128,
        1_554_177,
    ),
    (
        "dcgan_5x5",
        {"width": 128, "norm": "batch", "output": "tanh"},
        (32, 32, 3),
        0,
        128,
        5_179_907,
    ),
    # docs/papers.md, "Toy networks"
    ("mlp", {**TOY, "output": "linear"}, (2,), 0, 2, 527_874),
    # docs/papers.md, "WGAN"
    ("dcgan", DCGAN, (64, 64, 3), 0, 100, 3_576_704),
    (
        "mlp",
        {**MLP_512, "output": "linear", "initializer": "torch"},
        (64, 64, 3),
        0,
        100,
        6_880_768,
    ),
    # docs/papers.md, "Tutorials"
    ("mlp", KERAS_G, (28, 28, 1), 0, 100, 579_728),
    ("mlp", TORCH_G, (28, 28, 1), 0, 100, 247_440),
]
GOLDEN_CRITICS = [
    ("resnet32", {"width": 128}, (32, 32, 3), 0, 1_053_825),
    ("resnet32", {"width": 128}, (32, 32, 3), 10, 1_055_115),
    ("resnet64", {"width": 64}, (64, 64, 3), 0, 7_491_841),
    ("dcgan_5x5", {"width": 64, "norm": "layer"}, (64, 64, 3), 0, 4_316_545),
    ("dcgan_5x5", {"width": 64, "norm": "batch"}, (64, 64, 3), 0, 4_316_545),
    ("dcgan_5x5", {"width": 64, "norm": "none"}, (28, 28, 1), 0, 1_030_145),
    ("dcgan_5x5", {"width": 128, "norm": "none"}, (32, 32, 3), 0, 4_114_689),
    ("mlp", TOY, (2,), 0, 527_361),
    ("dcgan", DCGAN, (64, 64, 3), 0, 2_765_568),
    ("mlp", KERAS_D, (28, 28, 1), 0, 533_505),
    ("mlp", TORCH_D, (28, 28, 1), 0, 233_985),
]


@pytest.mark.parametrize(
    ("name", "options", "shape", "classes", "latent_size", "parameters"),
    GOLDEN_GENERATORS,
)
def test_generators_have_the_published_numbers_of_parameters(
    name, options, shape, classes, latent_size, parameters
):
    network = latent.generator(name, shape=shape, num_classes=classes, **options)
    labels = jnp.zeros(2, jnp.int32) if classes else None
    variables = shapes_of(network, jnp.zeros((2, latent_size)), labels)
    assert size(variables["params"]) == parameters
    output = jax.eval_shape(
        lambda v: network.apply(v, jnp.zeros((2, latent_size)), labels, train=False),
        variables,
    )
    assert output.shape == (2, *shape)
    assert output.dtype == jnp.float32


@pytest.mark.parametrize(
    ("name", "options", "shape", "classes", "parameters"), GOLDEN_CRITICS
)
def test_critics_have_the_published_numbers_of_parameters(
    name, options, shape, classes, parameters
):
    network = latent.critic(name, shape=shape, num_classes=classes, **options)
    variables = shapes_of(network, jnp.zeros((2, *shape)))
    assert size(variables["params"]) == parameters
    output = jax.eval_shape(
        lambda v: network.apply(v, jnp.zeros((2, *shape)), train=False), variables
    )
    if classes:
        output, logits = output
        assert logits.shape == (2, classes)
    assert output.shape == (2,)


def test_every_network_is_among_the_golden_numbers():
    assert {name for name, *_ in GOLDEN_GENERATORS} == latent.GENERATORS.keys()
    assert {name for name, *_ in GOLDEN_CRITICS} == latent.CRITICS.keys()


@pytest.mark.usefixtures("plain_convolutions")
@pytest.mark.parametrize(
    ("side", "output", "low"),
    [
        (8, "tanh", -1.0),
        (16, "tanh", -1.0),
        (28, "sigmoid", 0.0),
        (32, "tanh", -1.0),
        (64, "tanh", -1.0),
    ],
)
def test_dcgan_5x5_makes_every_size_in_its_range(side, output, low):
    shape = (side, side, 1)
    network = latent.generator(
        "dcgan_5x5", shape=shape, width=2, norm="none", output=output
    )
    z = 50 * latents()
    # The last layer is scaled up, so that an output without its squashing would show.
    variables = variables_of(network, z)
    params = {**variables["params"]}
    params["output"] = jax.tree.map(lambda x: 1e5 * x, params["output"])
    made = jax.jit(lambda p: network.apply({"params": p}, z, train=False))(params)
    assert made.shape == (2, *shape)
    assert low <= made.min() < low + 0.1
    assert 0.9 < made.max() <= 1.0


@pytest.mark.parametrize(("side", "features"), [(8, 4), (16, 4), (28, 8), (32, 8)])
def test_dcgan_5x5_critics_halve_down_to_the_last_map(side, features):
    network = latent.critic("dcgan_5x5", shape=(side, side, 1), width=2, norm="none")
    params = shapes_of(network, jnp.zeros((2, side, side, 1)))["params"]
    last = (2 if side == 8 else 4) ** 2 * features
    assert params["output"]["kernel"].shape == (last, 1)


def test_dcgan_extra_layers_and_sizes():
    options = {"width": 2, "batch_norm": False, "extra_layers": 2}
    network = latent.generator("dcgan", shape=(16, 16, 1), **options)
    params = variables_of(network, latents())["params"]
    assert set(params) == {"input", "up_8", "extra_0", "extra_1", "output"}
    # 6 latents to 4x4x4; 4x4 from 4 to 2; twice 3x3 of 2; 4x4 from 2 to 1.
    assert size(params) == 6 * 64 + 16 * 8 + 2 * 9 * 4 + 16 * 2
    critic = latent.critic("dcgan", shape=(16, 16, 1), **options)
    params = variables_of(critic, images((16, 16, 1)))["params"]
    assert set(params) == {"input", "down_4", "extra_0", "extra_1", "output"}
    assert size(params) == 16 * 2 + 2 * 9 * 4 + 16 * 8 + 16 * 4


# Initialisation


@pytest.mark.parametrize(
    ("options", "shape", "variance"),
    [
        # fan_in = 9 * 32 and fan_out = 9 * 64; a stride of 2 divides one by 4.
        ({"he": True}, (3, 3, 32, 64), 4 / (288 + 576)),
        ({"he": False}, (3, 3, 32, 64), 2 / (288 + 576)),
        ({"he": True, "down": 2}, (5, 5, 32, 64), 4 / (800 + 1600 / 4)),
        ({"he": True, "up": 2}, (5, 5, 32, 64), 4 / (800 / 4 + 1600)),
        ({"he": False}, (128, 256), 2 / (128 + 256)),
    ],
)
def test_fan_uniform_follows_tflib(options, shape, variance):
    init = layers.fan_uniform(**options)
    drawn = np.asarray(init(FAST_KEY, shape))
    assert drawn.std() == pytest.approx(np.sqrt(variance), rel=0.02)
    assert np.abs(drawn).max() == pytest.approx(np.sqrt(3 * variance), rel=0.01)


def stds(params):
    """Return the standard deviation of every kernel by its path."""
    flat = jax.tree_util.tree_flatten_with_path(params)[0]
    return {
        "/".join(k.key for k in path[:-1]): float(leaf.std())
        for path, leaf in flat
        if path[-1].key == "kernel"
    }


def assert_stds(found, expected):
    assert set(found) == set(expected)
    for name, variance in expected.items():
        assert found[name] == pytest.approx(np.sqrt(variance), rel=0.1), name


@pytest.mark.usefixtures("plain_convolutions")
def test_resnet32_kernels_have_the_code_s_variances():
    width = 16
    network = latent.generator("resnet32", shape=(32, 32, 3), width=width)
    blocks = {
        f"block_{n}/{layer}": variance
        for n in range(3)
        for layer, variance in [
            ("conv_1", 4 / (18 * width)),
            ("conv_2", 4 / (18 * width)),
            ("shortcut", 2 / (2 * width)),
        ]
    }
    params = drawn_params(network, latents(length=64))
    ends = {"input": 2 / (64 + 256), "output": 2 / (9 * (16 + 3))}
    assert_stds(stds(params), {**blocks, **ends})

    network = latent.critic("resnet32", shape=(32, 32, 3), num_classes=64, width=width)
    params = drawn_params(network, images((32, 32, 3)))
    expected = {
        f"block_{n}_conv_{i}": 4 / (18 * width) for n in range(4) for i in (1, 2)
    }
    expected["block_0_conv_1"] = 4 / (9 * (3 + width))
    expected["block_1_shortcut"] = 2 / (2 * width)
    expected["classes"] = 2 / (width + 64)
    found = stds(params)
    # Too few weights for a close estimate: bounded by sqrt(3) standard deviations.
    assert found.pop("block_0_shortcut") < np.sqrt(3 * 2 / (3 + width))
    assert found.pop("output") < np.sqrt(3 * 2 / (width + 1))
    assert_stds(found, expected)


@pytest.mark.usefixtures("plain_convolutions")
def test_resnet64_kernels_have_the_code_s_variances():
    width = 8
    network = latent.generator("resnet64", shape=(64, 64, 3), width=width)
    found = stds(drawn_params(network, latents(length=32), only=("block_1", "output")))
    assert found["block_1/conv_1"] == pytest.approx(np.sqrt(4 / (9 * 96)), rel=0.1)
    assert found["block_1/shortcut"] == pytest.approx(np.sqrt(2 / 96), rel=0.1)
    # GoodGenerator's output keeps He, unlike the CIFAR-10 generator's.
    assert found["output"] == pytest.approx(np.sqrt(4 / (9 * (8 + 3))), rel=0.1)

    network = latent.critic("resnet64", shape=(64, 64, 3), width=width)
    params = drawn_params(network, images((64, 64, 3)), only=("input", "block_1"))
    found = stds(params)
    assert found["input"] == pytest.approx(np.sqrt(2 / (9 * (3 + 8))), rel=0.1)
    assert found["block_1/conv_1"] == pytest.approx(np.sqrt(4 / (18 * 16)), rel=0.1)
    assert found["block_1/conv_2"] == pytest.approx(np.sqrt(4 / (9 * 48)), rel=0.1)


@pytest.mark.usefixtures("plain_convolutions")
def test_dcgan_5x5_kernels_have_the_code_s_variances():
    options = {"width": 8, "norm": "none"}
    network = latent.generator("dcgan_5x5", shape=(32, 32, 3), output="tanh", **options)
    expected = {
        "input": 2 / (16 + 512),
        "up_0": 4 / (25 * (32 / 4 + 16)),
        "up_1": 4 / (25 * (16 / 4 + 8)),
        "output": 4 / (25 * (8 / 4 + 3)),
    }
    assert_stds(stds(drawn_params(network, latents(length=16))), expected)

    network = latent.critic("dcgan_5x5", shape=(28, 28, 1), **options)
    expected = {
        "down_0": 4 / (25 * (1 + 8 / 4)),
        "down_1": 4 / (25 * (8 + 16 / 4)),
        "down_2": 4 / (25 * (16 + 32 / 4)),
        "output": 2 / (512 + 1),
    }
    params = drawn_params(network, images((28, 28, 1)))
    assert_stds(stds(params), expected)

    network = latent.critic("dcgan_5x5", shape=(64, 64, 3), **options)
    params = drawn_params(network, images((64, 64, 3)))
    kernels = [f"down_{n}" for n in range(4)]
    assert_stds(stds(params), dict.fromkeys([*kernels, "output"], 0.02**2))
    assert np.abs(params["down_3"]["kernel"]).max() <= 0.02 * np.sqrt(3)


@pytest.mark.usefixtures("plain_convolutions")
def test_dcgan_draws_weights_and_scales_from_normal_distributions():
    options = {**DCGAN, "width": 16}
    network = latent.generator("dcgan", shape=(64, 64, 3), **options)
    params = drawn_params(network, latents(length=16))
    kernels = ["input", "up_8", "up_16", "up_32", "output"]
    assert_stds(stds(params), dict.fromkeys(kernels, 0.02**2))
    # A uniform distribution of this variance would end at 0.035.
    assert np.abs(params["up_8"]["kernel"]).max() > 0.06
    scale = params["input_norm"]["scale"]
    assert float(scale.mean()) == pytest.approx(1, abs=0.01)
    assert float(scale.std()) == pytest.approx(0.02, rel=0.25)
    assert not params["input_norm"]["bias"].any()


def test_mlp_initialisations():
    def drawn(init):
        options = {"hidden": (512,), "activation": "relu", "initializer": init}
        network = latent.critic("mlp", shape=(256,), **options)
        return drawn_params(network, jnp.zeros((1, 256)))

    keras, he, torch = map(drawn, mlp.INITIALIZERS[::2] + mlp.INITIALIZERS[1:2])
    assert keras["hidden_0"]["kernel"].std() == pytest.approx(
        np.sqrt(2 / (256 + 512)), rel=0.02
    )
    assert he["hidden_0"]["kernel"].std() == pytest.approx(np.sqrt(2 / 256), rel=0.02)
    # igul222's output layer is Glorot in any case.
    assert he["output"]["kernel"].std() == pytest.approx(np.sqrt(2 / 513), rel=0.1)
    for params in (keras, he):
        assert not params["hidden_0"]["bias"].any()
    for name, fan_in in (("hidden_0", 256), ("output", 512)):
        kernel, bias = torch[name]["kernel"], torch[name]["bias"]
        assert kernel.std() == pytest.approx(np.sqrt(1 / (3 * fan_in)), rel=0.1)
        assert np.abs(kernel).max() <= fan_in**-0.5
        assert 0 < np.abs(bias).max() <= fan_in**-0.5


# Normalisation


def test_layer_norm_takes_its_moments_over_the_whole_example():
    x = 3 + 2 * images((4, 6, 5))
    norm = layers.layer_norm()
    params = {"scale": jnp.arange(1.0, 6), "bias": jnp.arange(5.0)}
    found = jax.jit(norm.apply)({"params": params}, x)
    mean = x.mean(axis=(1, 2, 3), keepdims=True)
    variance = x.var(axis=(1, 2, 3), keepdims=True)
    scale, bias = (p.reshape(1, 1, 1, 5) for p in params.values())
    expected = (x - mean) / np.sqrt(variance + 1e-5) * scale + bias
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_layer_norm_has_tflib_s_epsilon():
    x = jnp.asarray([1e-3, -1e-3]).reshape(1, 1, 1, 2)
    norm = layers.layer_norm()
    found = norm.apply(norm.init(jax.random.key(0), x), x)
    expected = np.asarray([1, -1]).reshape(1, 1, 1, 2) * 1e-3 / np.sqrt(1e-6 + 1e-5)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_batch_norm_by_batch_then_by_running_average():
    x = 3 + 2 * images((4, 4, 3), batch=5)
    variables = layers.batch_norm(True).init(jax.random.key(0), x)
    found, updated = layers.batch_norm(True).apply(
        variables, x, mutable=["batch_stats"]
    )
    mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    row = (1, 1, 1, 3)
    expected = (x - mean.reshape(row)) / np.sqrt(variance.reshape(row) + 1e-5)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    stats = updated["batch_stats"]
    np.testing.assert_allclose(stats["mean"], 0.1 * mean, rtol=1e-5)
    # The output's variance is the biased one, the running average's the unbiased one.
    unbiased = variance * 80 / 79
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * unbiased, rtol=1e-6)

    found = layers.batch_norm(False).apply({**variables, **updated}, x)
    expected = (x - stats["mean"].reshape(row)) / np.sqrt(
        stats["var"].reshape(row) + 1e-5
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", [None, jnp.bfloat16])
def test_batch_norm_is_flax_s_but_for_the_running_variance(dtype):
    """Bit for bit: names and first values, outputs, gradients, the running mean."""
    x = 3 + 2 * images((4, 4, 3), batch=5)
    options = {"momentum": 0.9, "epsilon": 1e-5, "dtype": dtype}
    ours = layers.batch_norm(True, dtype=dtype)
    theirs = nn.BatchNorm(use_running_average=False, **options)
    variables = theirs.init(jax.random.key(0), x)
    jax.tree.map(
        np.testing.assert_array_equal, ours.init(jax.random.key(0), x), variables
    )

    def loss(variables, norm):
        made, updated = norm.apply(variables, x, mutable=["batch_stats"])
        return jnp.sum(made**3), (made, updated["batch_stats"])

    both = [
        jax.grad(loss, has_aux=True)(variables, norm=norm) for norm in (ours, theirs)
    ]
    variances = [aux[1].pop("var") for _, aux in both]
    jax.tree.map(np.testing.assert_array_equal, *both)
    assert np.all(variances[0] > variances[1])


def test_batch_norm_of_one_value_takes_its_biased_variance_which_is_zero():
    x = jnp.asarray([[3.0, -5.0]])
    norm = layers.batch_norm(True)
    variables = norm.init(jax.random.key(0), x)
    made, updated = norm.apply(variables, x, mutable=["batch_stats"])
    np.testing.assert_array_equal(made, jnp.zeros((1, 2)))
    np.testing.assert_allclose(updated["batch_stats"]["var"], [0.9, 0.9], rtol=1e-6)


def test_the_running_variance_counts_the_examples_of_all_devices():
    x = images((2, 1, 3), batch=4)
    variables = layers.batch_norm(True).init(jax.random.key(0), x)
    spread = layers.batch_norm(True, axis_name="device")
    _, updated = jax.vmap(
        lambda part: spread.apply(variables, part, mutable=["batch_stats"]),
        axis_name="device",
        out_axes=(0, None),
    )(x.reshape(4, 1, 2, 1, 3))
    unbiased = x.var(axis=(0, 1, 2)) * 8 / 7
    np.testing.assert_allclose(
        updated["batch_stats"]["var"], 0.9 + 0.1 * unbiased, rtol=1e-6
    )


def test_conditional_batch_norm_uses_each_example_s_row():
    x, labels = images((4, 4, 3), batch=4), jnp.asarray([2, 0, 2, 1])
    scale = jnp.asarray([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])
    norm = layers.ConditionalBatchNorm(num_classes=3)
    variables = variables_of(norm, x, labels)
    assert variables["params"]["scale"].shape == (3, 3)
    variables["params"] = {"scale": scale, "bias": -scale}
    found, _ = norm.apply(variables, x, labels, train=True, mutable=["batch_stats"])
    axes = {"axis": (0, 1, 2), "keepdims": True}
    normal = (x - x.mean(**axes)) / np.sqrt(x.var(**axes) + 1e-5)
    for example, label in enumerate([2, 0, 2, 1]):
        row = np.asarray(scale[label]).reshape(1, 1, 3)
        np.testing.assert_allclose(
            found[example], normal[example] * row - row, rtol=1e-3, atol=1e-4
        )


def test_conditional_batch_norm_gives_nan_for_a_label_without_a_row():
    x, labels = images((2, 2, 1)), jnp.asarray([0, 3])
    norm = layers.ConditionalBatchNorm(num_classes=3)
    variables = variables_of(norm, x, labels)
    found = norm.apply(variables, x, labels, train=False)
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()


@pytest.mark.usefixtures("plain_convolutions")
def test_conditional_generator_follows_its_labels():
    network = latent.generator("resnet32", shape=(32, 32, 3), num_classes=3, width=2)
    z = jnp.tile(latents(1), (3, 1))
    labels = jnp.asarray([0, 1, 0])
    variables = variables_of(network, z, labels)
    tables = variables["params"]["block_1"]["norm_2"]
    tables["bias"] = tables["bias"].at[1].set(2.0)
    made = jax.jit(functools.partial(network.apply, train=False))(variables, z, labels)
    np.testing.assert_array_equal(made[0], made[2])
    assert np.abs(made[0] - made[1]).max() > 0.1
    # The last BatchNorm has one row for all classes (Generator.OutputN).
    assert variables["params"]["output_norm"]["scale"].shape == (2,)
    with pytest.raises(ValueError, match="needs labels"):
        network.apply(variables, z, train=False)


BATCH_NORMED = [
    ("dcgan", {"width": 2, "batch_norm": True, "extra_layers": 1}, 16),
    ("dcgan_5x5", {"width": 2, "norm": "batch", "output": "tanh"}, 8),
    ("dcgan_5x5", {"width": 2, "norm": "batch", "output": "tanh"}, 64),
    ("resnet32", {"width": 2}, 32),
    ("resnet64", {"width": 1}, 64),
]


@pytest.mark.usefixtures("plain_convolutions")
@pytest.mark.parametrize(("name", "options", "side"), BATCH_NORMED)
def test_train_updates_the_running_averages_of_generators(name, options, side):
    network = latent.generator(name, shape=(side, side, 3), **options)
    z = latents(4)
    variables = variables_of(network, z)

    @functools.partial(jax.jit, static_argnames="train")
    def apply(variables, z, train):
        return network.apply(variables, z, train=train, mutable=["batch_stats"])

    trained, updated = apply(variables, z, True)
    before = jax.tree.leaves(variables["batch_stats"])
    after = jax.tree.leaves(updated["batch_stats"])
    assert all((old != new).any() for old, new in zip(before, after, strict=True))
    sampled, kept = apply(variables, z, False)
    assert np.abs(trained - sampled).max() > 1e-4
    jax.tree.map(
        np.testing.assert_array_equal, kept["batch_stats"], {**variables["batch_stats"]}
    )
    # By running averages, an example does not depend on the others.
    other, _ = apply(variables, z.at[1:].multiply(2), False)
    np.testing.assert_allclose(sampled[0], other[0], rtol=1e-5, atol=1e-6)


def test_first_batch_norm_of_dcgan_5x5_is_by_feature_but_for_64():
    for side, features in ((32, 4 * 4 * 8), (28, 4 * 4 * 8), (64, 16)):
        network = latent.generator(
            "dcgan_5x5", shape=(side, side, 3), width=2, norm="batch", output="tanh"
        )
        params = shapes_of(network, latents())["params"]
        assert params["input_norm"]["scale"].shape == (features,)


# Critics


CRITICS = [
    ("mlp", {**KERAS_D, "hidden": (8, 8)}, (2,), 0),
    ("mlp", {**KERAS_D, "hidden": (8, 8)}, (4, 4, 1), 0),
    ("dcgan", {"width": 2, "batch_norm": False, "extra_layers": 1}, (16, 16, 1), 0),
    ("dcgan_5x5", {"width": 2, "norm": "none"}, (28, 28, 1), 0),
    ("dcgan_5x5", {"width": 2, "norm": "layer"}, (64, 64, 1), 0),
    ("resnet32", {"width": 2}, (32, 32, 3), 0),
    ("resnet32", {"width": 2}, (32, 32, 3), 4),
    ("resnet64", {"width": 1}, (64, 64, 1), 0),
]


def score_jacobian(network, x):
    """Return dD_i/dx_j for all i and j: [b, b, *shape]."""
    variables = variables_of(network, x)

    def scores(x):
        made = network.apply(variables, x, train=True, mutable=["batch_stats"])[0]
        return made[0] if isinstance(made, tuple) else made

    assert jax.eval_shape(scores, x).shape == (len(x),)
    return jax.jit(jax.jacrev(scores))(x)


@pytest.mark.usefixtures("plain_convolutions")
@pytest.mark.parametrize(("name", "options", "shape", "classes"), CRITICS)
def test_scores_for_the_penalty_depend_only_on_their_own_example(
    name, options, shape, classes
):
    network = latent.critic(name, shape=shape, num_classes=classes, **options)
    x = images(shape, batch=3)
    assert set(shapes_of(network, x)) == {"params"}
    jacobian = np.asarray(score_jacobian(network, x))
    for i in range(3):
        for j in range(3):
            assert (jacobian[i, j] != 0).any() == (i == j)


@pytest.mark.usefixtures("plain_convolutions")
@pytest.mark.parametrize(
    ("name", "options", "side"),
    [
        ("dcgan", {"width": 2, "batch_norm": True, "extra_layers": 0}, 16),
        ("dcgan_5x5", {"width": 2, "norm": "batch"}, 28),
    ],
)
def test_batch_norm_couples_the_examples_of_a_critic(name, options, side):
    network = latent.critic(name, shape=(side, side, 1), **options)
    jacobian = score_jacobian(network, images((side, side, 1), batch=3))
    assert np.asarray(jacobian[0, 1]).any()
    with_stats = shapes_of(network, images((side, side, 1)))
    assert set(with_stats) == {"params", "batch_stats"}


@pytest.mark.usefixtures("plain_convolutions")
@pytest.mark.parametrize("player", ["generator", "critic"])
def test_batch_norm_over_devices_equals_one_device(player):
    options = {"width": 2, "batch_norm": True, "extra_layers": 0}
    build = getattr(latent, player)
    x = latents(8) if player == "generator" else images((16, 16, 1), batch=8)
    single = build("dcgan", shape=(16, 16, 1), **options)
    spread = build("dcgan", shape=(16, 16, 1), axis_name="device", **options)
    variables = variables_of(single, x)

    def apply(network):
        return functools.partial(network.apply, train=True, mutable=["batch_stats"])

    made, stats = jax.jit(apply(single))(variables, x)
    parts = x.reshape(4, 2, *x.shape[1:])
    split, split_stats = jax.jit(
        jax.vmap(
            apply(spread), axis_name="device", in_axes=(None, 0), out_axes=(0, None)
        )
    )(variables, parts)
    np.testing.assert_allclose(split.reshape(made.shape), made, rtol=1e-3, atol=1e-5)
    for one, several in zip(
        jax.tree.leaves(stats), jax.tree.leaves(split_stats), strict=True
    ):
        np.testing.assert_allclose(several, one, rtol=1e-4, atol=1e-6)


def test_a_lower_dtype_ends_in_float32():
    half = {"dtype": jnp.bfloat16}
    network = latent.generator("resnet32", shape=(32, 32, 3), width=2, **half)
    variables = shapes_of(network, latents())
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    made = jax.eval_shape(
        lambda v: network.apply(v, latents(), train=False, capture_intermediates=True),
        variables,
    )
    assert made[0].dtype == jnp.float32
    inner = made[1]["intermediates"]
    assert inner["block_1"]["conv_1"]["__call__"][0].dtype == jnp.bfloat16
    for name, options, shape, classes in CRITICS:
        network = latent.critic(
            name, shape=shape, num_classes=classes, **options, **half
        )
        scores = jax.eval_shape(
            lambda x, network=network: network.init_with_output(
                jax.random.key(0), x, train=False
            )[0],
            jnp.zeros((2, *shape)),
        )
        assert {x.dtype for x in jax.tree.leaves(scores)} == {jnp.dtype("float32")}


def test_x64_makes_float64_parameters_and_statistics():
    with jax.enable_x64(True):
        network = latent.generator("resnet32", shape=(32, 32, 3), width=1)
        variables = shapes_of(network, jnp.zeros((2, 4)))
        after = jax.eval_shape(
            lambda v: network.apply(
                v, jnp.zeros((2, 4)), train=True, mutable=["batch_stats"]
            ),
            variables,
        )
        for leaf in jax.tree.leaves((variables, after)):
            assert leaf.dtype == jnp.float64


# Strided convolutions


@pytest.mark.parametrize(
    ("taps", "shape", "padding"),
    [
        (4, (8, 8), "SAME"),
        (5, (8, 8), "SAME"),
        (5, (7, 7), "SAME"),
        (3, (6, 9), ((1, 1), (1, 1))),
        (7, (6, 9), ((0, 2), (2, 1))),
    ],
)
def test_a_strided_convolution_by_phases_is_the_convolution(taps, shape, padding):
    x, kernel = images((*shape, 2)), images((taps, 2, 3), batch=taps)
    expected = jax.lax.conv_general_dilated(
        x, kernel, (2, 2), padding, dimension_numbers=strided.LAYOUT
    )
    found = jax.jit(lambda x, k: strided.conv(x, k, (2, 2), padding))(x, kernel)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("taps", "use_bias"), [(2, True), (3, True), (4, False), (5, True)]
)
def test_the_transposed_convolution_is_flax_s(taps, use_bias):
    x = images((5, 4, 3))
    ours = strided.ConvTranspose(2, taps, nn.initializers.normal(), use_bias)
    flax = nn.ConvTranspose(2, (taps, taps), (2, 2), "SAME", use_bias=use_bias)
    params = {"kernel": images((taps, 3, 2), batch=taps)}
    if use_bias:
        params["bias"] = jnp.asarray([1.0, 2.0])
    found, expected = jax.jit(
        lambda params: [m.apply({"params": params}, x) for m in (ours, flax)]
    )(params)
    assert found.shape == (2, 10, 8, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_other_backends_get_one_convolution_of_the_same_values(monkeypatch):
    shape = (16, 16, 3)
    options = {"width": 2, "batch_norm": False, "extra_layers": 0}
    network, critic = (
        build("dcgan", shape=shape, **options)
        for build in (latent.generator, latent.critic)
    )
    z, x = latents(), images(shape)
    variables = variables_of(network, z), variables_of(critic, x)

    def both(variables):
        made = network.apply(variables[0], z, train=False)
        return made, critic.apply(variables[1], x, train=False)

    on_cpu = jax.jit(both)(variables)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    # A new function: jit would find the first one's program.
    elsewhere = jax.jit(lambda variables: both(variables))(variables)
    for found, expected in zip(elsewhere, on_cpu, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert (
        str(jax.make_jaxpr(lambda v: both(v))(variables)).count("conv_general_dilated")
        == 4
    )


def test_upsample_repeats_and_mean_pool_averages():
    x = jnp.arange(4.0).reshape(1, 2, 2, 1)
    repeated = layers.upsample_nearest(x)
    rows = [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    np.testing.assert_array_equal(repeated[0, :, :, 0], rows)
    np.testing.assert_array_equal(layers.mean_pool(repeated), x)
    assert layers.mean_pool(x).item() == 1.5


# Errors


G_MLP = {**TOY, "output": "linear"}
RESNET = {"width": 8}
IMAGES = {side: (side, side, 3) for side in (28, 32, 48, 64)}


def message_of(player, name, shape, options):
    """Return the one line that a user reads."""
    with pytest.raises(UserError) as caught:
        getattr(latent, player)(name, shape=shape, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("player", "name", "shape", "options", "start", "words"),
    [
        # A network that there is not.
        (
            "generator", "resnet23", IMAGES[32], RESNET, "generator.name = resnet23:",
            ("dcgan, dcgan_5x5, mlp, resnet32, resnet64", "nearest: resnet32"),
        ),
        (
            "critic", "dcgna", IMAGES[32], {}, "critic.name = dcgna:",
            ("dcgan, dcgan_5x5, mlp, resnet32, resnet64", "nearest: dcgan"),
        ),
        # Options that the network has not.
        (
            "critic", "resnet32", IMAGES[32], {"widht": 8}, "critic.widht = 8:",
            ("resnet32", "valid: width", "nearest: width"),
        ),
        (
            "generator", "dcgan", IMAGES[64], {"width": 8, "batch_norm": True},
            "generator.extra_layers:",
            ("missing", "dcgan needs width, batch_norm, extra_layers"),
        ),
        # Images that it cannot take.
        (
            "generator", "dcgan", IMAGES[28], DCGAN, "generator.name = dcgan:",
            ("power of two, 16 at least", "28x28"),
        ),
        (
            "critic", "dcgan", IMAGES[48], DCGAN, "critic.name = dcgan:",
            ("power of two, 16 at least", "48x48"),
        ),
        (
            "critic", "dcgan_5x5", IMAGES[48], {"width": 8, "norm": "none"},
            "critic.name = dcgan_5x5:", ("one of 8, 16, 28, 32, 64", "48x48"),
        ),
        (
            "generator", "resnet32", (32, 64, 3), RESNET, "generator.name = resnet32:",
            ("square", "is 32", "32x64"),
        ),
        (
            "critic", "resnet64", (2,), RESNET, "critic.name = resnet64:",
            ("is 64", "shape (2,)"),
        ),
        # Values that an option cannot have.
        (
            "generator", "resnet64", IMAGES[64], {"width": 0}, "generator.width = 0:",
            ("whole number from 1 to",),
        ),
        (
            "generator", "resnet64", IMAGES[64], {"width": True},
            "generator.width = True:", ("whole number from 1 to",),
        ),
        (
            "critic", "dcgan", IMAGES[64], {**DCGAN, "extra_layers": -1},
            "critic.extra_layers = -1:", ("whole number from 0 to 100",),
        ),
        (
            "critic", "dcgan", IMAGES[64], {**DCGAN, "batch_norm": "no"},
            "critic.batch_norm = no:", ("True or False",),
        ),
        (
            "critic", "mlp", (2,), {**TOY, "hidden": (8, 0)}, "critic.hidden = (8, 0):",
            ("a tuple of", "widths", "from 1 to"),
        ),
        (
            "critic", "mlp", (2,), {**TOY, "hidden": 8}, "critic.hidden = 8:",
            ("a tuple of", "widths", "from 1 to"),
        ),
        (
            "critic", "mlp", (2,), {**TOY, "activation": "rleu"},
            "critic.activation = rleu:", ("leaky_relu, relu", "nearest: relu"),
        ),
        (
            "generator", "mlp", (2,), {**G_MLP, "output": "tnah"},
            "generator.output = tnah:", ("linear, sigmoid, tanh", "nearest: tanh"),
        ),
        (
            "generator", "mlp", (2,), {**G_MLP, "initializer": "xavier"},
            "generator.initializer = xavier:", ("glorot_uniform, he_uniform, torch",),
        ),
        (
            "generator", "dcgan_5x5", IMAGES[28],
            {"width": 8, "norm": "layer", "output": "tanh"}, "generator.norm = layer:",
            ("valid: batch, none",),
        ),
        (
            "critic", "dcgan_5x5", IMAGES[28], {"width": 8, "norm": "layers"},
            "critic.norm = layers:", ("batch, layer, none", "nearest: layer"),
        ),
        (
            "generator", "resnet64", IMAGES[64], {"width": 8, "num_classes": 10},
            "generator.name = resnet64:", ("conditional", "10", "valid: resnet32"),
        ),
    ],
)  # fmt: skip
def test_a_user_s_mistake_is_told_in_one_line(
    player, name, shape, options, start, words
):
    message = message_of(player, name, shape, options)
    assert message.startswith(start)
    for part in words:
        assert part in message


def test_only_the_name_changed_to_a_network_for_other_images():
    """--config.generator.name=resnet64 on the digits; the options are an MLP's."""
    message = message_of("generator", "resnet64", (8, 8, 1), G_MLP)
    assert message.startswith("generator.name = resnet64:")
    assert "64, found 8x8" in message
    assert "hidden" not in message


@pytest.mark.parametrize(
    ("player", "name", "options"),
    [
        ("generator", "dcgan_5x5", G_MLP),
        ("critic", "dcgan_5x5", TOY),
        ("generator", "dcgan", RESNET),
        ("critic", "mlp", DCGAN),
    ],
)
def test_only_the_name_changed_to_a_network_with_other_options(player, name, options):
    table = latent.GENERATORS if player == "generator" else latent.CRITICS
    message = message_of(player, name, IMAGES[64], options)
    assert message.startswith(f"{player}.name = {name}:")
    needed, given = ", ".join(table[name].options), ", ".join(options)
    assert f"needs the options {needed}; " in message
    assert f"has {given}, " in message
    for cure in ("another network", "variant", "config file"):
        assert cure in message


def test_an_option_among_those_of_another_network_is_told_by_its_name():
    """All of resnet32's options and one more are no other network's."""
    options = {"width": 8, "normm": "none"}
    message = message_of("critic", "dcgan_5x5", IMAGES[28], options)
    assert message.startswith("critic.normm = none:")
    assert message.endswith("nearest: norm")


def test_hidden_may_be_a_list_as_config_files_have_it():
    network = latent.critic("mlp", shape=(2,), **{**TOY, "hidden": [4, 4]})
    assert hash(network) == hash(
        latent.critic("mlp", shape=(2,), **{**TOY, "hidden": (4, 4)})
    )
