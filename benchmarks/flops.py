"""FLOP of one generator iteration, counted from the shapes of the networks' layers.

A multiplication and its addition are two FLOP. Only convolutions and linear layers
count. The numbers depend on the algorithm and on its networks, not on how anyone
computes them: padded channels, patches or stride-2 phases are no work that counts, and
both sides of the benchmark have the same count.

A layer's forward pass, its gradient by the inputs and that by the kernel take the same
number, f. So with f the sum of a network's layers and f_1 that of its first one:

* a pass and the gradients of its parameters: 3 f - f_1, as nobody needs the first
  layer's gradient by its inputs;
* a pass and the gradient by its inputs only (a critic in the generator's turn): 2 f;
* a pass and both (a generator in the middle of a cycle): 3 f;
* a gradient penalty: 4 f. The pass and its gradient by the inputs take 2 f. The
  gradient of that by the kernels goes through the second one only, because ReLU and
  leaky ReLU have no second derivative: once by the kernels, once by the gradients that
  flow back.
"""

import math
from typing import Any, NamedTuple


class Layer(NamedTuple):
    """A convolution or linear layer: its path, and the FLOP of its forward pass."""

    path: str
    flop: int


def layers(module: Any, *inputs: Any) -> list[Layer]:
    """Return the layers of a Linen module in the order of their calls.

    Args:
        module: each layer in it that multiplies has a parameter `kernel`, [in, out] or
            [k, k, in, out].
        inputs: shapes and types of its inputs; a batch counts with its size.
    """
    import flax.linen as nn
    import jax

    found: list[Layer] = []

    inside: list[tuple[str, ...]] = []

    def count(call: Any, args: Any, options: Any, context: Any) -> Any:
        layer = context.module
        # A layer's class may call that of its parent class, which is the same layer.
        if context.method_name != "__call__" or layer.path in inside:
            return call(*args, **options)
        inside.append(layer.path)
        outputs = call(*args, **options)
        inside.pop()
        if layer.has_variable("params", "kernel"):
            kernel = layer.get_variable("params", "kernel")
            path = "/".join(layer.path)
            found.append(Layer(path, layer_flop(kernel, args[0], outputs)))
        return outputs

    def apply(*inputs: Any) -> Any:
        keys = {"params": jax.random.key(0)}
        return module.init(keys, *inputs, train=True)

    with nn.intercept_methods(count):
        jax.eval_shape(apply, *inputs)
    return found


def layer_flop(kernel: Any, inputs: Any, outputs: Any) -> int:
    """Return 2 x the multiplications of a layer from the shapes of its arrays.

    A convolution multiplies a kernel for each output pixel, a transposed one for each
    input pixel: for the side with fewer of them.
    """
    pixels = min(math.prod(array.shape[:-1]) for array in (inputs, outputs))
    return 2 * math.prod(kernel.shape) * pixels


def total(found: list[Layer]) -> int:
    """Return the FLOP of all layers."""
    return sum(layer.flop for layer in found)


def step(config: Any, networks: Any) -> int:
    """Return the FLOP of one generator iteration of a config with its whole batch.

    Args:
        config: of a recipe of WGAN, of WGAN-GP with its penalty, or of CycleGAN with
            least squares.
        networks: its `Players` or `Domains`.
    """
    import jax
    import jax.numpy as jnp

    batch = config.data.batch_size
    images = jax.ShapeDtypeStruct((1, *networks.shape), jnp.float32)
    critic = layers(networks.critic, images)
    d, d_1 = total(critic), critic[0].flop
    if config.gan.name == "cyclegan":
        generator = layers(networks.generator, images)
        g, g_1 = total(generator), generator[0].flop
        return batch * cyclegan(g, g_1, d, d_1, bool(config.gan.identity_weight))
    latents = jax.ShapeDtypeStruct((1, networks.latent_size), jnp.float32)
    labels = jax.ShapeDtypeStruct((1,), jnp.int32)
    generator = layers(networks.generator, latents, labels)
    g, g_1 = total(generator), generator[0].flop
    penalty = 4 * d if config.gan.get("penalty_weight", 0) else 0
    critic_step = g + 2 * (3 * d - d_1) + penalty
    generator_step = (3 * g - g_1) + 2 * d
    multiple = config.gan.get("generator_batch_multiple", 1)
    return batch * (config.gan.n_critic * critic_step + multiple * generator_step)


def cyclegan(g: int, g_1: int, d: int, d_1: int, identity: bool) -> int:
    """Return the FLOP of CycleGAN's iteration, for one image of each domain.

    Args:
        g, g_1: of a generator and of its first layer.
        d, d_1: of a critic and of its first layer.
        identity: whether the identity loss is there, with two more passes.
    """
    first_passes = 4 if identity else 2  # of real images; two passes are of fakes
    generators = first_passes * (3 * g - g_1) + 2 * 3 * g + 2 * 2 * d
    critics = 4 * (3 * d - d_1)
    return generators + critics
