"""The 64x64 ResNets of the WGAN-GP code: GoodGenerator and GoodDiscriminator.

Source: igul222/improved_wgan_training, gan_64x64.py (ResidualBlock, GoodGenerator,
GoodDiscriminator).
"""

import flax.linen as nn
import jax
from flax.typing import Dtype, Initializer

from jaxgan.models import layers
from jaxgan.rules import Rule

HE, GLOROT = layers.fan_uniform(he=True), layers.fan_uniform(he=False)
SIDES = Rule("64", lambda side: side == 64)


class UpBlock(nn.Module):
    """BN, ReLU, upsample, conv 3x3, BN, ReLU, conv 3x3; plus upsample, conv 1x1."""

    width: int
    axis_name: str | None = None
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
        """Return [b, 2 h, 2 w, width] for inputs [b, h, w, c]."""

        def norm(name: str) -> nn.BatchNorm:
            return layers.batch_norm(
                train, axis_name=self.axis_name, dtype=self.dtype, name=name
            )

        def conv(
            size: int, init: Initializer, name: str, use_bias: bool = True
        ) -> nn.Conv:
            return layers.conv(
                self.width, size, init, use_bias=use_bias, dtype=self.dtype, name=name
            )

        x = layers.upsample_nearest(nn.relu(norm("norm_1")(inputs)))
        x = conv(3, HE, "conv_1", use_bias=False)(x)
        x = conv(3, HE, "conv_2")(nn.relu(norm("norm_2")(x)))
        return x + conv(1, GLOROT, "shortcut")(layers.upsample_nearest(inputs))


class DownBlock(nn.Module):
    """LN, ReLU, conv 3x3, LN, ReLU, conv 3x3, pool; plus pool, conv 1x1."""

    width: int
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Return [b, h / 2, w / 2, width] for inputs [b, h, w, c]."""
        dtype, channels = self.dtype, inputs.shape[-1]
        x = nn.relu(layers.layer_norm(dtype=dtype, name="norm_1")(inputs))
        # The first convolution keeps the channels of the input.
        x = layers.conv(channels, 3, HE, use_bias=False, dtype=dtype, name="conv_1")(x)
        x = nn.relu(layers.layer_norm(dtype=dtype, name="norm_2")(x))
        x = layers.conv(self.width, 3, HE, dtype=dtype, name="conv_2")(x)
        shortcut = layers.conv(self.width, 1, GLOROT, dtype=dtype, name="shortcut")
        return layers.mean_pool(x) + shortcut(layers.mean_pool(inputs))


class Generator(nn.Module):
    """Generator of four blocks with 8, 4, 2 and 1 times `width` channels."""

    shape: tuple[int, int, int]
    width: int
    axis_name: str | None = None
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, latents: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Return images [b, 64, 64, c] in [-1, 1] for latents [b, z].

        Labels are not used; `train` normalises by the batch's statistics.
        """
        axis_name, dtype = self.axis_name, self.dtype
        project = layers.dense(128 * self.width, GLOROT, dtype=dtype, name="input")
        x = project(latents).reshape(-1, 4, 4, 8 * self.width)
        for number, factor in enumerate((8, 4, 2, 1)):
            width, name = factor * self.width, f"block_{number}"
            x = UpBlock(width, axis_name, dtype, name=name)(x, train=train)
        norm = layers.batch_norm(
            train, axis_name=axis_name, dtype=dtype, name="output_norm"
        )
        x = nn.relu(norm(x))
        # GoodGenerator's output layer keeps He's scale; the CIFAR-10 ResNet's does not.
        return nn.tanh(layers.conv(self.shape[2], 3, HE, name="output")(x))


class Critic(nn.Module):
    """Critic of four blocks with LayerNorm and 2, 4, 8 and 8 times `width` channels."""

    width: int
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Return scores [b] for images [b, 64, 64, c]; train is not used."""
        x = layers.conv(self.width, 3, GLOROT, dtype=self.dtype, name="input")(images)
        for number, factor in enumerate((2, 4, 8, 8)):
            x = DownBlock(factor * self.width, self.dtype, name=f"block_{number}")(x)
        x = x.reshape(len(x), -1)
        return layers.dense(1, GLOROT, name="output")(x)[:, 0]
