"""Helpers that several test files share."""

import os
import tempfile
from pathlib import Path

import jax
import numpy as np

ROOT = Path(__file__).parents[2]
# All processes of a test run share what they compile: those of pytest-xdist, and those
# that tests start. Nothing is written to the user's cache.
COMPILED = Path(tempfile.gettempdir()) / "jaxgan-compiled-{}".format(
    os.environ.get("PYTEST_XDIST_TESTRUNUID", os.getpid())
)
# Halves the time that compiling takes; jax 0.11 no longer knows it.
COMPILE_FLAGS = (
    "--xla_cpu_use_fusion_emitters=false" if jax.__version_info__ < (0, 11) else ""
)


def use_plain_convolutions(monkeypatch):
    """Use one XLA convolution for each, as on a GPU: programs that compile faster.

    On a CPU the models divide some of them (jaxgan/models/convolutions/strided.py).
    """
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")


def copy_to_host(tree):
    """Return a copy of a replicated tree of arrays, as numpy arrays.

    It shares no memory with the devices. On a CPU, numpy could look straight into a
    device's memory, which is donated to the next step and overwritten by it.
    """
    return jax.tree.map(lambda x: np.array(x.addressable_data(0), copy=True), tree)
