"""The convolutions of this project's networks, and further forms of them.

layers.py measures them. Forms that no network uses are here and not in the package.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from cases import Case, config_of, networks_of
from jax import lax

from jaxgan.models.convolutions import few_channels, strided
from jaxgan.models.convolutions.layout import FEW_CHANNELS, LAYOUT

# How often an iteration takes a batch through a network and back, by `gan.name`; a pass
# without a way back counts as a third. A penalty is four thirds (flops.py). WGAN-GP's
# generator makes twice as many examples in its own turn (cifar10_resnet).
PASSES = {
    "cyclegan": {"generator": 6, "critic": 6},
    "wgan_gp": {"generator": 4, "critic": 18},
    "wgan": {"generator": 3, "critic": 11},
}


class Layer(NamedTuple):
    """One convolution of a network: what its time depends on."""

    images: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: int
    padding: Any
    transposed: bool
    dtype: str

    def __str__(self) -> str:
        side = "x".join(map(str, self.images[:3]))
        kernel = "{}x{}, {} to {}".format(*self.kernel)
        kind = "transposed" if self.transposed else f"stride {self.stride}"
        return f"{side} {kernel}, {kind}"

    def flops(self) -> int:
        """Return the operations of one pass, as layers.py counts them."""
        batch, height, width = self.images[:3]
        if not self.transposed:
            outputs = jax.eval_shape(self.plain, *self.operands()).shape
            height, width = outputs[1:3]
        rows, columns, channels, features = self.kernel
        return 2 * batch * height * width * rows * columns * channels * features

    def operands(self) -> list[jax.ShapeDtypeStruct]:
        """Return the shapes of the images and of the kernel."""
        return [jax.ShapeDtypeStruct(s, self.dtype) for s in (self.images, self.kernel)]

    def plain(self, images: jax.Array, kernel: jax.Array) -> jax.Array:
        """Return XLA's convolution."""
        strides = (self.stride, self.stride)
        if self.transposed:
            return lax.conv_transpose(
                images, kernel, strides, self.padding, dimension_numbers=LAYOUT
            )
        return lax.conv_general_dilated(
            images, kernel, strides, self.padding, dimension_numbers=LAYOUT
        )

    def package(self, images: jax.Array, kernel: jax.Array) -> jax.Array:
        """Return the convolution as the networks compute it on this device."""
        if self.transposed:
            return strided.conv_transpose(images, kernel, self.padding)
        strides = (self.stride, self.stride)
        options = {"dimension_numbers": LAYOUT}
        return strided.conv(images, kernel, strides, self.padding, **options)

    def forms(self) -> dict[str, Callable[..., jax.Array]]:
        """Return the forms that compute this layer, by name, without the package's."""
        found: dict[str, Callable[..., jax.Array]] = {"plain": self.plain}
        if min(self.kernel[2:]) > FEW_CHANNELS:
            return found
        found["padded"] = self.padded
        if self.transposed:
            made = {"blocks": few_channels.conv_transpose_by_blocks}
        elif self.stride == 2:
            made = {"blocks": few_channels.conv_by_blocks}
        else:
            made = {
                "columns": few_channels.conv_by_columns,
                "taps": few_channels.conv_by_taps,
            }
            outputs = jax.eval_shape(self.plain, *self.operands()).shape
            for block in (2, 4):
                if self.kernel[3] <= FEW_CHANNELS and not outputs[1] % block:
                    made[f"outputs {block}x{block}"] = partial(
                        conv_by_output_blocks, block=block
                    )
        return found | {n: partial(f, padding=self.padding) for n, f in made.items()}

    def padded(self, images: jax.Array, kernel: jax.Array) -> jax.Array:
        """Return XLA's convolution, with zeros as further channels up to 8."""
        features = kernel.shape[-1]
        kernel = few_channels.widen(few_channels.widen(kernel, 2), 3)
        return self.plain(few_channels.widen(images, 3), kernel)[..., :features]


def conv_by_output_blocks(
    images: jax.Array, kernel: jax.Array, padding: Any, block: int
) -> jax.Array:
    """Return the convolution of stride 1, a block of output pixels as channels."""
    zero = jnp.zeros((), kernel.dtype)
    shifted = [
        lax.pad(
            kernel, zero, [*((s, block - 1 - s, 0) for s in shift), *[(0, 0, 0)] * 2]
        )
        for shift in product(range(block), range(block))
    ]
    wide = few_channels.widen(jnp.concatenate(shifted, -1), 3)
    outputs = lax.conv_general_dilated(
        images, wide, (block, block), padding, dimension_numbers=LAYOUT
    )
    features = kernel.shape[-1]
    batch, height, width = outputs.shape[:3]
    outputs = outputs[..., : block**2 * features]
    outputs = outputs.reshape(batch, height, width, block, block, features)
    outputs = outputs.transpose(0, 1, 3, 2, 4, 5)
    return outputs.reshape(batch, block * height, block * width, features)


def find_layers(case: Case, dtype: str) -> Counter[Layer]:
    """Return the layers of a case with the number of their passes in an iteration."""
    config = config_of(case, dtype)
    networks = networks_of(config)
    seen: list[Layer] = []

    def record(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        module = context.module
        if context.method_name == "__call__" and isinstance(
            module, nn.Conv | strided.ConvTranspose
        ):
            seen.append(as_layer(module, args[0].shape))
        return call(*args, **kwargs)

    batch = config.data.batch_size
    images = jax.ShapeDtypeStruct((batch, *networks.shape), jnp.float32)
    found: Counter[Layer] = Counter()
    for player, passes in PASSES[config.gan.name].items():
        module, inputs = getattr(networks, player), images
        if player == "generator" and config.gan.name != "cyclegan":
            latents = (batch, networks.latent_size)
            inputs = jax.ShapeDtypeStruct(latents, jnp.float32)
        seen.clear()
        with nn.intercept_methods(record):
            init = partial(module.init, train=True)
            jax.eval_shape(init, jax.random.key(0), inputs)
        for layer in seen:
            found[layer] += passes
    return found


def as_layer(module: nn.Module, shape: tuple[int, ...]) -> Layer:
    """Return the layer of a module that is called with images of this shape."""
    dtype = jnp.dtype(module.dtype or jnp.float32).name
    if isinstance(module, strided.ConvTranspose):
        kernel = (module.size, module.size, shape[-1], module.features)
        low = (module.size + 1) // 2
        padding = module.padding or ((low, module.size - low),) * 2
        return Layer(shape, kernel, 2, padding, True, dtype)
    kernel = (*module.kernel_size, shape[-1], module.features)
    stride = module.strides if isinstance(module.strides, int) else 1
    padding = module.padding
    if isinstance(padding, str):
        strides = (stride, stride)
        padding = lax.padtype_to_pads(shape[1:3], kernel[:2], strides, padding)
    return Layer(shape, kernel, stride, tuple(map(tuple, padding)), False, dtype)
