"""Every test runs on eight virtual CPU devices, with types checked as they run.

Also on a machine with a GPU or TPU: tests marked `accelerator` start processes of their
own there.
"""

import atexit
import os
import shutil
from pathlib import Path

import jax
import pytest
from helpers import COMPILE_FLAGS, COMPILED, use_plain_convolutions
from jaxtyping import install_import_hook

TESTS = Path(__file__).parent
ACCELERATOR = os.environ.get("JAX_PLATFORMS", "")  # as it was asked for outside
jax.config.update("jax_platforms", "cpu")
os.environ["JAX_PLATFORMS"] = "cpu"  # for the processes that tests start
DEVICE_FLAGS = "--xla_force_host_platform_device_count=8"
given = os.environ.get("XLA_FLAGS", "")
os.environ["XLA_FLAGS"] = f"{given} {DEVICE_FLAGS} {COMPILE_FLAGS}"
# For these processes too; jax, which is imported here, has read its variables already.
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(COMPILED)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
atexit.register(shutil.rmtree, COMPILED, ignore_errors=True)

# Before any import of these modules, so that their annotations are executed.
install_import_hook(
    ["jaxgan.losses", "jaxgan.penalties", "jaxgan.pool", "jaxgan.metrics"],
    "beartype.beartype",
)
# (b, 1) - (b,) is the classic wrong broadcast of GAN losses: an error here.
jax.config.update("jax_numpy_rank_promotion", "raise")


# With several workers the longest files begin first, or one of them runs alone at the
# end. Seconds on two cores decide the order; it changes nothing else.
LONGEST_FIRST = (
    "test_train.py",
    "runtime/test_processes.py",
    "test_train_cyclegan.py",
    "runtime/test_devices.py",
    "gans/test_gans.py",
    "models/test_models.py",
    "gans/test_own_gans.py",
    "test_cli.py",
    "gans/test_authors_cyclegan.py",
    "gans/test_cyclegan.py",
    "data/test_toy.py",
    "test_train_cloud.py",
    "test_launch.py",
    "test_benchmarks.py",
)


def pytest_collection_modifyitems(items):
    """Put the tests of the longest files first."""

    def rank(item):
        name = item.path.relative_to(TESTS).as_posix()
        return (
            LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST)
        )

    items.sort(key=rank)


@pytest.fixture(scope="module")
def float64_compiled_quickly():
    """Compute in float64; compile without most optimizations."""
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    jax.config.update("jax_enable_x64", False)


@pytest.fixture
def plain_convolutions(monkeypatch):
    """Use one XLA convolution for each, which compiles faster."""
    use_plain_convolutions(monkeypatch)
