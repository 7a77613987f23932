"""The layers and initialisers of the image-to-image networks.

Source: junyanz/pytorch-CycleGAN-and-pix2pix, models/networks.py, called the official
code here (docs/papers.md, "CycleGAN: norm layers", and
docs/papers.md, "CycleGAN: initialisation").
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer
from jax import lax

NORMS = ("instance", "batch", "none")
# Names in PyTorch and in this project's configs, to those in numpy.
PADDINGS = {"reflect": "reflect", "replicate": "edge", "zero": "constant"}
UPSAMPLINGS = ("transposed", "resize")
INITIALIZERS = ("normal", "xavier", "kaiming", "orthogonal")
# nn.ConvTranspose2d(size, stride=2, padding=1, output_padding=size % 2), by size. The
# numbers are the zeros around the dilated input, before and after: size - 2 on either
# side, and the output padding after. 'SAME' would be ((2, 1), (2, 1)) for size 3, half
# a pixel off (docs/papers.md, "CycleGAN: padding").
TRANSPOSED_PADDING = {3: ((1, 2), (1, 2)), 4: ((2, 2), (2, 2))}


def kernel_init(name: str, gain: float, transposed: bool = False) -> Initializer:
    """Return the initialiser of a kernel [k, k, in, out] (networks.py, init_weights).

    'normal' is N(0, gain^2), 'xavier' N(0, 2 gain^2 / (fan_in + fan_out)), 'kaiming'
    N(0, 2 / fan_in), which has no gain, and 'orthogonal' gain times a matrix with
    orthonormal rows or columns.

    PyTorch stores the weight of a transposed convolution with its input channels first,
    where a convolution has its outputs. So PyTorch takes the outputs for fan_in there,
    and the orthogonal matrix has a row for each input. This follows PyTorch.
    """
    fan_in, fan_out = (-1, -2) if transposed else (-2, -1)
    axes = {"in_axis": fan_in, "out_axis": fan_out}
    if name == "normal":
        return nn.initializers.normal(gain)
    if name == "orthogonal":
        return nn.initializers.orthogonal(gain, column_axis=fan_out)
    scaling = nn.initializers.variance_scaling
    if name == "xavier":
        return scaling(gain**2, "fan_avg", "normal", **axes)
    return scaling(2.0, "fan_in", "normal", **axes)


def has_bias_before(norm: str) -> bool:
    """Return whether a convolution before this norm has a bias (`use_bias`).

    It is the official code's rule for every convolution without a rule of its own. It
    gives none to the networks with norm 'none' either. The biases before an
    InstanceNorm change nothing, but the official checkpoints have them.
    """
    return norm == "instance"


def pad(inputs: jax.Array, width: int, mode: str) -> jax.Array:
    """Pad images on all four sides: [b, h, w, c] to [b, h + 2 width, w + 2 width, c].

    `mode` is a key of PADDINGS.
    """
    if mode == "zero" or width >= min(inputs.shape[1:3]):
        widths = ((0, 0), (width, width), (width, width), (0, 0))
        return jnp.pad(inputs, widths, mode=PADDINGS[mode])

    # jnp.pad copies the whole map once for each axis. Here only the outer concatenation
    # does: XLA fuses the inner ones into it, because each is used once.
    def borders(x: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
        size = x.shape[axis]
        if mode == "replicate":
            first = lax.slice_in_dim(x, 0, 1, axis=axis)
            last = lax.slice_in_dim(x, size - 1, size, axis=axis)
            return first.repeat(width, axis), last.repeat(width, axis)
        first = lax.slice_in_dim(x, 1, width + 1, axis=axis)
        last = lax.slice_in_dim(x, size - width - 1, size - 1, axis=axis)
        return lax.rev(first, (axis,)), lax.rev(last, (axis,))

    def widen(x: jax.Array, axis: int) -> list[jax.Array]:
        low, high = borders(x, axis)
        return [low, x, high]

    rows = [jnp.concatenate(widen(x, 2), axis=2) for x in widen(inputs, 1)]
    return jnp.concatenate(rows, axis=1)


def upsample_bilinear(inputs: jax.Array) -> jax.Array:
    """Double the side: [b, h, w, c] to [b, 2 h, 2 w, c].

    It is nn.Upsample(scale_factor=2, mode='bilinear'), with half-pixel centres
    (align_corners=False): each output is 3/4 of the nearest input and 1/4 of the next
    one, clamped at the edges.
    """
    batch, height, width, channels = inputs.shape
    shape = (batch, 2 * height, 2 * width, channels)
    return jax.image.resize(inputs, shape, "bilinear")


@jax.custom_vjp
def instance_norm(inputs: jax.Array) -> jax.Array:
    """Normalise each channel of each example [b, h, w, c].

    It is nn.InstanceNorm2d(affine=False): eps 1e-5, biased variance, no parameters.
    The moments are float32 at least.
    """
    # Not `nn.GroupNorm(num_groups=None, group_size=1, epsilon=1e-5, use_bias=False,
    # use_scale=False)` (flax 0.12.8). It takes the variance as E x^2 - (E x)^2, which
    # cancels: for float32 maps of mean 4 and deviation 0.01 its outputs are off by up
    # to 0.19, these by 1.3e-4. With use_fast_variance=False it has the same values, but
    # forward and gradient in a scan took 61 ms for [1, 64, 64, 256] and 77 ms for
    # [4, 64, 64, 64], where this took 42 and 53 (two busy cores, the fastest of 7
    # runs). For bfloat16 inputs all three have the same largest error, 0.0076.
    return _normalise(inputs, *_moments(inputs)).astype(inputs.dtype)


# A gradient of its own, because JAX's takes three sums one after the other, and keeps
# the centred inputs in float32. This one takes two sums at once and keeps the inputs
# themselves: four readings of a map and one writing, not six and two. On two busy cores
# forward and gradient took 0.52 ms of processor time and not 0.71 for [4, 64, 64, 32],
# 0.97 and not 1.04 for [1, 128, 128, 64], and the same for small maps.


def _moments(inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return mean and 1 / deviation [b, 1, 1, c], float32 at least."""
    x = inputs.astype(jnp.promote_types(inputs.dtype, jnp.float32))
    mean = x.mean((1, 2), keepdims=True)
    variance = jnp.square(x - mean).mean((1, 2), keepdims=True)
    # The barrier hides that the caller subtracts the mean too. XLA would else write the
    # difference to memory, for which there is no need.
    return lax.optimization_barrier((mean, lax.rsqrt(variance + 1e-5)))


