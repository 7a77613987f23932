"""Multilayer perceptrons, for points and for small images.

With hidden = (512, 512, 512) they are MLP_G and MLP_D of martinarjovsky/WassersteinGAN
(models/mlp.py: relu, linear, initializer 'torch'), and the toy networks of
igul222/improved_wgan_training (gan_toy.py: relu, linear, initializer 'he_uniform').
"""

import math

import flax.linen as nn
import jax
from flax.typing import Dtype

from jaxgan.models import layers

INITIALIZERS = ("glorot_uniform", "torch", "he_uniform")


def linear(
    inputs: jax.Array, features: int, initializer: str, dtype: Dtype | None, name: str
) -> jax.Array:
    """Apply a linear layer: inputs [b, n] to [b, features].

    'glorot_uniform' is Keras's default, with zero biases. 'torch' is `nn.Linear`'s:
    kernel and bias from U(-1/sqrt(n), 1/sqrt(n)). 'he_uniform' has variance 2 / n and
    zero biases.
    """
    fan_in = inputs.shape[-1]
    kernel, bias = layers.fan_uniform(he=False), nn.initializers.zeros
    if initializer == "torch":
        kernel = bias = layers.uniform(1 / math.sqrt(3 * fan_in))
    elif initializer == "he_uniform":
        kernel = layers.uniform(math.sqrt(2 / fan_in))
    layer = layers.dense(features, kernel, bias_init=bias, dtype=dtype, name=name)
    return layer(inputs)


class Perceptron(nn.Module, kw_only=True):
    """The layers that generator and critic share."""

    hidden: tuple[int, ...]
    activation: str
    initializer: str
    dtype: Dtype | None = None

    def forward(self, inputs: jax.Array, features: int) -> jax.Array:
        """Apply the hidden layers and a linear output: [b, n] to [b, features]."""
        x = inputs
        for number, width in enumerate(self.hidden):
            name = f"hidden_{number}"
            x = linear(x, width, self.initializer, self.dtype, name)
            x = layers.ACTIVATIONS[self.activation](x)
        # He's rule is for layers with a ReLU behind them. gan_toy.py leaves its output
        # layer without, and so at tflib's default, Glorot.
        he = self.initializer == "he_uniform"
        initializer = "glorot_uniform" if he else self.initializer
        # dtype None: the output is float32 at least.
        return linear(x, features, initializer, None, "output")


class Generator(Perceptron):
    """MLP from latents to an example of any shape."""

    shape: tuple[int, ...]
    output: str

    @nn.compact
    def __call__(
        self, latents: jax.Array, labels: jax.Array | None = None, *, train: bool
    ) -> jax.Array:
        """Return [b, *shape] for latents [b, z]; labels and train are not used."""
        outputs = self.forward(latents, math.prod(self.shape))
        return layers.OUTPUTS[self.output](outputs).reshape(-1, *self.shape)


class Critic(Perceptron):
    """MLP from a flattened example to its score."""

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        """Return scores [b] for images [b, ...]; train is not used."""
        return self.forward(images.reshape(len(images), -1), 1)[:, 0]
