"""The layers and initialisers that the networks share.

"tflib" is the library in igul222/improved_wgan_training (TensorFlow 1), whose folder
tflib/ops has the files named here.

Parameters are float32, or float64 where JAX has x64 enabled. `dtype` is the type to
compute in; None promotes the types of inputs and parameters.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Dtype, Initializer
from jax import lax

from jaxgan.models.convolutions import strided

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": nn.relu,
    "leaky_relu": lambda x: nn.leaky_relu(x, negative_slope=0.2),
}
OUTPUTS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "tanh": nn.tanh,
    "sigmoid": nn.sigmoid,
    "linear": lambda x: x,
}


def uniform(stddev: float) -> Initializer:
    """Return the initialiser that draws from U(-a, a), a = sqrt(3) stddev."""

    def init(
        key: jax.Array,
        shape: Sequence[int],
        dtype: Any = jnp.float32,
        out_sharding: Any = None,
    ) -> jax.Array:
        limit = math.sqrt(3) * stddev
        return jax.random.uniform(key, shape, dtype, minval=-limit, maxval=limit)

    return init


def fan_uniform(he: bool, down: int = 1, up: int = 1) -> Initializer:
    """Return tflib's initialiser of kernels [..., in, out] (conv2d.py, deconv2d.py).

    It is uniform with variance 4 / (fan_in + fan_out) (He) or 2 / (fan_in + fan_out)
    (Glorot). The fan on the side with more pixels is divided by the stride squared.
    `fan_uniform(he=False)` is also tflib's default for linear layers (linear.py).

    Args:
        he: He's variance, not Glorot's.
        down: stride of a convolution, which divides fan_out by down^2.
        up: stride of a transposed convolution, which divides fan_in by up^2.
    """

    def init(
        key: jax.Array,
        shape: Sequence[int],
        dtype: Any = jnp.float32,
        out_sharding: Any = None,
    ) -> jax.Array:
        taps = math.prod(shape[:-2])
        fan_in = shape[-2] * taps / up**2
        fan_out = shape[-1] * taps / down**2
        stddev = math.sqrt((4 if he else 2) / (fan_in + fan_out))
        return uniform(stddev)(key, shape, dtype)

    return init


def dense(features: int, kernel_init: Initializer, **options: Any) -> nn.Dense:
    """Return `nn.Dense` with this module's parameter type; [b, n] to [b, features]."""
    return nn.Dense(
        features,
        kernel_init=kernel_init,
        param_dtype=jnp.result_type(float),
        **options,
    )


def conv(
    features: int, size: int, kernel_init: Initializer, stride: int = 1, **options: Any
) -> nn.Conv:
    """Return a size x size `nn.Conv`: [b, h, w, c] to [b, h / stride, ..., features].

    The padding is TensorFlow's 'SAME' unless `options` has another. That equals
    PyTorch's padding = 1 for 3x3 at stride 1, and for 4x4 at stride 2 of even images.
    """
    return nn.Conv(
        features,
        (size, size),
        strides=stride,
        kernel_init=kernel_init,
        param_dtype=jnp.result_type(float),
        conv_general_dilated=strided.conv,
        **options,
    )


def batch_norm_scale(
    key: jax.Array,
    shape: Sequence[int],
    dtype: Any = jnp.float32,
    out_sharding: Any = None,
) -> jax.Array:
    """Draw the initial scales of a BatchNorm from N(1, 0.02^2).

    WassersteinGAN (main.py, weights_init) and CycleGAN (networks.py, init_weights) do.
    """
    return 1 + nn.initializers.normal(0.02)(key, shape, dtype)


class BatchNorm(nn.BatchNorm):
    """Flax's BatchNorm, but its running variance is of the unbiased one, as PyTorch's.

    The running variance takes the batch's variance times n / (n - 1), where n counts
    the values of a channel: examples times pixels, on all devices of `axis_name`. Of a
    batch in micro-batches, these are the values of one micro-batch. All else is Flax's,
    also the names of the arrays. It normalises by the biased variance, as PyTorch does.

    One value has no unbiased variance. PyTorch raises an error at n = 1; here the
    running variance takes the biased one, 0.
    """

    def __call__(self, x: jax.Array) -> jax.Array:  # type: ignore[override]
        """Normalise x [..., c] over all axes but the last."""
        if self.use_running_average or self.is_initializing():
            return super().__call__(x)  # which updates nothing
        # Flax starts at 1 where no statistics are given.
        before = self.get_variable("batch_stats", "var", 1.0)
        outputs = super().__call__(x)
        after: jax.Array = self.get_variable("batch_stats", "var")
        count = x.size // x.shape[-1]
        if self.axis_name is not None:
            count *= lax.axis_size(self.axis_name)
        # Flax's update has added this: the batch's biased variance, by its weight.
        added = after - self.momentum * before
        self.put_variable("batch_stats", "var", after + added / max(count - 1, 1))
        return outputs


def batch_norm(train: bool, **options: Any) -> BatchNorm:
    """Return `BatchNorm` of eps 1e-5 and momentum 0.9, which is PyTorch's 0.1.

    `train` normalises by the batch's statistics and updates the running average.
    """
    parameters = jnp.result_type(float)
    return BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        epsilon=1e-5,
        param_dtype=parameters,
        # Flax would keep the statistics in float32 under x64 too, where one training
        # step would then change their type.
        force_float32_reductions=parameters == jnp.float32,
        **options,
    )


def layer_norm(**options: Any) -> nn.LayerNorm:
    """Return tflib's Layernorm (layernorm.py) for [b, h, w, c].

    The moments are over height, width and channels of an example, scale and offset are
    one for each channel, eps is 1e-5. `nn.LayerNorm()` without these arguments takes
    the moments over the channels only, with eps 1e-6.
    """
    return nn.LayerNorm(
        epsilon=1e-5,
        reduction_axes=(1, 2, 3),
        feature_axes=-1,
        param_dtype=jnp.result_type(float),
        **options,
    )


class ConditionalBatchNorm(nn.Module):
    """BatchNorm with a scale and an offset of its own for each class.

    Source: Dumoulin et al., arXiv 1610.07629; tflib's cond_batchnorm.py. A label
    outside [0, num_classes) gives NaN.
    """

    num_classes: int
    axis_name: str | None = None
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, inputs: jax.Array, labels: jax.Array, *, train: bool
    ) -> jax.Array:
        """Normalise inputs [b, h, w, c] over the batch; labels int32 [b]."""
        parameters, init = jnp.result_type(float), nn.initializers
        shape = (self.num_classes, inputs.shape[-1])
        scale = self.param("scale", init.ones, shape, parameters)
        bias = self.param("bias", init.zeros, shape, parameters)
        outputs = batch_norm(
            train,
            use_scale=False,
            use_bias=False,
            axis_name=self.axis_name,
            dtype=self.dtype,
            name="moments",
        )(inputs)
        scale, bias = (
            jnp.take(table, labels, axis=0)[:, None, None, :].astype(outputs.dtype)
            for table in (scale, bias)
        )
        return outputs * scale + bias


def mean_pool(inputs: jax.Array) -> jax.Array:
    """Average 2x2 windows: [b, h, w, c] to [b, h / 2, w / 2, c]; even sides only."""
    batch, height, width, channels = inputs.shape
    windows = inputs.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return windows.mean(axis=(2, 4))


def upsample_nearest(inputs: jax.Array) -> jax.Array:
    """Repeat each pixel (nearest neighbour): [b, h, w, c] to [b, 2 h, 2 w, c]."""
    return inputs.repeat(2, axis=1).repeat(2, axis=2)
