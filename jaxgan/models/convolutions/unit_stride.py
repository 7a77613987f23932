"""Convolutions of stride 1 that are fast on a CPU, and so are all their derivatives.

XLA's CPU backend has fast kernels for a convolution whose operands lie as [b, h, w, c]
and [k, k, in, out] and are not dilated. It brings others into that form where it can,
but not inside a loop, and the training step is one (`lax.scan`): there the gradients
that JAX derives, which read the same arrays in another order, run 10 to 20 times as
long. Here both gradients are again convolutions of that form, and so are theirs, which
a gradient penalty takes. Nor has it a good kernel for the three channels of an image.

Each function is exactly the convolution, and meant for a CPU alone: other backends have
kernels for all of it.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

LAYOUT = ("NHWC", "HWIO", "NHWC")
FEW = 4  # so few channels become more: the kernel's columns are counted as channels

Padding = tuple[tuple[int, int], tuple[int, int]]


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv(inputs, kernel, padding: Padding):
    """Return the convolution of stride 1, [b, h', w', out].

    Args:
        inputs: [b, h, w, in].
        kernel: [k, k, in, out].
        padding: ((above, below), (left, right)) zeros around the inputs.
    """
    taps, fed, made = kernel.shape[1:]
    if taps == 1 or min(fed, made) > FEW:
        return _padded_conv(inputs, kernel, padding)
    rows, columns = padding
    width = inputs.shape[2] + sum(columns) - taps + 1
    if fed <= FEW:
        inputs = _columns(_pad(inputs, columns), taps, width)
        kernel = kernel.reshape(kernel.shape[0], 1, taps * fed, made)
        return _padded_conv(inputs, kernel, (rows, (0, 0)))
    kernel = kernel.swapaxes(1, 2).reshape(kernel.shape[0], 1, fed, taps * made)
    parts = _pad(_padded_conv(inputs, kernel, (rows, (0, 0))), columns)
    return sum(
        parts[:, :, tap : tap + width, tap * made : (tap + 1) * made]
        for tap in range(taps)
    )


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def kernel_gradient(inputs, outputs, padding: Padding):
    """Return the gradient [k, k, in, out] of <outputs, conv(inputs, kernel)>.

    Args:
        inputs: [b, h, w, in].
        outputs: [b, h', w', out], a cotangent of the convolution's.
        padding: of the convolution.
    """
    made = outputs.shape[-1]
    taps = inputs.shape[2] + sum(padding[1]) - outputs.shape[2] + 1
    if taps == 1 or made > FEW:
        return _kernel_gradient(inputs, outputs, padding)
    # Output column q - tap meets input column q.
    rows, (left, right) = padding
    spread = _pad(outputs, (taps - 1 - left, taps - 1 - right))
    spread = _columns(spread, taps, inputs.shape[2])
    gradient = _kernel_gradient(inputs, spread, (rows, (0, 0)))
    gradient = gradient.reshape(gradient.shape[0], inputs.shape[-1], taps, made)
    return gradient.swapaxes(1, 2)[:, ::-1]


def _conv(inputs, kernel, padding):
    return lax.conv_general_dilated(
        inputs, kernel, (1, 1), padding, dimension_numbers=LAYOUT
    )


def _padded_conv(inputs, kernel, padding):
    """Convolve with one row too many, cut off, where there is no padding.

    XLA hands a convolution without any to YNNPACK (jax 0.10.2), which takes up to half
    as long again as Eigen for that of a ResNet's block.
    """
    if padding == ((0, 0), (0, 0)) and kernel.shape[0] > 1:
        return _conv(inputs, kernel, ((0, 1), (0, 0)))[:, :-1]
    return _conv(inputs, kernel, padding)


def _kernel_gradient(inputs, outputs, padding):
    """Convolve the inputs by the outputs: examples are summed over, as channels are."""
    gradient = _conv(
        inputs.transpose(3, 1, 2, 0), outputs.transpose(1, 2, 0, 3), padding
    )
    return gradient.transpose(1, 2, 0, 3)


def _input_gradient(outputs, kernel, padding):
    """Return the gradient of <outputs, conv(inputs, kernel)> by the inputs."""
    pads = tuple(
        (taps - 1 - before, taps - 1 - after)
        for taps, (before, after) in zip(kernel.shape[:2], padding, strict=True)
    )
    return conv(outputs, kernel[::-1, ::-1].swapaxes(2, 3), pads)


def _pad(inputs, columns):
    low, high = columns
    zero = jnp.zeros((), inputs.dtype)
    return lax.pad(inputs, zero, [(0, 0, 0), (0, 0, 0), (low, high, 0), (0, 0, 0)])


def _columns(inputs, taps, width):
    """Return [b, h, width, taps * c]: column i beside its right neighbours."""
    parts = [inputs[:, :, tap : tap + width] for tap in range(taps)]
    return jnp.concatenate(parts, axis=-1)


def _conv_forward(inputs, kernel, padding):
    return conv(inputs, kernel, padding), (inputs, kernel)


def _conv_backward(padding, saved, outputs):
    inputs, kernel = saved
    return (
        _input_gradient(outputs, kernel, padding),
        kernel_gradient(inputs, outputs, padding),
    )


def _gradient_forward(inputs, outputs, padding):
    return kernel_gradient(inputs, outputs, padding), (inputs, outputs)


def _gradient_backward(padding, saved, kernel):
    inputs, outputs = saved
    return _input_gradient(outputs, kernel, padding), conv(inputs, kernel, padding)


conv.defvjp(_conv_forward, _conv_backward)
kernel_gradient.defvjp(_gradient_forward, _gradient_backward)
