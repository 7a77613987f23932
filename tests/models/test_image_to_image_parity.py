"""CycleGAN's networks against PyTorch, weights copied over.

The PyTorch side is written here from docs/papers.md, "CycleGAN: ResNet generator",
docs/papers.md, "CycleGAN: U-Net generator", and docs/papers.md, "CycleGAN: critics".
It has the modules of `torch.nn` in the order that they run, which is also the order of
our layers' names.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.models import translation
from jaxgan.models.translation import image_layers

torch = pytest.importorskip("torch", reason="needs the extra `parity`")
nn = torch.nn

pytestmark = pytest.mark.parity
TOLERANCES = {"float32": 1e-4, "float64": 1e-9}
# Of LLVM; half the time of compilation.
QUICK = {"xla_backend_optimization_level": 0}
WIDTH = 4
NORMS = {
    "instance": lambda n: nn.InstanceNorm2d(n, affine=False),
    "batch": nn.BatchNorm2d,
    "none": lambda n: nn.Identity(),
}
PADS = {"reflect": nn.ReflectionPad2d, "replicate": nn.ReplicationPad2d}


class Halves(nn.Module):
    """Dropout whose mask is known: columns of even number are 0, others double."""

    def forward(self, x):
        return x * (2.0 * (torch.arange(x.shape[-1]) % 2)).to(x.dtype)


def halves(inputs, keys, number):
    return inputs * (2.0 * (jnp.arange(inputs.shape[2]) % 2)[None, None, :, None])


class Sum(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.layers(x)


class Concatenation(Sum):
    def forward(self, x):
        return torch.cat([x, self.layers(x)], 1)


def up(inputs, outputs, size, upsample, bias):
    """Return the layers that double the side."""
    if upsample == "resize":
        return [
            nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.ReflectionPad2d(1),
            nn.Conv2d(inputs, outputs, 3, bias=bias),
        ]
    return [nn.ConvTranspose2d(inputs, outputs, size, 2, 1, size % 2, bias=bias)]


def resnet(blocks, norm, padding, dropout=False, block="residual", upsample=""):
    w, bias, normed = WIDTH, norm == "instance", NORMS[norm]
    pad = [PADS[padding](1)] if padding in PADS else []
    conv = functools.partial(nn.Conv2d, 4 * w, 4 * w, 3)
    own = functools.partial(conv, padding=1 - len(pad), bias=bias)
    layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, w, 7, bias=bias), normed(w)]
    for n in (w, 2 * w):
        down = nn.Conv2d(n, 2 * n, 3, stride=2, padding=1, bias=bias)
        layers += [nn.ReLU(), down, normed(2 * n)]
    layers += [nn.ReLU()]
    for _ in range(blocks):
        if block == "tutorial":
            layers += [Sum(conv(padding=1), nn.ReLU(), conv(padding=1))]
            continue
        inner = [*pad, own(), normed(4 * w), nn.ReLU()]
        inner += [Halves()] if dropout else []
        layers += [Sum(*inner, *pad, own(), normed(4 * w))]
    for n in (4 * w, 2 * w):
        layers += [*up(n, n // 2, 3, upsample, bias), normed(n // 2), nn.ReLU()]
    last = nn.Conv2d(w, 3, 7)
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), last, nn.Tanh())


def unet(num_downs, norm, dropout=False, upsample=""):
    w, bias, normed = WIDTH, norm == "instance", NORMS[norm]

    def down(inputs, outputs):
        return nn.Conv2d(inputs, outputs, 4, 2, 1, bias=bias)

    block = Concatenation(
        nn.LeakyReLU(0.2),
        down(8 * w, 8 * w),
        nn.ReLU(),
        *up(8 * w, 8 * w, 4, upsample, bias),
        normed(8 * w),
    )
    for outer, inner, drops in [
        *[(8 * w, 8 * w, dropout)] * (num_downs - 5),
        (4 * w, 8 * w, False),
        (2 * w, 4 * w, False),
        (w, 2 * w, False),
    ]:
        block = Concatenation(
            nn.LeakyReLU(0.2),
            down(outer, inner),
            normed(inner),
            block,
            nn.ReLU(),
            *up(2 * inner, outer, 4, upsample, bias),
            normed(outer),
            *([Halves()] if drops else []),
        )
    last = up(2 * w, 3, 4, upsample, True)
    return nn.Sequential(down(3, w), block, nn.ReLU(), *last, nn.Tanh())


def patch(num_layers, norm):
    normed, w = NORMS[norm], WIDTH
    layers, before = [nn.Conv2d(3, w, 4, 2, 1), nn.LeakyReLU(0.2)], w
    for n in range(1, num_layers + 1):
        after, stride = w * min(2**n, 8), 2 if n < num_layers else 1
        layers += [
            nn.Conv2d(before, after, 4, stride, 1, bias=norm == "instance"),
            normed(after),
            nn.LeakyReLU(0.2),
        ]
        before = after
    return nn.Sequential(*layers, nn.Conv2d(before, 1, 4, 1, 1))


def pixel(norm):
    bias = norm == "instance"
    return nn.Sequential(
        nn.Conv2d(3, WIDTH, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(WIDTH, 2 * WIDTH, 1, bias=bias),
        NORMS[norm](2 * WIDTH),
        nn.LeakyReLU(0.2),
        nn.Conv2d(2 * WIDTH, 1, 1, bias=bias),
    )


def tutorial(norm):
    layers, before = [], 3
    for n, stride in ((1, 2), (2, 2), (4, 2), (8, 2)):
        layers += [nn.Conv2d(before, n * WIDTH, 4, stride, 1)]
        layers += [NORMS[norm](n * WIDTH)] if n > 1 else []
        layers += [nn.LeakyReLU(0.2)]
        before = n * WIDTH
    return nn.Sequential(*layers, nn.Conv2d(before, 1, 4, 1, 1))


# Name, our options, the reference, the images' side, whether training.
GENERATORS = [
    ("resnet_9blocks", {}, resnet(9, "instance", "reflect"), 16, True),
    (
        "resnet_6blocks",
        {"norm": "batch", "padding": "zero"},
        resnet(6, "batch", "zero"),
        12,
        True,
    ),
    (
        "resnet_6blocks",
        {"norm": "batch", "padding": "replicate", "dropout": True},
        resnet(6, "batch", "replicate", dropout=True),
        12,
        False,
    ),
    (
        "resnet_2blocks",
        {"norm": "none", "upsample": "resize"},
        resnet(2, "none", "reflect", upsample="resize"),
        16,
        True,
    ),
    (
        "resnet_2blocks",
        {"block": "tutorial"},
        resnet(2, "instance", "zero", block="tutorial"),
        16,
        True,
    ),
    ("unet_128", {"dropout": True}, unet(7, "instance", dropout=True), 128, True),
    ("unet_256", {"norm": "batch"}, unet(8, "batch"), 256, True),
    (
        "unet_32",
        {"upsample": "resize", "norm": "none"},
        unet(5, "none", upsample="resize"),
        32,
        True,
    ),
]
CRITICS = [
    ("patch", {}, patch(3, "instance"), 64, True),
    ("patch", {"num_layers": 1, "norm": "batch"}, patch(1, "batch"), 32, False),
    ("patch", {"num_layers": 5, "norm": "none"}, patch(5, "none"), 128, True),
    ("pixel", {}, pixel("instance"), 8, True),
    ("pixel", {"norm": "batch"}, pixel("batch"), 8, True),
    ("tutorial", {"norm": "batch"}, tutorial("batch"), 64, True),
]
DEFAULTS = {"width": WIDTH, "norm": "instance", "initializer": "normal", "gain": 0.02}
OF_GENERATORS = {
    "padding": "reflect",
    "block": "residual",
    "dropout": False,
    "upsample": "transposed",
}


def ids(cases):
    return ["-".join(map(str, [name, *o.values()])) for name, o, *_ in cases]


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """Run a test in float32, then in float64 with x64 enabled."""
    x64 = jax.enable_x64(request.param == "float64")
    with x64, jax.default_matmul_precision("highest"):
        yield request.param


def random_variables(network, images):
    """Return variables where nothing is left at 0 or 1, and the paths of the layers.

    The paths are in the order of the layers' creation.
    """
    rng, paths = np.random.default_rng(0), []

    def init(key):
        variables = network.init(key, images, train=True)
        paths.extend(layers_of(variables["params"]))
        return variables

    def draw(path, leaf):
        name = path[-1].key
        if name == "kernel":
            return rng.normal(size=leaf.shape) / np.sqrt(np.prod(leaf.shape[:-1]) / 2)
        return (name in ("scale", "var")) + 0.1 * rng.uniform(-1, 1, size=leaf.shape)

    shapes = jax.eval_shape(init, jax.random.key(0))
    return jax.tree_util.tree_map_with_path(draw, shapes), paths


def layers_of(tree, prefix=()):
    """Yield the path of each layer with parameters."""
    for name, part in tree.items():
        if isinstance(next(iter(part.values())), dict):
            yield from layers_of(part, (*prefix, name))
        else:
            yield (*prefix, name)


def at(tree, path):
    return functools.reduce(lambda part, name: part[name], path, tree)


def copy_weights(variables, paths, reference, dtype):
    """Set the reference's weights; each of its layers with weights is one of ours."""
    theirs = [m for m in reference.modules() if hasattr(m, "weight")]
    theirs = [m for m in theirs if m.weight is not None]

    def tensor(array):
        return nn.Parameter(torch.tensor(array, dtype=getattr(torch, dtype)))

    for path, module in zip(paths, theirs, strict=True):
        arrays = at(variables["params"], path)
        if isinstance(module, nn.BatchNorm2d):
            module.weight = tensor(arrays["scale"])
            kept = at(variables["batch_stats"], path)
            module.running_mean = tensor(kept["mean"]).data
            module.running_var = tensor(kept["var"]).data
        elif isinstance(module, nn.ConvTranspose2d):
            flipped = arrays["kernel"][::-1, ::-1].transpose(2, 3, 0, 1)
            module.weight = tensor(flipped.copy())
        else:
            module.weight = tensor(arrays["kernel"].transpose(3, 2, 0, 1).copy())
        assert (module.bias is not None) == ("bias" in arrays), path
        if module.bias is not None:
            module.bias = tensor(arrays["bias"])


