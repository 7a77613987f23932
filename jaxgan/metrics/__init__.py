"""Metrics of what a GAN generates: distances between samples, errors of images.

Import the module that you need: each loads only what it uses. `wasserstein` is numpy
in float64 without jax; `paired_images` is jax, and so part of a compiled evaluation.
"""
