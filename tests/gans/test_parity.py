"""The networks and the gradient penalty against PyTorch, weights copied over.

The PyTorch side is written here from the papers' code, in NCHW and with PyTorch's own
layers; it shares nothing with jaxgan but the arrays of the weights.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.models import latent

torch = pytest.importorskip("torch", reason="needs the extra `parity`")
F = torch.nn.functional

pytestmark = pytest.mark.parity
TOLERANCES = {"float32": 1e-4, "float64": 1e-9}


def random_params(network, inputs):
    """Return parameters of the network's shapes: nothing is left at 0 or 1."""
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        name = path[-1].key
        if name == "kernel":
            return rng.normal(size=leaf.shape) / np.sqrt(np.prod(leaf.shape[:-1]))
        return (name == "scale") + 0.1 * rng.normal(size=leaf.shape)

    variables = jax.eval_shape(
        lambda key: network.init(key, inputs, train=True), jax.random.key(0)
    )
    return jax.tree_util.tree_map_with_path(draw, variables["params"])


def torch_params(params, dtype):
    """Return the same tree of tensors that require a gradient."""
    return jax.tree.map(
        lambda x: torch.tensor(x, dtype=getattr(torch, dtype), requires_grad=True),
        params,
    )


def linear(x, p):
    """nn.Linear: weight [out, in]."""
    return F.linear(x, p["kernel"].T, p.get("bias"))


def linear_to_map(x, p, channels, side):
    """nn.Linear whose output is viewed as [b, c, side, side]."""
    made = linear(x, p).view(-1, side, side, channels)
    return made.permute(0, 3, 1, 2)


def linear_of_map(x, p):
    """nn.Linear of a map [b, c, h, w]; the weights' order is that of [b, h, w, c]."""
    return linear(x.permute(0, 2, 3, 1).flatten(1), p)


def conv(x, p, stride=1, padding=1):
    """nn.Conv2d: weight [out, in, h, w]."""
    weight = p["kernel"].permute(3, 2, 0, 1)
    return F.conv2d(x, weight, p.get("bias"), stride, padding)


def deconv(x, p, stride=2, padding=1):
    """nn.ConvTranspose2d: weight [in, out, h, w], flipped."""
    weight = p["kernel"].flip(0, 1).permute(2, 3, 0, 1)
    return F.conv_transpose2d(x, weight, p.get("bias"), stride, padding)


def batch_norm(x, p):
    """nn.BatchNorm2d in training mode."""
    return F.batch_norm(x, None, None, p["scale"], p["bias"], training=True, eps=1e-5)


def layer_norm(x, p):
    """Moments over channels, height and width, scale and offset by channel."""
    return F.group_norm(x, 1, p["scale"], p["bias"], eps=1e-5)


def leaky_relu(x):
    return F.leaky_relu(x, 0.2)


def upsample(x):
    return F.interpolate(x, scale_factor=2, mode="nearest")


def dcgan_generator(z, p):
    """DCGAN_G(64) of martinarjovsky/WassersteinGAN."""
    weight = p["input"]["kernel"].view(z.shape[1], 4, 4, -1).permute(0, 3, 1, 2)
    x = F.conv_transpose2d(z[:, :, None, None], weight, None, 1, 0)
    x = F.relu(batch_norm(x, p["input_norm"]))
    for side in (8, 16, 32):
        x = F.relu(batch_norm(deconv(x, p[f"up_{side}"]), p[f"up_{side}_norm"]))
    return torch.tanh(deconv(x, p["output"]))


def dcgan_critic(x, p):
    """DCGAN_D(64), before its mean over the batch."""
    x = leaky_relu(conv(x, p["input"], 2, 1))
    for side in (16, 8, 4):
        x = conv(x, p[f"down_{side}"], 2, 1)
        x = leaky_relu(batch_norm(x, p[f"down_{side}_norm"]))
    weight = p["output"]["kernel"].view(4, 4, -1, 1).permute(3, 2, 0, 1)
    return F.conv2d(x, weight, None, 1, 0).flatten()


def tutorial_generator(z, p):
    """Tutorial 11's generator."""
    x = F.relu(linear(z, p["hidden_0"]))
    x = F.relu(linear(x, p["hidden_1"]))
    return torch.tanh(linear(x, p["output"])).view(-1, 1, 28, 28)


def tutorial_critic(x, p):
    """Tutorial 11's discriminator."""
    x = leaky_relu(linear(x.reshape(-1, 28 * 28), p["hidden_0"]))
    x = leaky_relu(linear(x, p["hidden_1"]))
    return linear(x, p["output"])[:, 0]


