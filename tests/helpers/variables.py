"""Variables of networks, without compiling."""

import jax
import jax.numpy as jnp
import numpy as np


def draw_variables(shapes):
    """Return variables drawn with numpy, which saves compiling the initialisers.

    `shapes` is what `jax.eval_shape` returns for a network's `init`.
    """
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        if path[-1].key == "kernel":
            fan_in = np.prod(leaf.shape[:-1])
            return jnp.asarray(rng.normal(size=leaf.shape) / np.sqrt(fan_in), "f4")
        return jnp.full(leaf.shape, path[-1].key in ("scale", "var"), "f4")

    return jax.tree_util.tree_map_with_path(draw, shapes)
