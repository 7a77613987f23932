"""Small GANs trained on one device, on several devices, and in shares under vmap."""

import runpy
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from ml_collections import ConfigDict

from helpers import copy_to_host
from helpers.cyclegans import drawn_state
from jaxgan import optim
from jaxgan.experiment import build
from jaxgan.experiment import latent_family as latent_family
from jaxgan.experiment import translation_family as translation_family
from jaxgan.models import latent, layers
from jaxgan.models.translation import image_layers, resnet
from jaxgan.rules import TRUE_OR_FALSE
from jaxgan.runtime import devices

CONFIGS = Path(__file__).parents[2] / "configs"
KEY = jax.random.key(7)
STEPS, CLASSES = 20, 3
GLOROT = layers.fan_uniform(he=False)


# Networks with the layers that devices could disagree on, and with little to compile.
# They have biases only where these have gradients. Before a norm, or in a score of
# which only differences count, the gradient of a bias is a rounding error, from which
# Adam makes a whole step.


class TinyGenerator(nn.Module):
    """A hidden layer, with or without (conditional) BatchNorm, and tanh."""

    shape: tuple[int, ...]
    batch_norm: bool
    num_classes: int = 0
    axis_name: str | None = None
    dtype: object = None

    @nn.compact
    def __call__(self, latents, labels=None, *, train):
        x = layers.dense(8, GLOROT, use_bias=False)(latents).reshape(-1, 2, 2, 2)
        if self.batch_norm and self.num_classes:
            norm = layers.ConditionalBatchNorm(self.num_classes, self.axis_name)
            x = norm(x, labels, train=train)
        elif self.batch_norm:
            x = layers.batch_norm(train, axis_name=self.axis_name)(x)
        x = layers.ACTIVATIONS["leaky_relu"](x).reshape(len(x), -1)
        x = layers.dense(np.prod(self.shape), GLOROT)(x)
        return nn.tanh(x).reshape(-1, *self.shape)


class TinyCritic(nn.Module):
    """A hidden layer, optional BatchNorm, and a score; with classes, also logits."""

    batch_norm: bool
    num_classes: int = 0
    axis_name: str | None = None
    dtype: object = None

    @nn.compact
    def __call__(self, images, *, train):
        x = layers.dense(6, GLOROT, use_bias=False)(images.reshape(len(images), -1))
        if self.batch_norm:
            x = layers.batch_norm(train, axis_name=self.axis_name)(x)
        x = layers.ACTIVATIONS["leaky_relu"](x)
        scores = layers.dense(1, GLOROT, use_bias=False)(x)[:, 0]
        if not self.num_classes:
            return scores
        return scores, layers.dense(self.num_classes, GLOROT)(x)


class TinyTranslator(resnet.Generator):
    """Two convolutions, with norm, ReLU and dropout between them."""

    @nn.compact
    def __call__(self, images, keys=None, *, train):
        x = self.conv(self.width, 3, "input", padding=1, use_bias=False)(images)
        x = nn.relu(self.normalise(x, train, "norm"))
        x = image_layers.dropout(x, keys if self.dropout else None, 0)
        x = self.conv(self.channels, 3, "output", padding=1, use_bias=True)(x)
        return nn.tanh(x)


def use_tiny_networks(monkeypatch):
    """Register the networks 'tiny', and make every CycleGAN ResNet a TinyTranslator."""
    rules = {"batch_norm": TRUE_OR_FALSE}
    monkeypatch.setitem(latent.GENERATORS, "tiny", latent.Entry(TinyGenerator, rules))
    monkeypatch.setitem(latent.CRITICS, "tiny", latent.Entry(TinyCritic, rules))
    monkeypatch.setattr(resnet, "Generator", TinyTranslator)


# Configs

MLP = {
    "name": "mlp", "hidden": (6, 5), "activation": "leaky_relu",
    "initializer": "he_uniform",
}  # fmt: skip
DCGAN = {"name": "dcgan", "width": 2, "batch_norm": True, "extra_layers": 0}
DCGAN_5X5 = {"name": "dcgan_5x5", "width": 2, "norm": "batch"}
NETWORKS = {  # of generator and critic
    "tiny": ({"name": "tiny", "batch_norm": False},) * 2,
    "tiny_norm": ({"name": "tiny", "batch_norm": True},) * 2,
    "tiny_generator_norm": (
        {"name": "tiny", "batch_norm": True},
        {"name": "tiny", "batch_norm": False},
    ),
    "mlp": (MLP | {"output": "tanh"}, MLP),
    "dcgan": (DCGAN, DCGAN),
    "dcgan_5x5": (DCGAN_5X5 | {"output": "tanh"}, DCGAN_5X5),
    "dcgan_5x5_layer": (DCGAN_5X5 | {"output": "tanh"}, DCGAN_5X5 | {"norm": "layer"}),
    "resnet32": ({"name": "resnet32", "width": 2},) * 2,
    "resnet64": ({"name": "resnet64", "width": 2},) * 2,
}
SIDES = {"tiny": 4, "dcgan": 16, "resnet32": 32, "resnet64": 64}  # 8 for the others
WGAN = {
    "gan.n_critic": 2,
    "gan.latent_size": 3,
    "gan.ema_decay": 0.9,
    "data.value_range": "dequantized",
    "data.batch_size": 16,
}
FIELDS = {
    "wgan": WGAN | {"gan.clip": 0.3},
    "wgan_gp": WGAN
    | {
        "gan.generator_batch_multiple": 2,
        "gan.drift_weight": 0.01,
        "gan.penalty_weight": 0.1,
    },
    "cyclegan": {
        "gan.pool_size": 10,  # overflows in the second step
        "gan.ema_decay": 0.9,
        "gan.identity_weight": 0.5,
        "gan.clip": 0.3,
        "gan.penalty_weight": 0.1,
        "generator.name": "resnet_1blocks",
        "generator.width": 2,
        "generator.norm": "batch",
        "generator.dropout": True,
        "critic.name": "pixel",
        "critic.width": 2,
        "critic.num_layers": 1,
        "critic.norm": "batch",
        "data.batch_size": 8,
        "data.image_size": 8,
        **{
            f"optimizer.{player}.{part}_steps": 0
            for player in ("generator", "critic")
            for part in ("constant", "decay")
        },
    },
}
RATES = {"sgd": 0.05, "adam": 1e-3, "rmsprop": 1e-3}