def check_running_statistics(updated, paths, reference, tolerance):
    """Compare the running mean and variance of each BatchNorm with PyTorch's."""
    modules = [m for m in reference.modules() if getattr(m, "weight", None) is not None]
    compared = 0
    for path, module in zip(paths, modules, strict=True):
        if isinstance(module, nn.BatchNorm2d):
            for name, found in at(updated["batch_stats"], path).items():
                np.testing.assert_allclose(
                    found,
                    getattr(module, f"running_{name}"),
                    rtol=tolerance,
                    atol=tolerance,
                    err_msg="/".join(path),
                )
                compared += 1
    assert compared == len(jax.tree.leaves(updated))


def outputs_of(network, reference, side, train, dtype):
    """Return our output and PyTorch's, [b, h, w, c] or [b, h, w], for one input.

    The running statistics that it leaves are compared here.
    """
    x = np.random.default_rng(1).uniform(-1, 1, size=(2, side, side, 3)).astype(dtype)
    variables, paths = random_variables(network, x)
    ours, updated = jax.jit(
        lambda variables, x: network.apply(
            variables, x, train=train, mutable=["batch_stats"]
        ),
        compiler_options=QUICK,
    )(jax.tree.map(lambda leaf: leaf.astype(dtype), variables), x)
    copy_weights(variables, paths, reference, dtype)
    with torch.no_grad():
        theirs = reference.train(train)(torch.tensor(x).permute(0, 3, 1, 2))
    theirs = theirs.permute(0, 2, 3, 1).numpy()
    assert ours.dtype == dtype
    check_running_statistics(updated, paths, reference, TOLERANCES[dtype])
    return np.asarray(ours), theirs[..., 0] if ours.ndim == 3 else theirs


@pytest.mark.parametrize(
    ("name", "options", "reference", "side", "train"), GENERATORS, ids=ids(GENERATORS)
)
def test_generator(name, options, reference, side, train, dtype, monkeypatch):
    if options.get("dropout"):
        # Both sides drop the same elements, at the place where each has its dropout.
        monkeypatch.setattr(image_layers, "dropout", halves)
    network = translation.generator(
        name, channels=3, **{**DEFAULTS, **OF_GENERATORS, **options}
    )
    ours, theirs = outputs_of(network, reference, side, train, dtype)
    # A saturated or constant output would agree for the wrong reason.
    assert np.std(ours) > 0.1
    assert np.mean(np.abs(ours) > 0.999) < 0.3
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCES[dtype])


@pytest.mark.parametrize(
    ("name", "options", "reference", "side", "train"), CRITICS, ids=ids(CRITICS)
)
def test_critic(name, options, reference, side, train, dtype):
    network = translation.critic(name, **{**DEFAULTS, "num_layers": 3, **options})
    ours, theirs = outputs_of(network, reference, side, train, dtype)
    assert np.std(ours) > 0.01
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCES[dtype])
