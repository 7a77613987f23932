"""CycleGAN's U-Net generator: halvings down to one pixel, and skip connections.

Source: junyanz/pytorch-CycleGAN-and-pix2pix, models/networks.py, UnetGenerator
(docs/papers.md, "CycleGAN: U-Net generator"). There, each block contains the next one.
Here they are two loops. The blocks have the same numbers in both, from the outside:
block 0 works on whole images.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.models.translation import image_layers
from jaxgan.models.translation.base import ImageGenerator


class Generator(ImageGenerator):
    """UnetGenerator: images of one domain to images of another.

    It has `width` channels after the first halving. Each halving doubles them, up to 8
    times `width`.
    """

    num_downs: int

    @nn.compact
    def __call__(
        self, images: jax.Array, keys: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Return images [b, h, w, channels] in [-1, 1] for images [b, h, w, c].

        h and w are multiples of 2^num_downs. keys: a key for each example [b], or None
        for no dropout. `train` normalises by the batch's statistics.
        """
        innermost = self.num_downs - 1
        widths = [self.width * min(2**i, 8) for i in range(self.num_downs)]
        keys = keys if self.dropout else None
        x, skips = images, []
        for number, features in enumerate(widths):
            name = f"down_{number}"
            if number > 0:
                skips.append(x)
                x = nn.leaky_relu(x, negative_slope=0.2)
            x = self.conv(features, 4, name, stride=2, padding=1)(x)
            if 0 < number < innermost:
                x = self.normalise(x, train, f"{name}_norm")
        for number in range(innermost, 0, -1):
            name = f"up_{number}"
            x = self.double_side(nn.relu(x), widths[number - 1], 4, name)
            x = self.normalise(x, train, f"{name}_norm")
            # Dropout is only in the blocks with 8 times `width` channels at both ends,
            # and of these not in the innermost.
            if 4 <= number < innermost:
                x = image_layers.dropout(x, keys, number)
            x = jnp.concatenate([skips.pop(), x], axis=-1)
        x = self.double_side(
            nn.relu(x), self.channels, 4, "up_0", use_bias=True, is_last=True
        )
        return nn.tanh(x)
