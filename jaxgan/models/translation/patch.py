"""CycleGAN's critics, which give each patch of an image a score.

Source: upstream networks.py, NLayerDiscriminator and PixelDiscriminator
(spec/cyclegan.md 1.5); variant 'tutorial' is tutorial 12's (spec/tutorials.md).
"""

from typing import NamedTuple

import flax.linen as nn
from flax.typing import Dtype

from jaxgan.models.translation import image_layers as layers


class Layer(NamedTuple):
    """One convolution; every one but the last has a leaky ReLU behind it."""

    features: int
    stride: int
    use_bias: bool
    norm: bool


def patch_layers(width: int, num_layers: int, norm: str) -> tuple[Layer, ...]:
    """Return NLayerDiscriminator's 4x4 layers; `num_layers` of them have stride 2.

    A score sees 16, 34, 70, 142 or 286 pixels squared for num_layers 1 to 5.
    """
    bias = layers.has_bias(norm)
    hidden = [
        Layer(width * min(2**i, 8), 2 if i < num_layers else 1, bias, True)
        for i in range(1, num_layers + 1)
    ]
    first = Layer(width, 2, use_bias=True, norm=False)
    return (first, *hidden, Layer(1, 1, use_bias=True, norm=False))


def pixel_layers(width: int, norm: str) -> tuple[Layer, ...]:
    """Return PixelDiscriminator's 1x1 layers; the last follows the rule of biases."""
    bias = layers.has_bias(norm)
    return (
        Layer(width, 1, use_bias=True, norm=False),
        Layer(2 * width, 1, bias, norm=True),
        Layer(1, 1, bias, norm=False),
    )


def tutorial_layers(width: int) -> tuple[Layer, ...]:
    """Return tutorial 12's 4x4 layers: all have biases, three a norm."""
    return (
        Layer(width, 2, use_bias=True, norm=False),
        *(Layer(width * 2**i, 2, use_bias=True, norm=True) for i in (1, 2, 3)),
        Layer(1, 1, use_bias=True, norm=False),
    )


class Critic(nn.Module):
    """Convolutions of one size, zero padding 1 (none for size 1), leaky ReLU of 0.2."""

    layers: tuple[Layer, ...]
    size: int
    norm: str
    initializer: str
    gain: float
    axis_name: str | None = None
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, images, *, train: bool):
        """Return scores [b, h', w'], a patch each, for images [b, h, w, c].

        `train` normalises by the batch's statistics.
        """
        padding = 0 if self.size == 1 else 1
        last, x = len(self.layers) - 1, images
        for number, (features, stride, use_bias, norm) in enumerate(self.layers):
            name = f"conv_{number}"
            x = layers.conv(
                self,
                features,
                self.size,
                name,
                stride=stride,
                padding=padding,
                use_bias=use_bias,
                dtype=None if number == last else self.dtype,
            )(x)
            if norm:
                x = layers.normalise(self, x, train, f"{name}_norm")
            if number < last:
                x = nn.leaky_relu(x, negative_slope=0.2)
        return x[..., 0]
