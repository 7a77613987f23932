"""Tutorial 12's block and discriminator, by the numbers of its PyTorch code.

They are in tests/golden/tutorial_11_and_12. The running statistics show, without
PyTorch, that the running variance is of the unbiased variance.
"""

import functools
import hashlib
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxgan.models import translation
from jaxgan.models.translation import resnet

FOLDER = Path(__file__).parents[1] / "golden" / "tutorial_11_and_12"
STORED = np.load(FOLDER / "cyclegan_pieces.npz")
REPORT = json.loads((FOLDER / "report.json").read_text())["cyclegan_discriminator"]
INITIALIZER = {"initializer": "normal", "gain": 0.02}
# The tutorial's name of a layer: ours.
CONVS = {f"model.{i}": f"conv_{n}" for n, i in enumerate((0, 2, 5, 8, 11))}
NORMS = {f"model.{3 * n}": f"conv_{n}_norm" for n in (1, 2, 3)}
# PyTorch's name of an array: ours.
ARRAYS = {"conv": {"weight": "kernel"}, "norm": {"weight": "scale"}}


def discriminator_variables():
    """Return the discriminator's variables, drawn as the README there says."""
    rng, params = np.random.RandomState(3303), {}
    for name, shape in REPORT["state_dict"].items():
        layer, _, leaf = name.rpartition(".")
        if leaf not in ("weight", "bias"):
            continue
        bound = 2.0 / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.2
        array = ((2.0 * rng.random_sample(shape) - 1.0) * bound).astype(np.float32)
        if layer in NORMS and leaf == "weight":
            array += np.float32(1)
        digest = hashlib.sha256(array.tobytes()).hexdigest()
        assert digest == REPORT["sha256_float32"][name]
        if array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)
        kind = ARRAYS["norm" if layer in NORMS else "conv"]
        ours = params.setdefault((NORMS | CONVS)[layer], {})
        ours[kind.get(leaf, leaf)] = array
    rng, stats = np.random.RandomState(3304), {}
    for ours in NORMS.values():
        size = params[ours]["scale"].shape
        mean = (2 * rng.random_sample(size) - 1) * 0.5
        stats[ours] = {"mean": mean, "var": 0.5 + rng.random_sample(size)}
    variables = {"params": params, "batch_stats": stats}
    return jax.tree.map(lambda x: x.astype(np.float32).astype(np.float64), variables)


@pytest.mark.usefixtures("float64_compiled_quickly")
def test_discriminator():
    network = translation.critic(
        "tutorial", width=64, num_layers=3, norm="batch", **INITIALIZER
    )
    variables = discriminator_variables()
    images = STORED["discriminator/input"].transpose(0, 2, 3, 1).astype(np.float64)
    for train, kind in ((False, "eval"), (True, "train")):
        apply = functools.partial(network.apply, train=train, mutable=["batch_stats"])
        scores, updated = jax.jit(apply)(variables, images)
        wanted = STORED[f"discriminator/output_{kind}_f64"][:, 0]
        np.testing.assert_allclose(scores, wanted, rtol=0, atol=1e-12)
    for theirs, ours in NORMS.items():
        for name, array in updated["batch_stats"][ours].items():
            wanted = STORED[f"discriminator/after_train/{theirs}.running_{name}"]
            # Stored as float32. By the biased variance they would be 4 % apart.
            np.testing.assert_allclose(array, wanted, rtol=2e-7, atol=1e-7)


@pytest.mark.usefixtures("float64_compiled_quickly")
def test_block():
    block = resnet.Block(block="tutorial", padding="zero", norm="none", **INITIALIZER)
    params = {
        f"conv_{n}": {
            "kernel": STORED[f"resnetblock/conv{n + 1}.weight"].transpose(2, 3, 1, 0),
            "bias": STORED[f"resnetblock/conv{n + 1}.bias"],
        }
        for n in (0, 1)
    }
    params = jax.tree.map(lambda x: x.astype(np.float64), params)
    inputs = STORED["resnetblock/input"].transpose(0, 2, 3, 1).astype(np.float64)
    found = block.apply({"params": params}, inputs, None, 0, train=True)
    wanted = STORED["resnetblock/output_f64"].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)
