"""Convolutions against XLA's: values, first and second derivatives."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.models.convolutions.layout import LAYOUT

# Of LLVM; half the time of compilation.
QUICK = {"xla_backend_optimization_level": 0}


def arrays(*shapes, dtype=None):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes]


def derivatives(convolve, inputs, kernel):
    """Return the output, its gradients, and the gradients of a function of those."""

    def value(inputs, kernel):
        return jnp.sin(convolve(inputs, kernel)).sum()

    def of_gradients(inputs, kernel):
        gradients = jax.grad(value, (0, 1))(inputs, kernel)
        return sum(jnp.cos(gradient).sum() for gradient in gradients)

    return (
        convolve(inputs, kernel),
        jax.grad(value, (0, 1))(inputs, kernel),
        jax.grad(of_gradients, (0, 1))(inputs, kernel),
    )


def assert_same(found, expected, inputs, kernel, of=derivatives, atol=1e-11):
    """Compare two convolutions in float64, under one compilation.

    `of` is (convolution, inputs, kernel) -> what is compared; its arrays may differ by
    `atol` of their largest element.
    """
    both = jax.jit(
        lambda *args: [of(f, *args) for f in (found, expected)],
        compiler_options=QUICK,
    )
    found, expected = both(inputs, kernel)
    for ours, theirs in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        assert ours.dtype == jnp.float64
        assert ours.shape == theirs.shape
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours / scale, theirs / scale, rtol=0, atol=atol)


def xla(strides, padding):
    return functools.partial(
        jax.lax.conv_general_dilated,
        window_strides=strides,
        padding=padding,
        dimension_numbers=LAYOUT,
    )
