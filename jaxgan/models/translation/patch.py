"""CycleGAN's critics, which give a score to each patch of an image.

Source: junyanz/pytorch-CycleGAN-and-pix2pix, models/networks.py, NLayerDiscriminator
and PixelDiscriminator (docs/papers.md, "CycleGAN: critics"). The critic 'tutorial' is
that of the third tutorial (docs/papers.md, "Tutorials").
"""

from typing import NamedTuple

import flax.linen as nn
import jax

from jaxgan.models.translation.base import ImageNetwork


class Layer(NamedTuple):
    """A convolution; all but the last have a leaky ReLU after them.

    `has_norm` says whether the network's norm follows it; use_bias None means by the
    rule `image_layers.has_bias_before`.
    """

    features: int
    stride: int
    use_bias: bool | None
    has_norm: bool


def patch_layers(width: int, num_layers: int) -> tuple[Layer, ...]:
    """Return NLayerDiscriminator's 4x4 layers; `num_layers` of them have stride 2.

    A score sees 16, 34, 70, 142 or 286 pixels squared for num_layers 1 to 5.
    """
    hidden = [
        Layer(width * min(2**i, 8), 2 if i < num_layers else 1, None, has_norm=True)
        for i in range(1, num_layers + 1)
    ]
    first = Layer(width, 2, use_bias=True, has_norm=False)
    return (first, *hidden, Layer(1, 1, use_bias=True, has_norm=False))


def pixel_layers(width: int) -> tuple[Layer, ...]:
    """Return PixelDiscriminator's 1x1 layers; the last has its bias by the rule too."""
    return (
        Layer(width, 1, use_bias=True, has_norm=False),
        Layer(2 * width, 1, use_bias=None, has_norm=True),
        Layer(1, 1, use_bias=None, has_norm=False),
    )


def tutorial_layers(width: int) -> tuple[Layer, ...]:
    """Return the tutorial's 4x4 layers: all have biases, three have a norm."""
    return (
        Layer(width, 2, use_bias=True, has_norm=False),
        *(Layer(width * 2**i, 2, use_bias=True, has_norm=True) for i in (1, 2, 3)),
        Layer(1, 1, use_bias=True, has_norm=False),
    )


class Critic(ImageNetwork):
    """Convolutions of one size with leaky ReLUs of slope 0.2.

    Convolutions of size 4 have a zero padding of 1, those of size 1 have none.
    """

    layers: tuple[Layer, ...]
    size: int

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Return scores [b, h', w'], one for each patch, for images [b, h, w, c].

        `train` normalises by the batch's statistics.
        """
        padding = 0 if self.size == 1 else 1
        last, x = len(self.layers) - 1, images
        for number, layer in enumerate(self.layers):
            name = f"conv_{number}"
            x = self.conv(
                layer.features,
                self.size,
                name,
                stride=layer.stride,
                padding=padding,
                use_bias=layer.use_bias,
                is_last=number == last,
            )(x)
            if layer.has_norm:
                x = self.normalise(x, train, f"{name}_norm")
            if number < last:
                x = nn.leaky_relu(x, negative_slope=0.2)
        return x[..., 0]
