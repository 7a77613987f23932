"""CycleGAN's networks: golden sizes, receptive fields, names, options, errors."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.variables import draw_variables

from jaxgan.errors import UserError
from jaxgan.models import translation
from jaxgan.models.translation import image_layers

FAST_KEY = jax.random.key(0, impl="unsafe_rbg")
# Of LLVM; half the time of compilation.
QUICK = {"xla_backend_optimization_level": 0}

G = {
    "width": 64,
    "norm": "instance",
    "padding": "reflect",
    "block": "residual",
    "dropout": False,
    "upsample": "transposed",
    "initializer": "normal",
    "gain": 0.02,
}
C = {
    "width": 64,
    "num_layers": 3,
    "norm": "instance",
    "initializer": "normal",
    "gain": 0.02,
}


def generator(name="resnet_1blocks", channels=3, **options):
    return translation.generator(name, channels=channels, **{**G, **options})


def critic(name="patch", **options):
    return translation.critic(name, **{**C, **options})


def shapes_of(network, side, channels=3):
    init = functools.partial(network.init, train=True)
    example = jnp.zeros((2, side, side, channels))
    return jax.eval_shape(init, jax.random.key(0), example)


def variables_of(network, side):
    return draw_variables(shapes_of(network, side))


def output_of(network, variables, side, channels=3):
    apply = functools.partial(network.apply, train=False)
    return jax.eval_shape(apply, variables, jnp.zeros((2, side, side, channels)))


def size(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def names_of(tree):
    paths = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {"/".join(key.key for key in path) for path, _ in paths}


def images(side, batch=2, channels=3, seed=1):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.uniform(-1, 1, size=(batch, side, side, channels)), "f4")


# Golden sizes: docs/papers.md, "CycleGAN: ResNet generator",
# docs/papers.md, "CycleGAN: U-Net generator", and docs/papers.md, "CycleGAN: critics".
# Name, norm, side, parameters.
GOLDEN_GENERATORS = [
    ("resnet_9blocks", "instance", 256, 11_378_179),
    ("resnet_6blocks", "instance", 128, 7_837_699),
    # The published 54.410, 54.414 and 41.826 million to the last one.
    ("unet_256", "instance", 256, 54_409_603),
    ("unet_256", "batch", 256, 54_413_955),
    ("unet_128", "instance", 128, 41_825_667),
]
# Name, norm, num_layers, side, parameters, side of the scores. The tutorial has no
# number of its own: this one is computed below.
GOLDEN_CRITICS = [
    ("patch", "instance", 1, 256, 136_385, 126),
    ("patch", "instance", 2, 256, 662_977, 62),
    ("patch", "instance", 3, 256, 2_764_737, 30),
    ("patch", "instance", 4, 256, 6_959_553, 14),
    ("patch", "instance", 5, 256, 11_154_369, 6),
    ("pixel", "instance", 3, 256, 8_705, 256),
    ("tutorial", "batch", 3, 256, 2_766_529, 15),
]


@pytest.mark.parametrize(("name", "norm", "side", "parameters"), GOLDEN_GENERATORS)
def test_generators_have_the_published_numbers_of_parameters(
    name, norm, side, parameters
):
    network = generator(name, norm=norm)
    variables = shapes_of(network, side)
    assert size(variables) == parameters
    output = output_of(network, variables, side)
    assert output.shape == (2, side, side, 3)
    assert output.dtype == jnp.float32


@pytest.mark.parametrize(
    ("name", "norm", "num_layers", "side", "parameters", "scores"), GOLDEN_CRITICS
)
def test_critics_have_the_published_numbers_of_parameters_and_scores(
    name, norm, num_layers, side, parameters, scores
):
    network = critic(name, norm=norm, num_layers=num_layers)
    variables = shapes_of(network, side)
    assert size(variables) == parameters
    output = output_of(network, variables, side)
    assert output.shape == (2, scores, scores)
    assert output.dtype == jnp.float32


def test_every_network_is_among_the_golden_numbers():
    generators = {name for name, *_ in GOLDEN_GENERATORS}
    assert generators == set(translation.COMMON_GENERATORS)
    assert {name for name, *_ in GOLDEN_CRITICS} == set(translation.CRITICS)


def test_the_tutorial_s_critic_halves_four_times_and_has_biases_and_batch_norm():
    network = critic("tutorial", norm="batch")
    variables = shapes_of(network, 64)
    kernels = (3, 64, 128, 256, 512, 1)
    pairs = itertools.pairwise(kernels)
    weights = sum(16 * before * after + after for before, after in pairs)
    assert size(variables) == weights + 2 * (128 + 256 + 512)
    assert names_of(variables["batch_stats"]) == {
        f"conv_{i}_norm/{part}" for i in (1, 2, 3) for part in ("mean", "var")
    }
    assert output_of(network, variables, 64).shape == (2, 3, 3)


@pytest.mark.usefixtures("plain_convolutions")
@pytest.mark.parametrize(
    ("num_layers", "field"),
    [(1, 16), (2, 34), (3, 70), (4, 142)],  # the comment of the Lua original
)
def test_a_score_sees_the_published_number_of_pixels(num_layers, field):
    """Gradient support of one score, all weights positive so that nothing cancels."""
    network = critic(width=1, num_layers=num_layers, norm="none")
    side = 2**num_layers * (field // 2**num_layers + 4)
    variables = jax.tree.map(
        lambda leaf: jnp.ones(leaf.shape), shapes_of(network, side, 1)
    )

    @jax.grad
    def gradient(x):
        scores = network.apply(variables, x, train=True)
        return scores[0, scores.shape[1] // 2, scores.shape[2] // 2]

    support = np.argwhere(np.asarray(jax.jit(gradient)(jnp.ones((1, side, side, 1)))))
    low, high = support.min(axis=0), support.max(axis=0)
    assert low[1:3].min() > 0
    assert high[1:3].max() < side - 1
    assert (high - low + 1)[1:3].tolist() == [field, field]
    assert len(support) == field**2


# Names and biases, which converted weights rely on


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_the_resnet_s_names_and_biases(norm):
    variables = shapes_of(generator("resnet_2blocks", norm=norm, width=4), 16)
    layers = ["input", "down_0", "down_1", "up_0", "up_1"]
    layers += [f"block_{i}/conv_{j}" for i in (0, 1) for j in (0, 1)]
    expected = {f"{layer}/kernel" for layer in (*layers, "output")} | {"output/bias"}
    if norm == "instance":
        expected |= {f"{layer}/bias" for layer in layers}
    norms = [
        f"{n.replace('conv_', 'norm_')}" if n.startswith("block") else f"{n}_norm"
        for n in layers
    ]
    if norm == "batch":
        expected |= {f"{n}/{part}" for n in norms for part in ("scale", "bias")}
        statistics = {f"{n}/{part}" for n in norms for part in ("mean", "var")}
        assert names_of(variables["batch_stats"]) == statistics
    else:
        assert "batch_stats" not in variables
    assert names_of(variables["params"]) == expected


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_the_unet_s_names_and_biases(norm):
    variables = shapes_of(generator("unet_32", norm=norm, width=2), 32)
    downs, ups = ([f"{way}_{i}" for i in range(5)] for way in ("down", "up"))
    expected = {f"{layer}/kernel" for layer in downs + ups} | {"up_0/bias"}
    if norm == "instance":
        expected |= {f"{layer}/bias" for layer in downs + ups}
    if norm == "batch":
        # The outermost layers and the innermost halving have no norm.
        norms = [f"{layer}_norm" for layer in downs[1:-1] + ups[1:]]
        expected |= {f"{n}/{part}" for n in norms for part in ("scale", "bias")}
    assert names_of(variables["params"]) == expected
    assert variables["params"]["up_0"]["kernel"].shape == (4, 4, 4, 3)
    assert variables["params"]["up_4"]["kernel"].shape == (4, 4, 16, 16)
    assert variables["params"]["up_3"]["kernel"].shape == (4, 4, 32, 8)


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize(
    ("name", "always", "by_rule", "norms"),
    [
        ("patch", {0, 4}, {1, 2, 3}, {1, 2, 3}),
        ("pixel", {0}, {1, 2}, {1}),
        ("tutorial", {0, 1, 2, 3, 4}, set(), {1, 2, 3}),
    ],
)
def test_the_critics_names_and_biases(name, always, by_rule, norms, norm):
    params = shapes_of(critic(name, norm=norm, width=4), 64)["params"]
    biased = always | (by_rule if norm == "instance" else set())
    expected = {f"conv_{i}/kernel" for i in always | by_rule}
    expected |= {f"conv_{i}/bias" for i in biased}
    if norm == "batch":
        expected |= {f"conv_{i}_norm/{p}" for i in norms for p in ("scale", "bias")}
    assert names_of(params) == expected


def test_tutorial_blocks_have_biases_and_no_norm_whatever_the_norm():
    network = generator(block="tutorial", norm="batch", dropout=True, width=4)
    params = shapes_of(network, 16)["params"]
    assert names_of(params["block_0"]) == {
        f"conv_{i}/{part}" for i in (0, 1) for part in ("kernel", "bias")
    }
    assert "up_1_norm" in params


# Initialisers: docs/papers.md, "CycleGAN: initialisation"


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("name", ["normal", "xavier", "kaiming"])
def test_initialisers_have_pytorch_s_deviations(name, transposed):
    size, gain, inputs, outputs = 3, 0.5, 40, 120
    fan_in, fan_out = 9 * inputs, 9 * outputs
    if transposed:  # PyTorch reads the fans off [in, out, k, k] as if [out, in, k, k]
        fan_in, fan_out = fan_out, fan_in
    expected = {
        "normal": gain,
        "xavier": gain * math.sqrt(2 / (fan_in + fan_out)),
        "kaiming": math.sqrt(2 / fan_in),
    }[name]
    init = image_layers.kernel_init(name, gain, transposed)
    kernel = np.asarray(init(FAST_KEY, (size, size, inputs, outputs)))
    assert kernel.std() == pytest.approx(expected, rel=0.02)
    assert kernel.mean() == pytest.approx(0, abs=0.02 * expected)
    # Normal, not uniform and not truncated.
    assert np.mean(np.abs(kernel) > 2 * expected) == pytest.approx(0.0455, rel=0.1)


@pytest.mark.parametrize(("inputs", "outputs"), [(4, 6), (2, 24)])
@pytest.mark.parametrize("transposed", [False, True])
def test_the_orthogonal_initialiser_is_orthogonal_in_pytorch_s_shape(
    inputs, outputs, transposed
):
    init = image_layers.kernel_init("orthogonal", 0.5, transposed)
    kernel = np.asarray(init(jax.random.key(0), (3, 3, inputs, outputs)))
    rows = kernel.transpose((2, 0, 1, 3) if transposed else (3, 0, 1, 2))
    matrix = rows.reshape(len(rows), -1)
    if matrix.shape[0] > matrix.shape[1]:
        matrix = matrix.T
    product = matrix @ matrix.T
    np.testing.assert_allclose(product, 0.25 * np.eye(len(matrix)), atol=1e-6)


@pytest.mark.usefixtures("plain_convolutions")
def test_networks_draw_from_the_initialiser_named():
    network = generator(initializer="kaiming", norm="batch", width=8)
    init = functools.partial(network.init, train=True)
    init = jax.jit(init, compiler_options=QUICK)
    params = init(FAST_KEY, images(8))["params"]
    for name, fan_in in (
        ("input", 49 * 3),
        ("down_0", 9 * 8),
        ("up_0", 9 * 16),
        ("up_1", 9 * 8),
    ):
        deviation = np.std(params[name]["kernel"])
        assert deviation == pytest.approx(math.sqrt(2 / fan_in), rel=0.1), name
    block = params["block_0"]
    assert np.std(block["conv_1"]["kernel"]) == pytest.approx(math.sqrt(2 / 288), 0.05)
    assert not params["output"]["bias"].any()
    scales = np.concatenate([block[f"norm_{i}"]["scale"] for i in (0, 1)])
    assert scales.mean() == pytest.approx(1, abs=0.01)
    assert scales.std() == pytest.approx(0.02, rel=0.3)


# Layers


def test_instance_norm_has_mean_0_and_variance_1_by_example_and_channel():
    x = 0.01 * images(5, batch=3) + 4.0
    made = np.asarray(image_layers.instance_norm(x))
    np.testing.assert_allclose(made.mean(axis=(1, 2)), np.zeros((3, 3)), atol=2e-4)
    variance = np.var(np.asarray(x, "f8"), axis=(1, 2))
    expected = variance / (variance + 1e-5)
    np.testing.assert_allclose(made.var(axis=(1, 2)), expected, rtol=1e-3)


def test_derivatives_of_instance_norm_are_those_of_its_formula():
    """First derivatives, and those of a penalty on the input gradient; float64."""

    def formula(x):
        centred = x - x.mean((1, 2), keepdims=True)
        variance = jnp.square(centred).mean((1, 2), keepdims=True)
        return centred / jnp.sqrt(variance + 1e-5)

    def derivatives(norm, x):
        def gradient(x):
            return jax.grad(lambda x: (jnp.sin(3 * norm(x)) * x**2).sum())(x)

        def penalty(x):
            return jnp.square(jnp.sqrt((gradient(x) ** 2).sum((1, 2, 3))) - 1).sum()

        return norm(x), gradient(x), jax.grad(penalty)(x)

    with jax.enable_x64(True):
        x = jnp.asarray(images(5, batch=3), jnp.float64)
        both = jax.jit(
            lambda x: [derivatives(f, x) for f in (image_layers.instance_norm, formula)]
        )
        for ours, theirs in zip(*both(x), strict=True):
            scale = np.abs(theirs).max()
            np.testing.assert_allclose(ours / scale, theirs / scale, atol=1e-12, rtol=0)


def test_the_gradient_of_instance_norm_is_as_exact_as_the_norm():
    """A large mean with a small deviation, where sums of squares would cancel."""
    x = 0.01 * images(16, batch=2) + 4.0
    weights = images(16, batch=2)[::-1]

    def gradient(x):
        weighted = weights.astype(x.dtype)
        return jax.grad(lambda x: (image_layers.instance_norm(x) * weighted).sum())(x)

    found = gradient(x)
    assert found.dtype == jnp.float32
    with jax.enable_x64(True):
        exact = np.asarray(gradient(jnp.asarray(x, jnp.float64)))
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-3 * np.abs(exact).max())
    small = jax.grad(lambda x: image_layers.instance_norm(x).sum().astype(jnp.float32))
    assert small(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16


def test_reflection_and_its_gradient_are_those_of_jnp_pad_at_any_width():
    x, widths = images(6, batch=2), (1, 3, 6)

    def both(x):
        found = []
        for width in widths:
            around = ((0, 0), (width, width), (width, width), (0, 0))
            for padded in (
                lambda x, width=width: image_layers.pad(x, width, "reflect"),
                lambda x, around=around: jnp.pad(x, around, mode="reflect"),
            ):
                weight = jnp.arange(padded(x).size).reshape(padded(x).shape) % 7
                gradient = jax.grad(lambda x, f=padded, w=weight: (f(x) * w).sum())(x)
                found.append((padded(x), gradient))
        return found

    found = jax.jit(both)(x)
    for ours, theirs in zip(found[::2], found[1::2], strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "numpys"),
    [("reflect", "reflect"), ("replicate", "edge"), ("zero", "constant")],
)
def test_paddings_are_numpy_s(name, numpys):
    x = images(5)
    expected = np.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)), mode=numpys)
    np.testing.assert_array_equal(image_layers.pad(x, 3, name), expected)


def test_bilinear_takes_3_4_of_the_nearest_pixel_and_1_4_of_the_next():
    """Half-pixel centres, clamped at the edges: PyTorch's align_corners=False."""
    row = jnp.asarray([0.0, 4.0, 12.0]).reshape(1, 1, 3, 1)
    made = image_layers.upsample_bilinear(row)
    expected = [[0, 1, 3, 6, 10, 12]] * 2
    np.testing.assert_allclose(made[0, :, :, 0], expected, atol=1e-6)

    expected = np.asarray(images(4), "f8")
    for axis in (1, 2):
        before, after = (np.roll(expected, by, axis) for by in (1, -1))
        first, last = ((slice(None),) * axis + ([at],) for at in (0, -1))
        before[first], after[last] = expected[first], expected[last]
        halves = 0.25 * before + 0.75 * expected, 0.75 * expected + 0.25 * after
        shape = np.where(np.arange(4) == axis, 2, 1) * expected.shape
        expected = np.stack(halves, axis + 1).reshape(shape)
    made = image_layers.upsample_bilinear(images(4))
    np.testing.assert_allclose(made, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["resnet_1blocks", "unet_32"])
