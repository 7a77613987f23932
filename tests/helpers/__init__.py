"""Helpers that several test files share."""

from pathlib import Path

import jax

ROOT = Path(__file__).parents[2]
# Halves the time that compiling takes; jax 0.11 no longer knows it.
COMPILE_FLAGS = (
    "--xla_cpu_use_fusion_emitters=false" if jax.__version_info__ < (0, 11) else ""
)