def _normalise(inputs: jax.Array, mean: jax.Array, scale: jax.Array) -> jax.Array:
    return (inputs.astype(mean.dtype) - mean) * scale


_Saved = tuple[jax.Array, jax.Array, jax.Array]


def _norm_forward(inputs: jax.Array) -> tuple[jax.Array, _Saved]:
    saved = (inputs, *_moments(inputs))
    return _normalise(*saved).astype(inputs.dtype), saved


def _norm_backward(saved: _Saved, cotangents: jax.Array) -> tuple[jax.Array]:
    """Return scale (g - mean g - y mean(g y)) for outputs y and their cotangents g."""
    inputs, mean, scale = saved
    g = cotangents.astype(mean.dtype)
    products = g * _normalise(inputs, mean, scale)
    sums = [x.mean((1, 2), keepdims=True) for x in (g, products)]
    mean_g, mean_gy, mean, scale = lax.optimization_barrier((*sums, mean, scale))
    y = _normalise(inputs, mean, scale)
    return ((scale * (g - mean_g - y * mean_gy)).astype(inputs.dtype),)


instance_norm.defvjp(_norm_forward, _norm_backward)


def dropout(inputs: jax.Array, keys: jax.Array | None, number: int) -> jax.Array:
    """Set half of the elements [b, h, w, c] to 0 and double the others.

    Args:
        inputs: [b, h, w, c].
        keys: a key for each example [b]; None changes nothing.
        number: of the layer, folded into the keys, so that layers have masks of their
            own.
    """
    if keys is None:
        return inputs

    # A key for each example, and not `nn.Dropout`, which has one for the whole batch:
    # the masks must not depend on how a batch is divided among devices.
    def keep(key: jax.Array) -> jax.Array:
        key = jax.random.fold_in(key, number)
        return jax.random.bernoulli(key, 0.5, inputs.shape[1:])

    return jnp.where(jax.vmap(keep)(keys), 2 * inputs, 0).astype(inputs.dtype)