def test_resize_convolutions_are_3x3_and_double_as_well(name):
    network = generator(name, upsample="resize", width=2)
    variables = shapes_of(network, 32)
    ups = {k: v for k, v in variables["params"].items() if k.startswith("up")}
    assert {params["kernel"].shape[:2] for params in ups.values()} == {(3, 3)}
    assert output_of(network, variables, 32).shape == (2, 32, 32, 3)


# Dropout


def test_dropout_sets_half_to_0_and_doubles_the_rest_by_the_example_s_own_key():
    x = jnp.ones((3, 16, 16, 4))
    keys = jax.random.split(jax.random.key(0), 3)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def drop(x, keys):
        dropout = image_layers.dropout
        return dropout(x, keys, 1), dropout(x[1:2], keys[1:2], 1), dropout(x, keys, 2)

    made, single, other = map(np.asarray, drop(x, keys))
    assert set(np.unique(made)) == {0.0, 2.0}
    assert (made == 0).mean() == pytest.approx(0.5, abs=0.03)
    assert (made[0] != made[1]).mean() == pytest.approx(0.5, abs=0.05)
    np.testing.assert_array_equal(single[0], made[1])
    assert (other != made).mean() == pytest.approx(0.5, abs=0.03)
    np.testing.assert_array_equal(image_layers.dropout(x, None, 1), x)


