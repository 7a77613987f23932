"""The DCGANs of the WGAN-GP code: 5x5 kernels, stride 2, biases.

Source: igul222/improved_wgan_training: gan_mnist.py (28x28), gan_cifar.py (32x32) and
gan_64x64.py (64x64, where every weight is drawn from a uniform distribution of standard
deviation 0.02). 8x8 and 16x16, which it does not have, follow gan_cifar.py with two
convolutions, from 2x2 and 4x4.
"""

import flax.linen as nn
from flax.typing import Dtype

from jaxgan.models import layers
from jaxgan.models.convolutions.strided import ConvTranspose

# Stride-2 convolutions in either network, by the images' side.
DEPTHS = {8: 2, 16: 2, 28: 3, 32: 3, 64: 4}


def kernel_init(side: int, stride: dict[str, int] | None):
    """Return the initialiser of a convolution, or of a linear layer (None)."""
    if side == 64:
        return layers.uniform(0.02)
    if stride is None:
        return layers.fan_uniform(he=False)
    return layers.fan_uniform(he=True, **stride)


class Generator(nn.Module):
    """DCGAN generator; norm 'batch' or 'none'.

    The last hidden map has `width` channels, each map before it twice as many. For
    28x28 images an 8x8 map is cropped to 7x7, as in gan_mnist.py.
    """

    shape: tuple[int, int, int]
    width: int
    norm: str
    output: str
    axis_name: str | None = None
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, latents, labels=None, *, train: bool):
        """Return images [b, h, w, c], in [-1, 1] (tanh) or [0, 1] (sigmoid).

        latents [b, z]; labels change nothing; `train` normalises by the batch's
        statistics.
        """
        side, channels = self.shape[0], self.shape[2]
        depth = DEPTHS[side]
        start = 2 if side == 8 else 4
        width = self.width * 2 ** (depth - 1)

        init = kernel_init(side, None)
        features = start**2 * width
        x = layers.dense(features, init, dtype=self.dtype, name="input")(latents)
        if side == 64:
            # gan_64x64.py normalises the first map by channel, the others by feature.
            x = x.reshape(-1, start, start, width)
        x = nn.relu(self.normalise(x, train, "input_norm"))
        x = x.reshape(-1, start, start, width)

        init = kernel_init(side, {"up": 2})
        for number in range(depth - 1):
            width //= 2
            name = f"up_{number}"
            x = ConvTranspose(width, 5, init, dtype=self.dtype, name=name)(x)
            x = nn.relu(self.normalise(x, train, f"{name}_norm"))
            if side == 28 and number == 0:
                x = x[:, :7, :7]
        x = ConvTranspose(channels, 5, init, name="output")(x)
        return layers.OUTPUTS[self.output](x)

    def normalise(self, inputs, train: bool, name: str):
        """Apply BatchNorm where this generator has it."""
        if self.norm == "none":
            return inputs
        return layers.batch_norm(
            train, axis_name=self.axis_name, dtype=self.dtype, name=name
        )(inputs)


class Critic(nn.Module):
    """DCGAN critic; norm 'none', 'layer' or 'batch' from the second convolution on.

    The first map has `width` channels, each map after it twice as many.
    """

    width: int
    norm: str
    axis_name: str | None = None
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, images, *, train: bool):
        """Return scores [b] for images [b, h, w, c]."""
        side, x = images.shape[1], images
        init = kernel_init(side, {"down": 2})
        for number in range(DEPTHS[side]):
            width = self.width * 2**number
            name = f"down_{number}"
            x = layers.conv(width, 5, init, stride=2, dtype=self.dtype, name=name)(x)
            if number > 0:
                x = self.normalise(x, train, f"{name}_norm")
            x = layers.ACTIVATIONS["leaky_relu"](x)
        x = x.reshape(len(x), -1)
        return layers.dense(1, kernel_init(side, None), name="output")(x)[:, 0]

    def normalise(self, inputs, train: bool, name: str):
        """Apply the norm of this critic."""
        if self.norm == "none":
            return inputs
        if self.norm == "layer":
            return layers.layer_norm(dtype=self.dtype, name=name)(inputs)
        return layers.batch_norm(
            train, axis_name=self.axis_name, dtype=self.dtype, name=name
        )(inputs)
