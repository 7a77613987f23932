"""Helpers that several test files share."""

from pathlib import Path

import jax

ROOT = Path(__file__).parents[2]
# Halves the time that compiling takes; jax 0.11 no longer knows it.
COMPILE_FLAGS = (
    "--xla_cpu_use_fusion_emitters=false" if jax.__version_info__ < (0, 11) else ""
)


def use_plain_convolutions(monkeypatch):
    """Use one XLA convolution for each, as on a GPU: programs that compile faster.

    On a CPU the models divide some of them (jaxgan/models/convolutions/strided.py).
    """
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
