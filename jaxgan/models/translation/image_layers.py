"""The layers that the image-to-image networks share.

Source: upstream networks.py (junyanz/pytorch-CycleGAN-and-pix2pix), written down in
spec/cyclegan.md 1.2, 1.6 and 1.14. Every padding is explicit: 'SAME' differs from
PyTorch's for half of these layers.

Functions whose first argument is `module` read its fields norm, initializer, gain,
axis_name and dtype.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer

from jaxgan.models import layers
from jaxgan.models.convolutions import strided

NORMS = ("instance", "batch", "none")
PADDINGS = {"reflect": "reflect", "replicate": "edge", "zero": "constant"}
UPSAMPLINGS = ("transposed", "resize")
INITIALIZERS = ("normal", "xavier", "kaiming", "orthogonal")
# nn.ConvTranspose2d(size, stride=2, padding=1, output_padding=size % 2) by size: the
# zeros around the dilated input, size - 2 before and behind, and the output padding.
TRANSPOSED_PADDING = {3: ((1, 2), (1, 2)), 4: ((2, 2), (2, 2))}


def kernel_init(name: str, gain: float, transposed: bool = False) -> Initializer:
    """Return the initialiser of a kernel [k, k, in, out] (init_weights).

    'normal' is N(0, gain^2), 'xavier' N(0, 2 gain^2 / (fan_in + fan_out)), 'kaiming'
    N(0, 2 / fan_in), which has no gain, and 'orthogonal' gain times a matrix with
    orthonormal rows or columns. PyTorch's weight of a transposed convolution begins
    with its *input* channels, so that there fan_in counts the outputs, and the matrix
    has a row for each input.
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


def has_bias(norm: str) -> bool:
    """Return upstream's rule for every convolution that has no rule of its own.

    'none' has no bias either. The biases before an InstanceNorm change nothing, but
    upstream's checkpoints have them.
    """
    return norm == "instance"


def conv(module: nn.Module, features: int, size: int, name: str, **options) -> nn.Conv:
    """Return a convolution by `module`; options `stride`, `padding` and `nn.Conv`'s.

    `padding` is the zeros on every side, `dtype` the module's unless given.
    """
    padding = options.pop("padding", 0)
    options = {"dtype": module.dtype, **options}  # type: ignore[attr-defined]
    return layers.conv(
        features,
        size,
        kernel_init(module.initializer, module.gain),  # type: ignore[attr-defined]
        padding=((padding, padding), (padding, padding)),
        name=name,
        **options,
    )


def double(
    module: nn.Module, inputs, features: int, size: int, name: str, **options
) -> jax.Array:
    """Double the side: [b, h, w, c] to [b, 2 h, 2 w, features].

    `module.upsample` 'transposed' is upstream's transposed convolution, of `size` 3 or
    4. 'resize' is what its authors advise against checkerboards (qa.md): bilinear
    upsampling, reflection padding of 1, a 3x3 convolution.
    """
    if module.upsample == "resize":  # type: ignore[attr-defined]
        x = pad(bilinear(inputs), 1, "reflect")
        return conv(module, features, 3, name, **options)(x)
    init = kernel_init(
        module.initializer,  # type: ignore[attr-defined]
        module.gain,  # type: ignore[attr-defined]
        transposed=True,
    )
    options = {"dtype": module.dtype, **options}  # type: ignore[attr-defined]
    return strided.ConvTranspose(
        features, size, init, padding=TRANSPOSED_PADDING[size], name=name, **options
    )(inputs)


def pad(inputs, width: int, mode: str) -> jax.Array:
    """Pad height and width by `width` on every side; mode as in PADDINGS."""
    widths = ((0, 0), (width, width), (width, width), (0, 0))
    return jnp.pad(inputs, widths, mode=PADDINGS[mode])


def bilinear(inputs) -> jax.Array:
    """Upsample twofold: nn.Upsample(scale_factor=2, mode='bilinear').

    Half-pixel centres (align_corners=False): each output is 3/4 of the nearest input
    and 1/4 of the next one, clamped at the edges.
    """
    for axis in (1, 2):
        size = inputs.shape[axis]
        padded = jnp.concatenate(
            [
                jax.lax.slice_in_dim(inputs, 0, 1, axis=axis),
                inputs,
                jax.lax.slice_in_dim(inputs, size - 1, size, axis=axis),
            ],
            axis,
        )
        before = jax.lax.slice_in_dim(padded, 0, size, axis=axis)
        after = jax.lax.slice_in_dim(padded, 2, size + 2, axis=axis)
        both = [0.25 * before + 0.75 * inputs, 0.75 * inputs + 0.25 * after]
        shape = list(inputs.shape)
        shape[axis] *= 2
        inputs = jnp.stack(both, axis=axis + 1).reshape(shape)
    return inputs


def normalise(module: nn.Module, inputs, train: bool, name: str) -> jax.Array:
    """Apply the module's norm to [b, h, w, c]."""
    norm = module.norm  # type: ignore[attr-defined]
    if norm == "none":
        return inputs
    if norm == "instance":
        return instance_norm(inputs)
    return layers.batch_norm(
        train,
        scale_init=layers.bn_scale,
        axis_name=module.axis_name,  # type: ignore[attr-defined]
        dtype=module.dtype,  # type: ignore[attr-defined]
        name=name,
    )(inputs)


def instance_norm(inputs) -> jax.Array:
    """Normalise each channel of each example: nn.InstanceNorm2d(affine=False).

    Eps 1e-5, biased variance, no parameters; moments in float32 at least.
    """
    x = inputs.astype(jnp.promote_types(inputs.dtype, jnp.float32))
    centred = x - x.mean((1, 2), keepdims=True)
    variance = jnp.square(centred).mean((1, 2), keepdims=True)
    return (centred * jax.lax.rsqrt(variance + 1e-5)).astype(inputs.dtype)


def dropout(inputs, keys, number: int) -> jax.Array:
    """Set half of the elements [b, h, w, c] to 0 and double the others.

    The mask of an example is drawn from its own key, keys [b], folded with the layer's
    `number`; so it does not depend on how a batch is divided among devices. `keys` None
    changes nothing.
    """
    if keys is None:
        return inputs

    def keep(key):
        key = jax.random.fold_in(key, number)
        return jax.random.bernoulli(key, 0.5, inputs.shape[1:])

    return jnp.where(jax.vmap(keep)(keys), 2 * inputs, 0).astype(inputs.dtype)
