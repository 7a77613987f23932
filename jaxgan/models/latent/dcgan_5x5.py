"""The DCGANs of the WGAN-GP code: 5x5 kernels, stride 2, biases.

Source: igul222/improved_wgan_training: gan_mnist.py (28x28), gan_cifar.py (32x32) and
gan_64x64.py (64x64, where every weight is drawn from a uniform distribution of standard
deviation 0.02). The authors have no networks for 8x8 and 16x16: these follow
gan_cifar.py with two convolutions, from 2x2 and 4x4.
"""

import flax.linen as nn
import jax
from flax.typing import Dtype, Initializer

from jaxgan.models import layers
from jaxgan.models.convolutions.strided import ConvTranspose
from jaxgan.rules import Rule

# Number of stride-2 convolutions in either network, by the images' side.
DEPTHS = {8: 2, 16: 2, 28: 3, 32: 3, 64: 4}
SIDES = Rule("one of " + ", ".join(map(str, DEPTHS)), DEPTHS.__contains__)


def dense_init(side: int) -> Initializer:
    """Return the initialiser of a linear layer's kernel, for images of this side."""
    return layers.uniform(0.02) if side == 64 else layers.fan_uniform(he=False)


def conv_init(side: int, down: int = 1, up: int = 1) -> Initializer:
    """Return the initialiser of a (transposed) convolution's kernel with this stride.

    Args:
        side: of the images.
        down: the stride of a convolution.
        up: the stride of a transposed convolution.
    """
    if side == 64:
        return layers.uniform(0.02)
    return layers.fan_uniform(he=True, down=down, up=up)


class DCGAN(nn.Module, kw_only=True):
    """What generator and critic share: fields and the norm."""

    width: int
    norm: str
    axis_name: str | None = None
    dtype: Dtype | None = None

    def normalise(self, inputs: jax.Array, train: bool, name: str) -> jax.Array:
        """Apply this network's norm to [b, h, w, c], or BatchNorm to [b, n]."""
        if self.norm == "none":
            return inputs
        if self.norm == "layer":
            return layers.layer_norm(dtype=self.dtype, name=name)(inputs)
        return layers.batch_norm(
            train, axis_name=self.axis_name, dtype=self.dtype, name=name
        )(inputs)


class Generator(DCGAN):
    """DCGAN generator; norm 'batch' or 'none'.

    The last hidden map has `width` channels, each map before it twice as many. For
    28x28 images an 8x8 map is cropped to 7x7, as in gan_mnist.py.
    """

    shape: tuple[int, int, int]
    output: str

    @nn.compact
    def __call__(
        self, latents: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Return images [b, h, w, c], in [-1, 1] (tanh) or [0, 1] (sigmoid).

        latents [b, z]; labels are not used; `train` normalises by the batch's
        statistics.
        """
        side, channels = self.shape[0], self.shape[2]
        depth = DEPTHS[side]
        start = 2 if side == 8 else 4
        width = self.width * 2 ** (depth - 1)

        init = dense_init(side)
        features = start**2 * width
        x = layers.dense(features, init, dtype=self.dtype, name="input")(latents)
        if side == 64:
            # gan_64x64.py normalises the first map by channel; the other scripts
            # normalise it by feature.
            x = x.reshape(-1, start, start, width)
        x = nn.relu(self.normalise(x, train, "input_norm"))
        x = x.reshape(-1, start, start, width)

        init = conv_init(side, up=2)
        for number in range(depth - 1):
            width //= 2
            name = f"up_{number}"
            x = ConvTranspose(width, 5, init, dtype=self.dtype, name=name)(x)
            x = nn.relu(self.normalise(x, train, f"{name}_norm"))
            if side == 28 and number == 0:
                x = x[:, :7, :7]
        x = ConvTranspose(channels, 5, init, name="output")(x)
        return layers.OUTPUTS[self.output](x)


class Critic(DCGAN):
    """DCGAN critic; norm 'none', 'layer' or 'batch' from the second convolution on.

    The first map has `width` channels, each map after it twice as many.
    """

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Return scores [b] for images [b, h, w, c]."""
        side, x = images.shape[1], images
        init = conv_init(side, down=2)
        for number in range(DEPTHS[side]):
            width = self.width * 2**number
            name = f"down_{number}"
            x = layers.conv(width, 5, init, stride=2, dtype=self.dtype, name=name)(x)
            if number > 0:
                x = self.normalise(x, train, f"{name}_norm")
            x = layers.ACTIVATIONS["leaky_relu"](x)
        x = x.reshape(len(x), -1)
        return layers.dense(1, dense_init(side), name="output")(x)[:, 0]
