"""The CIFAR-10 ResNets of the WGAN-GP paper (Appendix F), for 32x32 images.

Source: igul222/improved_wgan_training, gan_cifar_resnet.py l.85-179. The paper
upsamples before a block's second convolution, the code before its first: this follows
the code, whose scores the paper reports.
"""

import flax.linen as nn
import jax
from flax.typing import Dtype, Initializer

from jaxgan.models import layers
from jaxgan.rules import Rule

HE, GLOROT = layers.fan_uniform(he=True), layers.fan_uniform(he=False)
SIDES = Rule("32", lambda side: side == 32)


class UpBlock(nn.Module):
    """BN, ReLU, upsample, conv 3x3, BN, ReLU, conv 3x3; plus upsample, conv 1x1."""

    width: int
    num_classes: int
    axis_name: str | None = None
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, inputs: jax.Array, labels: jax.Array | None, *, train: bool
    ) -> jax.Array:
        """Return [b, 2 h, 2 w, width] for inputs [b, h, w, c].

        labels int32 [b], not used for 0 classes.
        """
        width, dtype = self.width, self.dtype
        x = nn.relu(self.normalise(inputs, labels, train, "norm_1"))
        x = layers.upsample_nearest(x)
        x = layers.conv(width, 3, HE, dtype=dtype, name="conv_1")(x)
        x = nn.relu(self.normalise(x, labels, train, "norm_2"))
        x = layers.conv(width, 3, HE, dtype=dtype, name="conv_2")(x)
        shortcut = layers.conv(width, 1, GLOROT, dtype=dtype, name="shortcut")
        return x + shortcut(layers.upsample_nearest(inputs))

    def normalise(
        self, inputs: jax.Array, labels: jax.Array | None, train: bool, name: str
    ) -> jax.Array:
        """Apply BatchNorm to [b, h, w, c], the conditional one if there are classes."""
        axis_name, dtype = self.axis_name, self.dtype
        if self.num_classes == 0:
            norm = layers.batch_norm(train, axis_name=axis_name, dtype=dtype, name=name)
            return norm(inputs)
        assert labels is not None, "the generator has checked this"
        return layers.ConditionalBatchNorm(
            self.num_classes, axis_name, dtype, name=name
        )(inputs, labels, train=train)


class Generator(nn.Module):
    """Generator; with num_classes > 0 its three blocks have conditional BatchNorm."""

    shape: tuple[int, int, int]
    width: int
    num_classes: int = 0
    axis_name: str | None = None
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, latents: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Return images [b, 32, 32, c] in [-1, 1].

        latents [b, z]; labels int32 [b], not used for 0 classes; `train` normalises by
        the batch's statistics.

        Raises:
            ValueError: the generator is conditional and there are no labels.
        """
        if self.num_classes > 0 and labels is None:
            raise ValueError("a conditional generator needs labels [b]")
        axis_name, dtype = self.axis_name, self.dtype
        project = layers.dense(16 * self.width, GLOROT, dtype=dtype, name="input")
        x = project(latents).reshape(-1, 4, 4, self.width)
        for number in range(3):
            block = UpBlock(
                self.width, self.num_classes, axis_name, dtype, name=f"block_{number}"
            )
            x = block(x, labels, train=train)
        norm = layers.batch_norm(
            train, axis_name=axis_name, dtype=dtype, name="output_norm"
        )
        x = nn.relu(norm(x))
        return nn.tanh(layers.conv(self.shape[2], 3, GLOROT, name="output")(x))


class Critic(nn.Module):
    """Critic without any normalisation; an auxiliary classifier for num_classes > 0."""

    width: int
    num_classes: int = 0
    dtype: Dtype | None = None

    @nn.compact
    def __call__(
        self, images: jax.Array, *, train: bool
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        """Return scores [b] for images [b, 32, 32, c]; train is not used.

        With classes return (scores [b], logits [b, num_classes]), as ACGAN does.
        """

        def conv(size: int, init: Initializer, name: str) -> nn.Conv:
            return layers.conv(self.width, size, init, dtype=self.dtype, name=name)

        # OptimizedResBlockDisc1: no activation before its first convolution.
        x = nn.relu(conv(3, HE, "block_0_conv_1")(images))
        x = layers.mean_pool(conv(3, HE, "block_0_conv_2")(x))
        x += conv(1, GLOROT, "block_0_shortcut")(layers.mean_pool(images))

        # The shortcut of this block convolves before it pools, that of the first after.
        shortcut = layers.mean_pool(conv(1, GLOROT, "block_1_shortcut")(x))
        x = conv(3, HE, "block_1_conv_1")(nn.relu(x))
        x = conv(3, HE, "block_1_conv_2")(nn.relu(x))
        x = layers.mean_pool(x) + shortcut

        for block in ("block_2", "block_3"):
            residual = conv(3, HE, f"{block}_conv_1")(nn.relu(x))
            x += conv(3, HE, f"{block}_conv_2")(nn.relu(residual))

        x = nn.relu(x).mean(axis=(1, 2))
        scores = layers.dense(1, GLOROT, name="output")(x)[:, 0]
        if self.num_classes == 0:
            return scores
        return scores, layers.dense(self.num_classes, GLOROT, name="classes")(x)
