"""What XLA is told: precision of matrix products, determinism, order of operations."""

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


def compiler_options(device: jax.Device) -> dict[str, str] | None:
    """Return the options with which the training step is compiled for one device.

    `train.remat` is `jax.checkpoint`, whose barriers keep XLA from computing the layers
    again long before they are needed. XLA's CPU compiler removes the barriers before it
    orders the operations, and remat then saves nothing (jax 0.10.2); the option keeps
    them. `jax.pmap` takes no options.
    """
    if device.platform != "cpu":
        return None
    return {"xla_disable_hlo_passes": "cse_barrier_expander"}
