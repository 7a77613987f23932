"""Training with only the packages that it cannot do without."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
NEEDED = [
    "jax",
    "flax",
    "optax",
    "orbax-checkpoint",
    "ml_collections",
    "absl-py",
    "jaxtyping",
    "numpy",
    "scipy",
    "pillow",
]
NOT_NEEDED = {
    "grain",
    "sklearn",
    "tensorboardX",
    "tensorflow_datasets",
    "tensorflow",
    "tqdm",
    "torch",
    "matplotlib",
}

# Hides packages from all finders, as if they were not installed, also from
# importlib.util.find_spec; then trains.
CHILD = """
import sys

hidden = set(sys.argv.pop(1).split(","))
assert not {"sklearn", "tqdm", "grain"} & sys.modules.keys()

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            return None
        return self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
from jaxgan.main import main

sys.exit(main())
"""


def canonical(name):
    """Return the name of a distribution, normalised as in PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def with_dependencies(names):
    """Return the distributions that `pip install` of only `names` would install."""
    found, waiting = set(), [canonical(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        try:
            requirements = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # it is for another platform or version of Python
        for requirement in requirements:
            if "extra ==" not in requirement:
                dependency = re.match(r"[A-Za-z0-9._-]+", requirement).group()
                waiting.append(canonical(dependency))
    return found


def hidden_packages():
    """Return all importable packages that the needed distributions do not install."""
    kept = with_dependencies(NEEDED) | {"jaxgan"}
    packages = importlib.metadata.packages_distributions()
    return NOT_NEEDED | {
        package
        for package, distributions in packages.items()
        if kept.isdisjoint(map(canonical, distributions))
    }


def test_the_needed_packages_bring_none_of_the_others():
    hidden = hidden_packages()
    assert with_dependencies(NEEDED).isdisjoint(map(canonical, NOT_NEEDED))
    assert "scikit-learn" not in with_dependencies(NEEDED)
    assert hidden.isdisjoint({"jax", "jaxlib", "flax", "optax", "orbax", "PIL", "absl"})


def test_training_goes_without_the_rest_and_says_so(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 8, 8, 1), np.uint8)
    np.savez(tmp_path / "set.npz", image=images)
    workdir = tmp_path / "run"
    settings = {
        "train.num_steps": 4,
        "train.log_steps": 2,
        "train.sample_steps": 4,
        "train.checkpoint_steps": 4,
        "train.steps_per_call": 2,
        "data.batch_size": 4,
        "parallel.devices": 1,
    }
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            CHILD,
            ",".join(sorted(hidden_packages())),
            f"--config=configs/wgan_gp.py:name=npz,dir={tmp_path / 'set.npz'}",
            f"--workdir={workdir}",
            *(f"--config.{field}={value}" for field, value in settings.items()),
        ],
        cwd=ROOT,
        # Compiling takes longer than training does.
        env=os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    without = [line for line in done.stdout.splitlines() if "jaxgan: no " in line]
    assert without == ["jaxgan: no TensorBoard files: pip install tensorboardX"]
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4]
    assert (workdir / "samples" / "step_00000004.png").is_file()
    assert (workdir / "checkpoints" / "4").is_dir()
    assert not list(workdir.glob("events.*"))
