"""Networks to start from: converted weights (another run's: tests/test_train.py)."""

import jax
import numpy as np
import pytest
from helpers.cyclegans import drawn_state, small

from jaxgan.errors import UserError
from jaxgan.experiment import build
from jaxgan.weights import network_files
from jaxgan.workdir.warm_start import warm_start


@pytest.fixture(scope="module")
def config():
    return small(gan__ema_decay=0.9)


@pytest.fixture(scope="module")
def states(config):
    """Return two states with different parameters."""
    gan = build(config).gan((16, 16, 3))
    return drawn_state(gan, 0), drawn_state(gan, 1)


def save(folder, config, state, name):
    player = network_files.NAMES[name]
    network = config[player].to_dict() | {"channels": 3}
    variables = {"params": getattr(state, player).params[name], "batch_stats": {}}
    about = {"player": player, "name": name, "network": network}
    network_files.save(folder / f"{name}.safetensors", variables, about)


def equal(left, right):
    pairs = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def test_files_of_weights_replace_their_networks_alone(config, states, tmp_path):
    mine, theirs = states
    for name in ("a2b", "b"):
        save(tmp_path, config, theirs, name)
    started = warm_start(mine, tmp_path)
    assert jax.tree.structure(started) == jax.tree.structure(mine)
    assert equal(started.generator.params["a2b"], theirs.generator.params["a2b"])
    assert equal(started.critic.params["b"], theirs.critic.params["b"])
    assert equal(started.generator.params["b2a"], mine.generator.params["b2a"])
    assert equal(started.critic.params["a"], mine.critic.params["a"])
    assert equal(started.generator.opt_state, mine.generator.opt_state)
    # The moving average starts from the networks.
    assert equal(started.memory["average"]["params"], started.generator.params)
    assert equal(started.memory["pool"], mine.memory["pool"])


def test_weights_of_another_shape_are_refused(config, states, tmp_path):
    wider = small(generator__width=8)
    save(tmp_path, wider, drawn_state(build(wider).gan((16, 16, 3))), "a2b")
    with pytest.raises(UserError, match=r"a2b\.safetensors: array \S+ has shape"):
        warm_start(states[0], tmp_path)


def test_a_folder_with_nothing_to_start_from(states, tmp_path):
    with pytest.raises(UserError, match="holds no checkpoint"):
        warm_start(states[0], tmp_path)
