"""Wasserstein GANs and CycleGAN in JAX and Flax."""

__version__ = "0.1.0"
