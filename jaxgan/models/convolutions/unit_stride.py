"""Convolutions of stride 1 that are fast on a CPU, and so are all their derivatives.

XLA's CPU backend has fast kernels for a convolution whose operands lie as [b, h, w, c]
and [k, k, in, out] and are not dilated. It brings other convolutions into that form
where it can, but not inside a loop, and the training step is one (`lax.scan`). The
gradients that JAX derives read the same arrays in another order, and take 10 to 20
times as long there. Here both gradients are again convolutions of the fast form, or
matrix products, and so are the gradients of those, which a gradient penalty takes.

The backend also has no good kernel for the three channels of an image. So where there
are few channels, the columns of the kernel are counted as channels.

Each function computes exactly the convolution. They are meant only for a CPU: other
backends have kernels for all of it.
"""

from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
from jax import lax

from jaxgan.models.convolutions import winograd
from jaxgan.models.convolutions.few_channels import conv_by_columns
from jaxgan.models.convolutions.layout import (
    FEW_CHANNELS,
    LAYOUT,
    Padding,
    output_shape,
    pad_image,
    padding_of_gradient,
    stack_windows,
)

# From so many on, the gradient by the kernel is a matrix product for each tap. As a
# convolution by the outputs it slows down with the number of examples: 3x3, 128 to 128,
# 16x16 pixels and 4, 8, 16, 32 and 64 examples had 154, 131, 120, 59 and 53 GFLOP/s,
# products 128, 132, 132, 115 and 111, where a large matrix product had 200. One matrix
# product of patches had 81 for 64 examples, and it takes much memory.
MANY_EXAMPLES = 8


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv(inputs: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    """Return the convolution of stride 1, [b, h', w', out].

    Args:
        inputs: [b, h, w, in].
        kernel: [k, k, in, out].
        padding: ((above, below), (left, right)) zeros around the inputs.
    """
    shape = output_shape(inputs, kernel.shape[:2], padding)
    outputs_shape = len(inputs), *shape, kernel.shape[3]
    if winograd.suits(kernel.shape, outputs_shape, inputs.dtype):
        return winograd.conv(inputs, kernel, padding)
    return _conv_by_xla(inputs, kernel, padding)


def _conv_by_xla(inputs: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    if kernel.shape[1] == 1 or min(kernel.shape[2:]) > FEW_CHANNELS:
        return _padded_conv(inputs, kernel, padding)
    return conv_by_columns(inputs, kernel, padding, _padded_conv)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def input_gradient(
    outputs: jax.Array, kernel: jax.Array, padding: Padding
) -> jax.Array:
    """Return the gradient by the inputs, [b, h, w, in], of a convolution.

    It is that of the scalar product <outputs, conv(inputs, kernel, padding)>.

    Args:
        outputs: [b, h', w', out], a cotangent of the convolution's.
        kernel: [k, k, in, out].
        padding: of the convolution.
    """
    if winograd.suits(kernel.shape, outputs.shape, outputs.dtype):
        return winograd.input_gradient(outputs, kernel, padding)
    around = padding_of_gradient(kernel.shape[:2], padding)
    return _conv_by_xla(outputs, kernel[::-1, ::-1].swapaxes(2, 3), around)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def kernel_gradient(
    inputs: jax.Array, outputs: jax.Array, padding: Padding
) -> jax.Array:
    """Return the gradient by the kernel, [k, k, in, out], of a convolution.

    It is that of the scalar product <outputs, conv(inputs, kernel, padding)>.

    Args:
        inputs: [b, h, w, in].
        outputs: [b, h', w', out], a cotangent of the convolution's.
        padding: of the convolution.
    """
    features = outputs.shape[-1]
    rows, columns = (
        inputs.shape[1 + axis] + sum(padding[axis]) - outputs.shape[1 + axis] + 1
        for axis in (0, 1)
    )
    kernel_shape = rows, columns, inputs.shape[-1], features
    if winograd.suits(kernel_shape, outputs.shape, inputs.dtype):
        return winograd.kernel_gradient(inputs, outputs, padding)
    if columns == 1 or features > FEW_CHANNELS:
        return _kernel_gradient(inputs, outputs, padding)
    # One product with patches of the outputs. Output q - tap meets input q, so the taps
    # are in reverse. For 7x7, 64 to 3, it had 68 GFLOP/s where 53 came from columns as
    # channels.
    padded = pad_image(outputs, padding_of_gradient((rows, columns), padding))
    height, width, channels = inputs.shape[1:]
    taps = product(reversed(range(rows)), reversed(range(columns)))
    patches = stack_windows(padded, taps, height, width)
    matrix = _sum_products(inputs, patches)
    return matrix.reshape(channels, rows, columns, features).transpose(1, 2, 0, 3)


def _conv(inputs: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    return lax.conv_general_dilated(
        inputs, kernel, (1, 1), padding, dimension_numbers=LAYOUT
    )


def _padded_conv(inputs: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
    """Convolve; without padding, with one row too many, which is cut off.

    XLA hands a convolution without any padding to YNNPACK (jax 0.10.2), which takes up
    to half as long again as Eigen for that of a ResNet's block.
    """
    if padding == ((0, 0), (0, 0)) and kernel.shape[0] > 1:
        return _conv(inputs, kernel, ((0, 1), (0, 0)))[:, :-1]
    return _conv(inputs, kernel, padding)


def _kernel_gradient(
    inputs: jax.Array, outputs: jax.Array, padding: Padding
) -> jax.Array:
    """Convolve the inputs by the outputs: examples are summed over, as channels are."""
    if len(inputs) >= MANY_EXAMPLES:
        return _products_by_taps(inputs, outputs, padding)
    gradient = _conv(
        inputs.transpose(3, 1, 2, 0), outputs.transpose(1, 2, 0, 3), padding
    )
    return gradient.transpose(1, 2, 0, 3)


def _products_by_taps(
    inputs: jax.Array, outputs: jax.Array, padding: Padding
) -> jax.Array:
    """Return the same as one matrix product for each tap, over pixels and examples."""
    height, width = outputs.shape[1:3]
    inputs = pad_image(inputs, padding)

    def of_tap(top: int, left: int) -> jax.Array:
        shifted = inputs[:, top : top + height, left : left + width]
        return _sum_products(shifted, outputs)

    tops = range(inputs.shape[1] - height + 1)
    lefts = range(inputs.shape[2] - width + 1)
    return jnp.stack([jnp.stack([of_tap(i, j) for j in lefts]) for i in tops])


def _sum_products(inputs: jax.Array, outputs: jax.Array) -> jax.Array:
    """Return [in, out]: the sum of products over examples and pixels."""
    rows, columns = (x.reshape(-1, x.shape[-1]) for x in (inputs, outputs))
    return lax.dot_general(rows, columns, (((0,), (0,)), ((), ())))


_Pair = tuple[jax.Array, jax.Array]

# The three are linear in each argument, and each is a gradient of the others: the one
# by what the others take and it does not.


def _conv_forward(
    inputs: jax.Array, kernel: jax.Array, padding: Padding
) -> tuple[jax.Array, _Pair]:
    return conv(inputs, kernel, padding), (inputs, kernel)


def _conv_backward(padding: Padding, saved: _Pair, outputs: jax.Array) -> _Pair:
    inputs, kernel = saved
    return (
        input_gradient(outputs, kernel, padding),
        kernel_gradient(inputs, outputs, padding),
    )


def _input_forward(
    outputs: jax.Array, kernel: jax.Array, padding: Padding
) -> tuple[jax.Array, _Pair]:
    return input_gradient(outputs, kernel, padding), (outputs, kernel)


def _input_backward(padding: Padding, saved: _Pair, inputs: jax.Array) -> _Pair:
    outputs, kernel = saved
    return conv(inputs, kernel, padding), kernel_gradient(inputs, outputs, padding)


def _kernel_forward(
    inputs: jax.Array, outputs: jax.Array, padding: Padding
) -> tuple[jax.Array, _Pair]:
    return kernel_gradient(inputs, outputs, padding), (inputs, outputs)


def _kernel_backward(padding: Padding, saved: _Pair, kernel: jax.Array) -> _Pair:
    inputs, outputs = saved
    return input_gradient(outputs, kernel, padding), conv(inputs, kernel, padding)


conv.defvjp(_conv_forward, _conv_backward)
input_gradient.defvjp(_input_forward, _input_backward)
kernel_gradient.defvjp(_kernel_forward, _kernel_backward)
