"""CycleGAN's ResNet generator: 7x7, two halvings, blocks, two doublings, 7x7.

Source: upstream networks.py, ResnetGenerator and ResnetBlock (spec/cyclegan.md 1.3);
the block of variant 'tutorial' is tutorial 12's (spec/tutorials.md).
"""

import flax.linen as nn
from flax.typing import Dtype

from jaxgan.models.translation import image_layers as layers

BLOCKS = ("residual", "tutorial")


class Block(nn.Module):
    """x + norm(conv(dropout(relu(norm(conv(x)))))), no activation after the sum.

    'tutorial': x + conv(relu(conv(x))), with zero padding and biases.
    """

    block: str
    norm: str
    padding: str
    initializer: str
    gain: float
    axis_name: str | None = None
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, inputs, keys, number: int, *, train: bool):
        """Return [b, h, w, c] for inputs [b, h, w, c].

        keys [b], or None for no dropout; `number` tells the blocks' masks apart.
        """
        x = nn.relu(self.normalise(self.conv(inputs, "conv_0"), train, "norm_0"))
        if self.block == "residual":
            x = layers.dropout(x, keys, number)
        return inputs + self.normalise(self.conv(x, "conv_1"), train, "norm_1")

    def conv(self, inputs, name: str):
        """Apply a 3x3 convolution of as many channels; the side stays."""
        tutorial = self.block == "tutorial"
        use_bias = tutorial or layers.has_bias(self.norm)
        zeros = 1 if tutorial or self.padding == "zero" else 0
        if not zeros:
            inputs = layers.pad(inputs, 1, self.padding)
        features = inputs.shape[-1]
        conv = layers.conv(self, features, 3, name, padding=zeros, use_bias=use_bias)
        return conv(inputs)

    def normalise(self, inputs, train: bool, name: str):
        """Apply the norm where this block has it."""
        if self.block == "tutorial":
            return inputs
        return layers.normalise(self, inputs, train, name)


class Generator(nn.Module):
    """ResnetGenerator: images of one domain to images of another.

    `width` channels after the first convolution and four times as many in the blocks.
    `padding` is the blocks'; the first and last convolution always reflect.
    """

    channels: int
    num_blocks: int
    width: int
    norm: str
    padding: str
    block: str
    dropout: bool
    upsample: str
    initializer: str
    gain: float
    axis_name: str | None = None
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, images, keys=None, *, train: bool):
        """Return images [b, h, w, channels] in [-1, 1] for images [b, h, w, c].

        h and w are multiples of 4, 8 at least. keys: a key for each example [b], or
        None for no dropout. `train` normalises by the batch's statistics.
        """
        use_bias = layers.has_bias(self.norm)
        keys = keys if self.dropout else None
        x = layers.pad(images, 3, "reflect")
        x = layers.conv(self, self.width, 7, "input", use_bias=use_bias)(x)
        x = nn.relu(layers.normalise(self, x, train, "input_norm"))
        for number in (0, 1):
            name, features = f"down_{number}", self.width * 2 ** (number + 1)
            x = layers.conv(
                self, features, 3, name, stride=2, padding=1, use_bias=use_bias
            )(x)
            x = nn.relu(layers.normalise(self, x, train, f"{name}_norm"))
        for number in range(self.num_blocks):
            block = Block(
                block=self.block,
                norm=self.norm,
                padding=self.padding,
                initializer=self.initializer,
                gain=self.gain,
                axis_name=self.axis_name,
                dtype=self.dtype,
                name=f"block_{number}",
            )
            x = block(x, keys, number, train=train)
        for number in (0, 1):
            name, features = f"up_{number}", self.width * 2 ** (1 - number)
            x = layers.double(self, x, features, 3, name, use_bias=use_bias)
            x = nn.relu(layers.normalise(self, x, train, f"{name}_norm"))
        x = layers.pad(x, 3, "reflect")
        return nn.tanh(layers.conv(self, self.channels, 7, "output", dtype=None)(x))
