"""CycleGAN's U-Net generator: halvings down to one pixel, and skip connections.

Source: upstream networks.py, UnetGenerator (spec/cyclegan.md 1.4). Upstream nests its
blocks; here they are two loops, counted from the outside: 0 works on whole images.
"""

import flax.linen as nn
import jax.numpy as jnp
from flax.typing import Dtype

from jaxgan.models.translation import image_layers as layers


class Generator(nn.Module):
    """UnetGenerator: images of one domain to images of another.

    `width` channels after the first halving, doubled up to 8 times as many.
    """

    channels: int
    num_downs: int
    width: int
    norm: str
    dropout: bool
    upsample: str
    initializer: str
    gain: float
    axis_name: str | None = None
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, images, keys=None, *, train: bool):
        """Return images [b, h, w, channels] in [-1, 1] for images [b, h, w, c].

        h and w are multiples of 2^num_downs. keys: a key for each example [b], or None
        for no dropout. `train` normalises by the batch's statistics.
        """
        use_bias = layers.has_bias(self.norm)
        innermost = self.num_downs - 1
        widths = [self.width * min(2**i, 8) for i in range(self.num_downs)]
        keys = keys if self.dropout else None
        x, skips = images, []
        for number, features in enumerate(widths):
            name = f"down_{number}"
            if number > 0:
                skips.append(x)
                x = nn.leaky_relu(x, negative_slope=0.2)
            x = layers.conv(
                self, features, 4, name, stride=2, padding=1, use_bias=use_bias
            )(x)
            if 0 < number < innermost:
                x = layers.normalise(self, x, train, f"{name}_norm")
        for number in range(innermost, 0, -1):
            name = f"up_{number}"
            features = widths[number - 1]
            x = layers.double(self, nn.relu(x), features, 4, name, use_bias=use_bias)
            x = layers.normalise(self, x, train, f"{name}_norm")
            # The blocks of 8 and 8 times the width alone, but not the innermost.
            if 4 <= number < innermost:
                x = layers.dropout(x, keys, number)
            x = jnp.concatenate([skips.pop(), x], axis=-1)
        x = layers.double(self, nn.relu(x), self.channels, 4, "up_0", dtype=None)
        return nn.tanh(x)
