"""The DCGANs of the WGAN paper: 4x4 kernels, stride 2, no biases.

Source: martinarjovsky/WassersteinGAN, models/dcgan.py and main.py (weights_init).
"""

import flax.linen as nn
import jax
from flax.typing import Dtype

from jaxgan.models import layers
from jaxgan.models.convolutions.strided import ConvTranspose
from jaxgan.rules import Rule

KERNEL = nn.initializers.normal(0.02)
SIDES = Rule(
    "a power of two, 16 at least", lambda side: side >= 16 and side & (side - 1) == 0
)


class DCGAN(nn.Module, kw_only=True):
    """The layers that generator and critic share."""

    width: int
    batch_norm: bool
    extra_layers: int
    axis_name: str | None = None
    dtype: Dtype | None = None

    def conv(self, features: int, size: int, name: str, stride: int = 1) -> nn.Conv:
        """Return a convolution: [b, h, w, c] to [b, h / stride, ..., features]."""
        return layers.conv(
            features,
            size,
            KERNEL,
            stride=stride,
            use_bias=False,
            dtype=self.dtype,
            name=name,
        )

    def normalise(self, inputs: jax.Array, train: bool, name: str) -> jax.Array:
        """Apply BatchNorm to [b, h, w, c], if this network has it."""
        if not self.batch_norm:
            return inputs
        return layers.batch_norm(
            train,
            scale_init=layers.batch_norm_scale,
            axis_name=self.axis_name,
            dtype=self.dtype,
            name=name,
        )(inputs)


class Generator(DCGAN):
    """DCGAN_G, or DCGAN_G_nobn without batch_norm.

    The last hidden map has `width` channels; a 4x4 map has width * side / 8.
    """

    shape: tuple[int, int, int]

    @nn.compact
    def __call__(
        self, latents: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Return images [b, h, w, c] in [-1, 1] for latents [b, z].

        Labels are not used; `train` normalises by the batch's statistics.
        """
        side, channels = self.shape[0], self.shape[2]
        width = self.width * side // 8
        # A 4x4 transposed convolution of a 1x1 map is a matrix product.
        x = layers.dense(
            16 * width, KERNEL, use_bias=False, dtype=self.dtype, name="input"
        )(latents).reshape(-1, 4, 4, width)
        x = nn.relu(self.normalise(x, train, "input_norm"))
        while x.shape[1] < side // 2:
            width //= 2
            name = f"up_{2 * x.shape[1]}"
            x = ConvTranspose(width, 4, KERNEL, False, self.dtype, name=name)(x)
            x = nn.relu(self.normalise(x, train, f"{name}_norm"))
        for number in range(self.extra_layers):
            name = f"extra_{number}"
            x = self.conv(width, 3, name)(x)
            x = nn.relu(self.normalise(x, train, f"{name}_norm"))
        return nn.tanh(ConvTranspose(channels, 4, KERNEL, False, name="output")(x))


class Critic(DCGAN):
    """DCGAN_D, or DCGAN_D_nobn without batch_norm.

    The first map has `width` channels; each halving of the side doubles them. The
    authors' networks return the mean of the batch's scores; this one returns them all.
    """

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Return scores [b] for images [b, h, w, c]."""
        activation = layers.ACTIVATIONS["leaky_relu"]
        width, side = self.width, images.shape[1] // 2
        x = activation(self.conv(width, 4, "input", stride=2)(images))
        for number in range(self.extra_layers):
            name = f"extra_{number}"
            x = self.conv(width, 3, name)(x)
            x = activation(self.normalise(x, train, f"{name}_norm"))
        while side > 4:
            width, side = 2 * width, side // 2
            name = f"down_{side}"
            x = self.conv(width, 4, name, stride=2)(x)
            x = activation(self.normalise(x, train, f"{name}_norm"))
        # A 4x4 convolution of a 4x4 map without padding is a matrix product.
        x = x.reshape(len(x), -1)
        return layers.dense(1, KERNEL, use_bias=False, name="output")(x)[:, 0]