@pytest.mark.parametrize(
    ("name", "side", "expected"),
    [
        ("resnet_3blocks", 16, [(0, 8), (1, 8), (2, 8)]),
        # num_downs - 5 times the blocks of 8 and 8 times the width.
        ("unet_32", 32, []),
        ("unet_128", 128, [(5, 16), (4, 16)]),
    ],
)
def test_dropout_is_where_the_official_code_has_it(monkeypatch, name, side, expected):
    """Numbers and channels of the masks, with and without keys and the option."""
    drawn, dropout = [], image_layers.dropout

    def recording(inputs, keys, number):
        if keys is not None:
            drawn.append((number, inputs.shape[-1]))
        return dropout(inputs, keys, number)

    monkeypatch.setattr(image_layers, "dropout", recording)
    example = jnp.zeros((2, side, side, 3))
    for option, keys, masks in (
        (True, jax.random.split(jax.random.key(0), 2), expected),
        (True, None, []),
        (False, jax.random.split(jax.random.key(0), 2), []),
    ):
        drawn.clear()
        network = generator(name, dropout=option, width=2)
        apply = functools.partial(network.apply, keys=keys, train=True)
        jax.eval_shape(apply, shapes_of(network, side), example)
        assert drawn == masks


# Independence, types


@pytest.mark.usefixtures("plain_convolutions")
def test_train_changes_only_batch_norm():
    for norm in ("instance", "batch"):
        network = generator(norm=norm, width=2)
        variables, x = variables_of(network, 8), images(8)

        def both(variables, network=network, x=x):
            return [
                network.apply(variables, x, train=train, mutable=["batch_stats"])
                for train in (True, False)
            ]

        train, evaluate = jax.jit(both, compiler_options=QUICK)(variables)
        if norm == "instance":
            assert not train[1]
            np.testing.assert_array_equal(train[0], evaluate[0])
        else:
            assert np.abs(train[0] - evaluate[0]).max() > 0.01
            before, after = variables["batch_stats"], evaluate[1]["batch_stats"]
            jax.tree.map(np.testing.assert_array_equal, before, after)


