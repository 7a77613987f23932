"""Tutorial 11's WGAN-GP: one whole training step, by the numbers of its PyTorch code.

tests/golden/tutorial_11_and_12 holds what that code computed: first weights, images,
latents, losses, gradients and updates. Here `train_step`, as the variant `tutorial` of
configs/wgan_gp.py builds it, computes them from the same weights, images and draws. It
takes one critic step, then the generator's, as the tutorial's loop does at i = 0.
"""

import hashlib
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import wgan_gp
from jaxgan import keys, turns
from jaxgan.experiment import build

FOLDER = Path(__file__).parents[1] / "golden" / "tutorial_11_and_12"
REPORT = json.loads((FOLDER / "report.json").read_text())
KEY, LEARNING_RATE = jax.random.key(7), 1e-4
LAYERS = {"model.0": "hidden_0", "model.2": "hidden_1", "model.4": "output"}
LETTERS = {"generator": "G", "critic": "D"}
# The tutorial's own sizes are in `mlp_exact`. `mlp_small` stores whole gradients.
SMALL = {"generator": (16, 32), "critic": (32, 16)}
GRADIENT_DESCENT = {
    "name": "sgd",
    "learning_rate": 1.0,
    "b1": 0.0,
    "b2": 0.0,
    "decay_steps": 0,
}


def first_weights(size, player):
    """Return {'model.0.weight': [out, in], ...}, checked by their digests."""
    report, letter = REPORT[size], LETTERS[player]
    rng = np.random.RandomState(report["weight_seeds"][letter])
    found = {}
    for name, shape in report["shapes"].items():
        if name.startswith(f"{letter}/"):
            scale = 2.0 if letter == "G" else 2.3
            bound = scale / np.sqrt(shape[1]) if len(shape) == 2 else 0.2
            array = ((2.0 * rng.random_sample(shape) - 1.0) * bound).astype(np.float32)
            digest = hashlib.sha256(array.tobytes()).hexdigest()
            assert digest == report["weights_sha256_float32_C_order"][name]
            found[name.removeprefix(f"{letter}/")] = array
    return found


def first_state(gan, size):
    """Return the state at step 0 with the tutorial's weights."""
    state = jax.eval_shape(gan.init, KEY)
    state = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), state)
    for player in LETTERS:
        weights, network = first_weights(size, player), getattr(state, player)
        params = {}
        for theirs, ours in LAYERS.items():
            kernel, bias = weights[f"{theirs}.weight"].T, weights[f"{theirs}.bias"]
            params[ours] = {"kernel": kernel, "bias": bias}
        params = jax.tree.map(
            lambda mine, theirs: np.asarray(theirs, mine.dtype), network.params, params
        )
        state = state.replace(**{player: network.replace(params=params)})
    return state


def train(size, monkeypatch, **optimizers):
    """Take one training step.

    Returns what is stored, the states before and after, and the metrics. `optimizers`
    take the place of the tutorial's Adam.
    """
    given = np.load(FOLDER / f"{size}.npz")
    images = given["real"].transpose(0, 2, 3, 1)
    config = wgan_gp.get_config("tutorial")
    config.data.batch_size, config.gan.n_critic = len(images), 1
    config.gan.latent_size = given["z"].shape[1]
    with config.unlocked():
        for player, fields in optimizers.items():
            config.optimizer[player] = fields
        if size == "mlp_small":
            for player, hidden in SMALL.items():
                config[player].hidden = hidden
    monkeypatch.setattr(keys, "draw_per_example", draws(given))
    gan = build(config).gan(images.shape[1:])
    state = first_state(gan, size)
    labels = np.zeros((1, len(images)), np.int32)
    batch = {"image": images[None], "label": labels}
    after, metrics = jax.jit(gan.train_step)(state, batch, KEY)
    return given, state, after, {name: float(np.mean(x)) for name, x in metrics.items()}


def draws(given):
    """Return a `keys.draw_per_example` that gives the tutorial's numbers.

    They are chosen by the key, so that each player gets its own.
    """
    step = jax.random.fold_in(KEY, 0)
    critic = jax.random.fold_in(jax.random.fold_in(step, turns.CRITIC), 0)
    generator = jax.random.fold_in(step, turns.GENERATOR)

    def draw(sampler, key, purpose, index):
        def under(expected):
            same = jax.random.key_data(key) == jax.random.key_data(expected)
            return jnp.all(same)

        if purpose == keys.INTERPOLATION:
            return jnp.where(under(critic), given["alpha"][:, 0], jnp.nan)
        assert purpose == keys.LATENTS
        other = jnp.where(under(generator), given["z2"], jnp.nan)
        return jnp.where(under(critic), given["z"], other)

    return draw


