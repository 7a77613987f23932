"""Distances between sets of samples; numpy in float64, no jax.

Import the module that you need: each loads only what it uses.
"""
