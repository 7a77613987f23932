"""Precision of matrix products, and determinism, of all computations of a process."""

import os

import jax


def configure(precision: str, deterministic: bool) -> None:
    """Set what has to be set before the first computation.

    `float32` multiplies matrices in full float32, `tf32` and `bfloat16` as the
    device does by default. `deterministic` makes a GPU choose reproducible kernels;
    CPUs and TPUs are reproducible without.
    """
    exact = precision == "float32"
    jax.config.update("jax_default_matmul_precision", "highest" if exact else None)
    if deterministic:
        flags = "--xla_gpu_deterministic_ops=true --xla_gpu_autotune_level=0"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
