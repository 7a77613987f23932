"""Multilayer perceptrons, for points and for small images.

With hidden = (512, 512, 512): MLP_G and MLP_D of martinarjovsky/WassersteinGAN
(models/mlp.py: relu, linear, initializer 'torch'), and the toy networks of
igul222/improved_wgan_training (gan_toy.py: relu, linear, initializer 'he_uniform').
"""

import math

import flax.linen as nn
from flax.typing import Dtype

from jaxgan.models import layers

INITS = ("glorot_uniform", "torch", "he_uniform")


def linear(inputs, features: int, init: str, dtype, name: str):
    """Apply one linear layer to inputs [b, n] with the initialisation named.

    'glorot_uniform' is Keras's default, with zero biases. 'torch' is `nn.Linear`'s:
    kernel and bias from U(-1/sqrt(n), 1/sqrt(n)). 'he_uniform' has variance 2 / n and
    zero biases.
    """
    fan_in = inputs.shape[-1]
    kernel, bias = layers.fan_uniform(he=False), nn.initializers.zeros
    if init == "torch":
        kernel = bias = layers.uniform(1 / math.sqrt(3 * fan_in))
    elif init == "he_uniform":
        kernel = layers.uniform(math.sqrt(2 / fan_in))
    layer = layers.dense(features, kernel, bias_init=bias, dtype=dtype, name=name)
    return layer(inputs)


def perceptron(inputs, module, features: int):
    """Apply hidden layers and a linear output of `features` to inputs [b, n].

    The output layer is not followed by a ReLU, so that 'he_uniform' leaves it at Glorot
    (gan_toy.py: Linear without initialization). It computes in float32 at least.
    """
    init = module.initializer
    for number, width in enumerate(module.hidden):
        inputs = linear(inputs, width, init, module.dtype, f"hidden_{number}")
        inputs = layers.ACTIVATIONS[module.activation](inputs)
    if init == "he_uniform":
        init = "glorot_uniform"
    return linear(inputs, features, init, None, "output")


class Generator(nn.Module):
    """MLP from latents to an example of any shape."""

    shape: tuple[int, ...]
    hidden: tuple[int, ...]
    activation: str
    output: str
    initializer: str
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, latents, labels=None, *, train: bool):
        """Return [b, *shape] for latents [b, z]; labels and train change nothing."""
        outputs = perceptron(latents, self, math.prod(self.shape))
        return layers.OUTPUTS[self.output](outputs).reshape(-1, *self.shape)


class Critic(nn.Module):
    """MLP from a flattened example to its score."""

    hidden: tuple[int, ...]
    activation: str
    initializer: str
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, images, *, train: bool):
        """Return scores [b] for images [b, ...]; train changes nothing."""
        return perceptron(images.reshape(len(images), -1), self, 1)[:, 0]
