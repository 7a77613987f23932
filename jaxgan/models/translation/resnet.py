"""CycleGAN's ResNet generator: 7x7, two halvings, blocks, two doublings, 7x7.

Source: junyanz/pytorch-CycleGAN-and-pix2pix, models/networks.py, ResnetGenerator and
ResnetBlock (docs/papers.md, "CycleGAN: ResNet generator"). The block 'tutorial' is that
of the third tutorial (docs/papers.md, "Tutorials").
"""

import flax.linen as nn
import jax

from jaxgan.models.translation import image_layers
from jaxgan.models.translation.base import ImageGenerator, ImageNetwork

BLOCKS = ("residual", "tutorial")


class Block(ImageNetwork):
    """x + norm(conv(dropout(relu(norm(conv(x)))))), no activation after the sum.

    'tutorial' is x + conv(relu(conv(x))), with zero padding and biases.
    """

    block: str
    padding: str

    @nn.compact
    def __call__(
        self, inputs: jax.Array, keys: jax.Array | None, number: int, *, train: bool
    ) -> jax.Array:
        """Return [b, h, w, c] for inputs [b, h, w, c].

        keys: a key for each example [b], or None for no dropout. `number` is the
        block's; it gives each block a dropout mask of its own.
        """
        x = self.padded_conv(inputs, "conv_0")
        x = nn.relu(self.normalise(x, train, "norm_0"))
        if self.block == "residual":
            x = image_layers.dropout(x, keys, number)
        x = self.padded_conv(x, "conv_1")
        return inputs + self.normalise(x, train, "norm_1")

    def padded_conv(self, inputs: jax.Array, name: str) -> jax.Array:
        """Apply a 3x3 convolution that keeps the shape [b, h, w, c]."""
        features = inputs.shape[-1]
        if self.block == "tutorial":
            return self.conv(features, 3, name, padding=1, use_bias=True)(inputs)
        if self.padding == "zero":
            return self.conv(features, 3, name, padding=1)(inputs)
        return self.conv(features, 3, name)(image_layers.pad(inputs, 1, self.padding))

    def normalise(self, inputs: jax.Array, train: bool, name: str) -> jax.Array:
        """Apply the norm to [b, h, w, c], if this block has one."""
        if self.block == "tutorial":
            return inputs
        return super().normalise(inputs, train, name)


class Generator(ImageGenerator):
    """ResnetGenerator: images of one domain to images of another.

    It has `width` channels after the first convolution and four times as many in the
    blocks. `padding` is that of the blocks; the first and the last convolution always
    reflect.
    """

    num_blocks: int
    padding: str
    block: str

    @nn.compact
    def __call__(
        self, images: jax.Array, keys: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Return images [b, h, w, channels] in [-1, 1] for images [b, h, w, c].

        h and w are multiples of 4, 8 at least. keys: a key for each example [b], or
        None for no dropout. `train` normalises by the batch's statistics.
        """
        keys = keys if self.dropout else None
        x = image_layers.pad(images, 3, "reflect")
        x = self.conv(self.width, 7, "input")(x)
        x = nn.relu(self.normalise(x, train, "input_norm"))
        for number in (0, 1):
            name, features = f"down_{number}", self.width * 2 ** (number + 1)
            x = self.conv(features, 3, name, stride=2, padding=1)(x)
            x = nn.relu(self.normalise(x, train, f"{name}_norm"))
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
            x = self.double_side(x, features, 3, name)
            x = nn.relu(self.normalise(x, train, f"{name}_norm"))
        x = image_layers.pad(x, 3, "reflect")
        output = self.conv(self.channels, 7, "output", use_bias=True, is_last=True)
        return nn.tanh(output(x))