def test_dtype_is_computed_in_but_the_last_layer_is_float32():
    options = {"dtype": jnp.bfloat16, "norm": "batch"}
    for network in (generator(**options), generator("unet_32", **options)):
        variables = shapes_of(network, 32)
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {
            jnp.dtype("float32")
        }
        assert output_of(network, variables, 32).dtype == jnp.float32
        inner = jax.eval_shape(
            lambda v, n=network: n.apply(
                v, images(32), train=False, capture_intermediates=True, mutable=True
            )[1]["intermediates"],
            variables,
        )
        assert inner["down_0"]["__call__"][0].dtype == jnp.bfloat16
    network = critic(**options)
    variables = shapes_of(network, 32)
    assert output_of(network, variables, 32).dtype == jnp.float32


def test_x64_makes_float64_parameters_and_scores():
    with jax.enable_x64(True):
        for network in (generator(norm="batch"), critic(norm="batch")):
            variables = shapes_of(network, 32)
            output = output_of(network, variables, 32)
            for leaf in jax.tree.leaves((variables, output)):
                assert leaf.dtype == jnp.float64


def test_a_definition_builds_its_network():
    definition = {"name": "unet_32", **G, "channels": 1}
    network = translation.generator(**definition)
    assert network.num_downs == 5
    assert network.channels == 1
    assert definition["padding"] == "reflect"  # left as it was


