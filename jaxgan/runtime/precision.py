"""Precision of matrix products, and determinism, for the whole process."""

import os

import jax


def configure(precision: str, deterministic: bool) -> None:
    """Set JAX's precision and determinism; call it before the first computation.

    Args:
        precision: 'float32' multiplies matrices in full float32. 'tf32' and 'bfloat16'
            leave the choice to the device, whose default they are.
        deterministic: have a GPU use reproducible kernels only. CPUs and TPUs are
            reproducible anyway.
    """
    full = precision == "float32"
    jax.config.update("jax_default_matmul_precision", "highest" if full else None)
    if deterministic:
        flags = "--xla_gpu_deterministic_ops=true --xla_gpu_autotune_level=0"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
