"""Small CycleGANs for the tests of the algorithm."""

import runpy
from pathlib import Path

import jax
import numpy as np

from jaxgan import turns

CONFIG = Path(__file__).parents[2] / "configs" / "cyclegan.py"
KEY = jax.random.key(7)
SHAPE = (16, 16, 3)


def small(variant="", batch_size=2, **fields):
    """Return a config of tiny networks, with `section__field=value` replaced."""
    config = runpy.run_path(str(CONFIG))["get_config"](variant)
    config.generator.update(name="resnet_1blocks", width=4)
    config.critic.update(width=4, num_layers=1)
    for optimizer in config.optimizer.values():
        optimizer.learning_rate = 2e-4
    config.data.update(batch_size=batch_size, image_size=SHAPE[0], resize=SHAPE[0])
    for field, value in fields.items():
        section, _, name = field.rpartition("__")
        node = config
        for part in section.split("__"):
            node = node[part]
        with node.unlocked():
            node[name] = value
    return config


def both_optimizers(**fields):
    """Return the fields for `small` that set the same values for both optimizers."""
    players = ("generator", "critic")
    return {f"optimizer__{p}__{name}": v for p in players for name, v in fields.items()}


def batches(steps, batch_size, shape=SHAPE, seed=0):
    """Return a call's batch of random images of both domains; b is darker."""
    rng = np.random.default_rng(seed)
    lead = (steps, 1, batch_size, *shape)
    return {
        name: rng.integers(0, top, lead, np.uint8)
        for name, top in (("a", 256), ("b", 99))
    }


def drawn_state(gan, seed=0):
    """Return an initial state of random parameters, without compiling `init`."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        name = jax.tree_util.keystr(path)
        if ".params" not in name or "average" in name:
            return np.full(leaf.shape, "['var']" in name, leaf.dtype)
        noise = rng.standard_normal(leaf.shape)
        if "['kernel']" in name:
            return (noise / np.sqrt(np.prod(leaf.shape[:-1]))).astype(leaf.dtype)
        return (0.1 * noise + ("['scale']" in name)).astype(leaf.dtype)

    shapes = jax.eval_shape(gan.init, KEY)
    state = jax.tree_util.tree_map_with_path(draw, shapes)
    if "average" in state.memory:
        average = turns.generator_variables(state)
        state = state.replace(memory=state.memory | {"average": average})
    return state


def leaves(tree):
    """Return {path: array} of a tree."""
    flat = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in flat}


def largest_difference(one, other):
    """Return the largest absolute difference between two trees of the same structure.

    The result is NaN if one of the trees has a NaN.
    """
    one, other = leaves(one), leaves(other)
    kinds = [{n: (x.shape, x.dtype) for n, x in tree.items()} for tree in (one, other)]
    assert kinds[0] == kinds[1]
    return np.max([np.max(np.abs(one[n] - other[n]), initial=0) for n in one])