def test_what_sides_are_a_multiple_of():
    assert translation.side_multiple("resnet_9blocks") == 4
    assert translation.side_multiple("unet_256") == 256
    with pytest.raises(UserError, match="unet_48"):
        translation.side_multiple("unet_48")


# Errors


@pytest.mark.parametrize(
    ("player", "changes", "start", "words"),
    [
        (
            "generator", {"name": "resnet_9block"}, "generator.name = resnet_9block:",
            (
                "any N from 1", "any power of two from 32", "resnet_6blocks",
                "unet_128, unet_256", "nearest: resnet_9blocks",
            ),
        ),
        (
            "generator", {"name": "resnet_0blocks"},
            "generator.name = resnet_0blocks: unknown", (),
        ),
        ("generator", {"name": "unet_16"}, "generator.name = unet_16: unknown", ()),
        ("generator", {"name": "unet_96"}, "generator.name = unet_96: unknown", ()),
        (
            "generator", {"paddin": "zero"}, "generator.paddin = zero:",
            ("resnet_9blocks", "nearest: padding"),
        ),
        (
            "generator", {"padding": "same"}, "generator.padding = same:",
            ("reflect, replicate, zero",),
        ),
        (
            "generator", {"norm": "layer"}, "generator.norm = layer:",
            ("batch, instance, none",),
        ),
        (
            "generator", {"block": "x"}, "generator.block = x:",
            ("residual, tutorial",),
        ),
        (
            "generator", {"upsample": "x"}, "generator.upsample = x:",
            ("resize, transposed",),
        ),
        (
            "generator", {"initializer": "x"}, "generator.initializer = x:",
            ("kaiming, normal, orthogonal",),
        ),
        (
            "generator", {"dropout": 0.5}, "generator.dropout = 0.5:",
            ("True or False",),
        ),
        ("generator", {"gain": 0}, "generator.gain = 0:", ("number from 1e-06",)),
        ("generator", {"gain": True}, "generator.gain = True:", ("number from 1e-06",)),
        (
            "generator", {"width": 1.5}, "generator.width = 1.5:",
            ("whole number from 1 to",),
        ),
        ("generator", {"channels": 0}, "generator.channels = 0:", ("whole number",)),
        (
            "critic", {"name": "basic"}, "critic.name = basic:",
            ("patch, pixel, tutorial",),
        ),
        ("critic", {"num_layers": 0}, "critic.num_layers = 0:", ("whole number",)),
        (
            "critic", {"norm": ["batch"]}, "critic.norm = ['batch']: unknown",
            ("batch, instance, none",),
        ),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_line(player, changes, start, words):
    given = {"name": "resnet_9blocks", "channels": 3, **G}
    if player == "critic":
        given = {"name": "patch", **C}
    with pytest.raises(UserError) as caught:
        getattr(translation, player)(**{**given, **changes})
    message = str(caught.value)
    assert message.startswith(start)
    assert "\n" not in message
    for part in words:
        assert part in message


def test_a_missing_option_is_told():
    with pytest.raises(UserError, match=r"generator\.gain: missing"):
        translation.generator(
            "unet_32", channels=3, **{k: v for k, v in G.items() if k != "gain"}
        )
