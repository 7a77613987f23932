"""Networks to start from: converted weights (another run's: tests/test_train.py)."""

import dataclasses

import jax
import numpy as np
import pytest
from helpers.cyclegans import drawn_state, small

from configs import wgan_gp
from jaxgan.errors import UserError
from jaxgan.experiment import build
from jaxgan.weights import network_files, official_networks, torch_files
from jaxgan.workdir.warm_start import read_networks, warm_start


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


def started(config, state, path):
    """Return `state` after a warm start from a path."""
    run = build(config)
    run = dataclasses.replace(run, init_from=str(path))
    return warm_start(state, read_networks(run, state, (16, 16, 3)))


def refused(config, state, path):
    """Return the line with which a path is refused."""
    with pytest.raises(UserError) as caught:
        started(config, state, path)
    line = str(caught.value)
    assert line.startswith(f"train.init_from = {path}: ")
    return line


def test_files_of_weights_replace_their_networks_alone(config, states, tmp_path):
    mine, theirs = states
    for name in ("a2b", "b"):
        save(tmp_path, config, theirs, name)
    new = started(config, mine, tmp_path)
    assert jax.tree.structure(new) == jax.tree.structure(mine)
    assert equal(new.generator.params["a2b"], theirs.generator.params["a2b"])
    assert equal(new.critic.params["b"], theirs.critic.params["b"])
    assert equal(new.generator.params["b2a"], mine.generator.params["b2a"])
    assert equal(new.critic.params["a"], mine.critic.params["a"])
    assert equal(new.generator.opt_state, mine.generator.opt_state)
    # The moving average starts from the networks.
    assert equal(new.memory["average"]["params"], new.generator.params)
    assert equal(new.memory["pool"], mine.memory["pool"])


def test_files_of_the_official_code_are_taken_as_they_are(config, states, tmp_path):
    """A folder as the official code leaves it, and one file of it."""
    mine, theirs = states
    names = {"G_A": "a2b", "G_B": "b2a", "D_A": "b", "D_B": "a"}
    for official, name in names.items():
        save(tmp_path, config, theirs, name)
        variables, about = network_files.load(tmp_path / f"{name}.safetensors")
        (tmp_path / f"{name}.safetensors").unlink()
        tensors = official_networks.to_torch(variables, about["network"])
        torch_files.write(tmp_path / f"latest_net_{official}.pth", tensors)
        (tmp_path / f"5_net_{official}.pth").write_bytes(b"an older epoch")
    (tmp_path / "opt.txt").touch()
    new = started(config, mine, tmp_path)
    assert equal(new.generator.params, theirs.generator.params)
    assert equal(new.critic.params, theirs.critic.params)
    new = started(config, mine, tmp_path / "latest_net_G_B.pth")
    assert equal(new.generator.params["b2a"], theirs.generator.params["b2a"])
    assert equal(new.generator.params["a2b"], mine.generator.params["a2b"])
    assert equal(new.critic.params, mine.critic.params)


def test_weights_of_another_network_are_refused(config, states, tmp_path):
    wider = small(generator__width=8)
    save(tmp_path, wider, drawn_state(build(wider).gan((16, 16, 3))), "a2b")
    line = refused(config, states[0], tmp_path)
    assert "a2b: array block_0/conv_0/bias has shape (32,)" in line
    # The same shapes, and another function.
    other = small(generator__upsample="resize")
    save(tmp_path, other, states[1], "a2b")
    line = refused(config, states[0], tmp_path / "a2b.safetensors")
    assert "a2b has upsample = resize, and generator.upsample = transposed" in line


def test_what_holds_nothing_to_start_from(config, states, tmp_path):
    for name in ("empty", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "other" / "opt.txt").touch()
    for name, words in {
        "none": "no such file or folder",
        "empty": "is empty",
        "other": "holds only opt.txt",
        "other/opt.txt": "is no file of weights",
    }.items():
        line = refused(config, states[0], tmp_path / name)
        assert words in line
        assert "must be a run's workdir, a .safetensors file, a .pth file" in line
    save(tmp_path, config, states[0], "a2b")
    variables, about = network_files.load(tmp_path / "a2b.safetensors")
    tensors = official_networks.to_torch(variables, about["network"])
    torch_files.write(tmp_path / "horse2zebra.pth", tensors)
    line = refused(config, states[0], tmp_path / "horse2zebra.pth")
    assert "does not say which network it is; call it a2b.pth" in line


def test_only_a_cyclegan_starts_from_files_of_weights(states, tmp_path):
    config = wgan_gp.get_config()
    config.generator.hidden = config.critic.hidden = (4,)
    run = build(config)
    save(tmp_path, small(), states[0], "a2b")
    run = dataclasses.replace(run, init_from=str(tmp_path))
    like = jax.eval_shape(run.gan((8, 8, 1)).init, jax.random.key(0))
    with pytest.raises(UserError, match="only a CycleGAN starts from files"):
        read_networks(run, like, (8, 8, 1))