def resnet32_generator(z, p):
    """gan_cifar_resnet.py, Generator without labels."""
    x = linear_to_map(z, p["input"], 8, 4)
    for block in (p["block_0"], p["block_1"], p["block_2"]):
        shortcut = conv(upsample(x), block["shortcut"], padding=0)
        x = upsample(F.relu(batch_norm(x, block["norm_1"])))
        x = F.relu(batch_norm(conv(x, block["conv_1"]), block["norm_2"]))
        x = conv(x, block["conv_2"]) + shortcut
    x = F.relu(batch_norm(x, p["output_norm"]))
    return torch.tanh(conv(x, p["output"]))


def resnet32_critic(x, p):
    """gan_cifar_resnet.py, Discriminator without classes."""
    shortcut = conv(F.avg_pool2d(x, 2), p["block_0_shortcut"], padding=0)
    x = conv(F.relu(conv(x, p["block_0_conv_1"])), p["block_0_conv_2"])
    x = F.avg_pool2d(x, 2) + shortcut

    shortcut = F.avg_pool2d(conv(x, p["block_1_shortcut"], padding=0), 2)
    x = conv(F.relu(conv(F.relu(x), p["block_1_conv_1"])), p["block_1_conv_2"])
    x = F.avg_pool2d(x, 2) + shortcut

    for n in (2, 3):
        residual = F.relu(conv(F.relu(x), p[f"block_{n}_conv_1"]))
        x = x + conv(residual, p[f"block_{n}_conv_2"])
    return linear(F.relu(x).mean(dim=(2, 3)), p["output"])[:, 0]


def resnet64_generator(z, p):
    """gan_64x64.py, GoodGenerator."""
    x = linear_to_map(z, p["input"], 16, 4)
    for block in (p["block_0"], p["block_1"], p["block_2"], p["block_3"]):
        shortcut = conv(upsample(x), block["shortcut"], padding=0)
        x = upsample(F.relu(batch_norm(x, block["norm_1"])))
        x = F.relu(batch_norm(conv(x, block["conv_1"]), block["norm_2"]))
        x = conv(x, block["conv_2"]) + shortcut
    x = F.relu(batch_norm(x, p["output_norm"]))
    return torch.tanh(conv(x, p["output"]))


def resnet64_critic(x, p):
    """gan_64x64.py, GoodDiscriminator."""
    x = conv(x, p["input"])
    for block in (p["block_0"], p["block_1"], p["block_2"], p["block_3"]):
        shortcut = conv(F.avg_pool2d(x, 2), block["shortcut"], padding=0)
        x = conv(F.relu(layer_norm(x, block["norm_1"])), block["conv_1"])
        x = conv(F.relu(layer_norm(x, block["norm_2"])), block["conv_2"])
        x = F.avg_pool2d(x, 2) + shortcut
    return linear_of_map(x, p["output"])[:, 0]


def mnist_generator(z, p):
    """gan_mnist.py, Generator: TensorFlow's 5x5 'SAME' transposed convolutions."""

    def deconv5(x, p):
        return deconv(x, p, 2, 0)[:, :, 1:-2, 1:-2]

    x = F.relu(linear_to_map(z, p["input"], 16, 4))
    x = F.relu(deconv5(x, p["up_0"]))[:, :, :7, :7]
    x = F.relu(deconv5(x, p["up_1"]))
    return torch.sigmoid(deconv5(x, p["output"]))


def mnist_critic(x, p):
    """gan_mnist.py, Discriminator: TensorFlow's 5x5 'SAME' convolutions."""
    for n, pads in enumerate([(1, 2, 1, 2), (1, 2, 1, 2), (2, 2, 2, 2)]):
        x = leaky_relu(conv(F.pad(x, pads), p[f"down_{n}"], 2, 0))
    return linear_of_map(x, p["output"])[:, 0]


DCGAN = {"width": 8, "batch_norm": True, "extra_layers": 0}
TUTORIAL = {"initializer": "torch"}
MNIST = {"width": 4, "norm": "none"}
GENERATORS = [
    ("dcgan", (64, 64, 3), DCGAN, dcgan_generator),
    (
        "mlp",
        (28, 28, 1),
        {**TUTORIAL, "hidden": (128, 256), "activation": "relu", "output": "tanh"},
        tutorial_generator,
    ),
    ("resnet32", (32, 32, 3), {"width": 8}, resnet32_generator),
    ("resnet64", (64, 64, 3), {"width": 2}, resnet64_generator),
    ("dcgan_5x5", (28, 28, 1), {**MNIST, "output": "sigmoid"}, mnist_generator),
]
TUTORIAL_CRITIC = {**TUTORIAL, "hidden": (256, 128), "activation": "leaky_relu"}
CRITICS = [
    ("dcgan", (64, 64, 3), DCGAN, dcgan_critic),
    ("mlp", (28, 28, 1), TUTORIAL_CRITIC, tutorial_critic),
    ("resnet32", (32, 32, 3), {"width": 8}, resnet32_critic),
    ("resnet64", (64, 64, 3), {"width": 2}, resnet64_critic),
    ("dcgan_5x5", (28, 28, 1), MNIST, mnist_critic),
]


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """Run a test in float32, then in float64 with x64 enabled."""
    x64 = jax.enable_x64(request.param == "float64")
    with x64, jax.default_matmul_precision("highest"):
        yield request.param


