"""Every test runs on eight virtual CPU devices, with types checked as they run."""

import os

os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)

import jax
import pytest
from jaxtyping import install_import_hook

# Before any import of these modules, so that their annotations are executed.
install_import_hook(
    ["jaxgan.losses", "jaxgan.penalties", "jaxgan.pool", "jaxgan.metrics"],
    "beartype.beartype",
)
# (b, 1) - (b,) is the classic wrong broadcast of GAN losses: an error here.
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def plain_convolutions(monkeypatch):
    """Have every convolution be one, as on a GPU: programs that compile faster.

    On a CPU the models split some (jaxgan/models/strided.py).
    """
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