def changes(state, after, player):
    """Return {'model.0.weight': change, ...} of a player, as PyTorch lays them out."""
    first, last = getattr(state, player).params, getattr(after, player).params
    change = jax.tree.map(lambda a, b: np.asarray(b, np.float64) - a, first, last)
    found = {}
    for theirs, ours in LAYERS.items():
        found[f"{theirs}.weight"] = change[ours]["kernel"].T
        found[f"{theirs}.bias"] = change[ours]["bias"]
    return found


# How the larger arrays of `mlp_exact` are stored.
PARTS = {
    "": lambda array: array,
    "@block": lambda array: array[::16, ::7],
    "@rowsum": lambda array: array.sum(axis=1),
    "@colsum": lambda array: array.sum(axis=0),
    "@l2": np.linalg.norm,
}


def differences(arrays, given, prefix):
    """Return the differences from what is stored, relative to the norm of each part."""
    names = [name for name in given.files if name.startswith(f"{prefix}/")]
    found, compared = [], set()
    for name in names:
        tensor, at, part = name.removeprefix(f"{prefix}/").partition("@")
        ours = PARTS[at + part](arrays[tensor])
        # The critic's last bias shifts all scores alike: its gradient is 0.
        scale = np.linalg.norm(given[name]) or 1.0
        found.append(np.ravel(np.abs(ours - given[name])) / scale)
        compared.add(tensor)
    assert compared == arrays.keys()
    return np.concatenate(found)


@pytest.mark.parametrize(
    ("size", "dtype"),
    [
        ("mlp_exact", "float64"),
        *(
            pytest.param(size, dtype, marks=pytest.mark.slow)
            for size, dtype in (
                ("mlp_small", "float64"),
                ("mlp_small", "float32"),
                ("mlp_exact", "float32"),
            )
        ),
    ],
)
def test_losses_and_updates(size, dtype, monkeypatch):
    """Measured: losses 5e-16 apart in float64, 8e-7 in float32."""
    with jax.enable_x64(dtype == "float64"):
        given, state, after, metrics = train(size, monkeypatch)
    wanted = {
        "critic/loss": given["d_loss"],
        "critic/wasserstein": -given["wasserstein_part"],
        "critic/gradient_penalty": given["gp"],
        "critic/gradient_norm": given["grad_norms"].mean(),
        "generator/loss": given["g_loss_updated_D"],
    }
    for name, value in wanted.items():
        tolerance = 1e-12 if dtype == "float64" else 4e-6
        assert abs(metrics[name] - value) < tolerance, name
    # As the tutorial writes the penalty, images get one norm for each pixel.
    wrong = given["gp_as_written_on_images"]
    assert abs(metrics["critic/gradient_penalty"] - wrong) > 0.5
    for player, letter in LETTERS.items():
        moved = changes(state, after, player)
        moved = {name: change / LEARNING_RATE for name, change in moved.items()}
        stored = f"{letter.lower()}_after_minus_before_in_lr"
        apart = differences(moved, given, stored)
        if dtype == "float64":
            assert np.max(apart) < 1e-7  # as they are stored in float32
        else:
            # Not the largest: Adam's first step turns a rounded gradient near 0 into
            # up to a learning rate. PyTorch's float32 has 2 such parameters of 233,985.
            assert np.quantile(apart, 0.999) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("size", ["mlp_small", "mlp_exact"])
@pytest.mark.parametrize(
    ("player", "stored"), [("critic", "d_grads"), ("generator", "g_grads_updated_D")]
)
def test_gradients(player, stored, size, monkeypatch):
    """What gradient descent at rate 1 takes off the parameters is their gradient."""
    with jax.enable_x64(True):
        optimizer = {player: GRADIENT_DESCENT}
        given, state, after, _ = train(size, monkeypatch, **optimizer)
    gradients = {
        name: -change for name, change in changes(state, after, player).items()
    }
    # All but the critic's in `mlp_small` are stored in float32.
    exact = (player, size) == ("critic", "mlp_small")
    assert np.max(differences(gradients, given, stored)) < (1e-12 if exact else 1e-7)