def scores_of(network, params, images):
    return network.apply(
        {"params": params}, images, train=True, mutable=["batch_stats"]
    )[0]


@pytest.mark.parametrize(("name", "shape", "options", "reference"), GENERATORS)
def test_generator(name, shape, options, reference, dtype):
    network = latent.generator(name, shape=shape, **options)
    z = np.random.default_rng(1).normal(size=(4, 20)).astype(dtype)
    params = random_params(network, z)
    ours = jax.jit(
        lambda params, z: network.apply(
            {"params": params}, z, train=True, mutable=["batch_stats"]
        )[0]
    )(jax.tree.map(lambda x: x.astype(dtype), params), z)
    with torch.no_grad():
        theirs = reference(torch.tensor(z), torch_params(params, dtype))
    assert ours.dtype == dtype
    # A saturated or constant output would agree for the wrong reason.
    assert np.std(ours) > 0.01
    assert np.mean(np.abs(ours) > 0.999) < 0.1
    np.testing.assert_allclose(
        ours, theirs.permute(0, 2, 3, 1).numpy(), rtol=0, atol=TOLERANCES[dtype]
    )


@pytest.mark.parametrize(("name", "shape", "options", "reference"), CRITICS)
def test_critic(name, shape, options, reference, dtype):
    network = latent.critic(name, shape=shape, **options)
    x = np.random.default_rng(1).uniform(-1, 1, size=(4, *shape)).astype(dtype)
    params = random_params(network, x)
    ours = jax.jit(lambda params, x: scores_of(network, params, x))(
        jax.tree.map(lambda x: x.astype(dtype), params), x
    )
    with torch.no_grad():
        theirs = reference(
            torch.tensor(x).permute(0, 3, 1, 2), torch_params(params, dtype)
        )
    assert ours.dtype == dtype
    assert np.std(ours) > 1e-3
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=TOLERANCES[dtype])


def torch_penalty(reference, images, params):
    """mean((||dD/dx|| - 1)^2), differentiable once more."""
    x = images.permute(0, 3, 1, 2).requires_grad_()
    scores = reference(x, params)
    slopes = torch.autograd.grad(scores.sum(), x, create_graph=True)[0]
    return ((slopes.flatten(1).norm(dim=1) - 1) ** 2).mean()


PENALISED = [critic for critic in CRITICS if critic[0] != "dcgan"]


@pytest.mark.parametrize(("name", "shape", "options", "reference"), PENALISED)
def test_gradient_of_the_gradient_penalty(name, shape, options, reference, dtype):
    network = latent.critic(name, shape=shape, **options)
    x = np.random.default_rng(1).uniform(-1, 1, size=(3, *shape)).astype(dtype)
    params = random_params(network, x)

    def penalty(params, x):
        slopes = jax.grad(lambda x: scores_of(network, params, x).sum())(x)
        norms = jnp.sqrt((slopes**2).sum(axis=(1, 2, 3)))
        return ((norms - 1) ** 2).mean()

    value, gradient = jax.jit(jax.value_and_grad(penalty))(
        jax.tree.map(lambda x: x.astype(dtype), params), x
    )
    tensors = torch_params(params, dtype)
    expected = torch_penalty(reference, torch.tensor(x), tensors)
    expected.backward()

    assert value > 1e-3
    np.testing.assert_allclose(value, expected.item(), rtol=TOLERANCES[dtype])
    for path, leaf in jax.tree_util.tree_flatten_with_path(gradient)[0]:
        theirs = tensors
        for key in path:
            theirs = theirs[key.key]
        # The last bias does not reach the input's gradient: PyTorch gives None.
        theirs = 0 if theirs.grad is None else theirs.grad.numpy()
        scale = max(1e-3, np.abs(theirs).max())
        np.testing.assert_allclose(
            leaf / scale, theirs / scale, rtol=0, atol=TOLERANCES[dtype], err_msg=path
        )
