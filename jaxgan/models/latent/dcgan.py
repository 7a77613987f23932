"""The WGAN paper's DCGAN: 4x4 kernels, stride 2, no biases.

Source: martinarjovsky/WassersteinGAN, models/dcgan.py and main.py (weights_init).
"""

from typing import Any

import flax.linen as nn
from flax.typing import Dtype

from jaxgan.models import layers
from jaxgan.models.convolutions.strided import ConvTranspose

KERNEL = nn.initializers.normal(0.02)


def normalise(inputs, module, train: bool, name: str):
    """Apply BatchNorm where the module has it."""
    if not module.batch_norm:
        return inputs
    return layers.batch_norm(
        train,
        scale_init=layers.bn_scale,
        axis_name=module.axis_name,
        dtype=module.dtype,
        name=name,
    )(inputs)


class Generator(nn.Module):
    """DCGAN_G, or DCGAN_G_nobn without batch_norm.

    The last hidden map has `width` channels; a 4x4 map has width * side / 8.
    """

    shape: tuple[int, int, int]
    width: int
    batch_norm: bool
    extra_layers: int
    axis_name: str | None = None
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, latents, labels=None, *, train: bool):
        """Return images [b, h, w, c] in [-1, 1] for latents [b, z].

        Labels change nothing; `train` normalises by the batch's statistics.
        """
        side, channels = self.shape[0], self.shape[2]
        width = self.width * side // 8
        # A 4x4 transposed convolution of a 1x1 map is a matrix product.
        x = layers.dense(
            16 * width, KERNEL, use_bias=False, dtype=self.dtype, name="input"
        )(latents).reshape(-1, 4, 4, width)
        x = nn.relu(normalise(x, self, train, "input_norm"))
        while x.shape[1] < side // 2:
            width //= 2
            name = f"up_{2 * x.shape[1]}"
            x = ConvTranspose(width, 4, KERNEL, False, self.dtype, name=name)(x)
            x = nn.relu(normalise(x, self, train, f"{name}_norm"))
        for number in range(self.extra_layers):
            name = f"extra_{number}"
            x = layers.conv(
                width, 3, KERNEL, use_bias=False, dtype=self.dtype, name=name
            )(x)
            x = nn.relu(normalise(x, self, train, f"{name}_norm"))
        return nn.tanh(ConvTranspose(channels, 4, KERNEL, False, name="output")(x))


class Critic(nn.Module):
    """DCGAN_D, or DCGAN_D_nobn without batch_norm; a score an example, not their mean.

    The first map has `width` channels; each halving of the side doubles them.
    """

    width: int
    batch_norm: bool
    extra_layers: int
    axis_name: str | None = None
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, images, *, train: bool):
        """Return scores [b] for images [b, h, w, c]."""
        activation = layers.ACTIVATIONS["leaky_relu"]
        width, side = self.width, images.shape[1] // 2
        options: dict[str, Any] = {"use_bias": False, "dtype": self.dtype}
        x = layers.conv(width, 4, KERNEL, stride=2, name="input", **options)(images)
        x = activation(x)
        for number in range(self.extra_layers):
            name = f"extra_{number}"
            x = layers.conv(width, 3, KERNEL, name=name, **options)(x)
            x = activation(normalise(x, self, train, f"{name}_norm"))
        while side > 4:
            width, side = 2 * width, side // 2
            name = f"down_{side}"
            x = layers.conv(width, 4, KERNEL, stride=2, name=name, **options)(x)
            x = activation(normalise(x, self, train, f"{name}_norm"))
        # A 4x4 convolution of a 4x4 map without padding is a matrix product.
        x = x.reshape(len(x), -1)
        return layers.dense(1, KERNEL, use_bias=False, name="output")(x)[:, 0]