def small(gan, optimizer="sgd", networks="", speed=1.0, **fields):
    """Return a small config; `section__field=value` overrides a value in FIELDS.

    `speed` multiplies the learning rates.
    """
    config = runpy.run_path(str(CONFIGS / f"{gan}.py"))["get_config"]()
    if networks:
        pair = map(ConfigDict, NETWORKS[networks])
        config.generator, config.critic = pair
    given = FIELDS[gan] | {name.replace("__", "."): x for name, x in fields.items()}
    for player in ("generator", "critic"):
        given[f"optimizer.{player}.name"] = optimizer
        given[f"optimizer.{player}.learning_rate"] = speed * RATES[optimizer]
    config.update_from_flattened_dict(given)
    return config


def shape_of(config):
    side = config.data.image_size or SIDES.get(config.generator.name, 8)
    return (side, side, 1)


def classes_of(config):
    return CLASSES if config.gan.get("conditional", False) else 0


def batches(config, steps=STEPS):
    """Return a call's batch of random examples; domain b is darker."""
    rng = np.random.default_rng(0)
    lead = (steps, config.gan.get("n_critic", 1), config.data.batch_size)
    tops = {"a": 256, "b": 99} if config.gan.name == "cyclegan" else {"image": 256}
    shape = (*lead, *shape_of(config))
    batch = {name: rng.integers(0, top, shape, np.uint8) for name, top in tops.items()}
    if "image" in batch:
        batch["label"] = rng.integers(0, classes_of(config) or 1, lead).astype(np.int32)
    return batch


def either_optimizer(monkeypatch):
    """Make one program train with SGD or Adam, depending on `chosen` in its state."""

    def optimizer(*_):
        adam = optim.optimizer(
            name="adam", learning_rate=RATES["adam"], b1=0.5, b2=0.9, decay_steps=0
        )

        def init(params):
            return {"adam": adam.tx.init(params), "chosen": jnp.zeros((), jnp.int32)}

        def update(gradients, state, params):
            direction, moments = adam.tx.update(gradients, state["adam"], params)
            ratio = RATES["sgd"] / RATES["adam"]
            direction = jax.tree.map(
                lambda d, g: jnp.where(state["chosen"] == 1, d, ratio * g),
                direction,
                gradients,
            )
            return direction, {"adam": moments, "chosen": state["chosen"]}

        return adam._replace(tx=optax.GradientTransformation(init, update))

    monkeypatch.setattr(latent_family, "optimizer", optimizer)
    monkeypatch.setattr(translation_family, "optimizer", optimizer)


def choose(state, optimizer):
    """Return a state of `either_optimizer` that trains with the named optimizer."""

    def choose_one(network):
        chosen = np.array(optimizer == "adam", np.int32)
        return network.replace(opt_state=network.opt_state | {"chosen": chosen})

    return state.replace(
        generator=choose_one(state.generator), critic=choose_one(state.critic)
    )


# Training


def gan_of(config, axis_name=None):
    return build(config).gan(shape_of(config), classes_of(config), axis_name)


def first_state(config):
    return drawn_state(gan_of(config))


def trainer(config, count=1, steps=STEPS):
    """Return the function that trains a state on `count` devices.

    It returns the state after `steps`, and the metrics, as numpy arrays.
    """
    used = jax.devices()[:count]
    compiled = devices.compile_steps(gan_of(config, devices.axis_name(used)), used)
    batch = batches(config, steps)

    def train(state):
        state = devices.replicate(state, used)
        return copy_to_host(compiled(state, batch, KEY))

    return train


def by_shares(config, shares=8, steps=STEPS):
    """Return the function that trains a state in `shares` shares under vmap.

    A single program computes the same numbers as pmap. pmap returns the first device's
    result; vmap raises if the results of two shares could differ (out_axes=None).
    """
    gan = gan_of(config, devices.AXIS)
    batch = devices.split_batch(batches(config, steps), shares)

    def share(state, batch):
        return lax.scan(lambda s, b: gan.train_step(s, b, KEY), state, batch)

    together = jax.vmap(share, axis_name=devices.AXIS, in_axes=(None, 0), out_axes=None)
    return lambda state: together(state, batch)
