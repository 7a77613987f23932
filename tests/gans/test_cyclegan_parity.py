"""Whole CycleGAN training steps against PyTorch, all parameters compared.

The PyTorch side is written here from the specification of the authors' code, under
their names (G_A makes b of a, and D_A judges domain b); it shares nothing with jaxgan
but the first parameters, the images and the recorded draws of the pool.

In float64, where parameters whose true gradient is zero (biases before an instance
norm) stay: rounding leaves gradients of 1e-17, which Adam's eps of 1e-8 takes as such.
In float32 Adam moves them by about a learning rate, in either direction.
"""

import itertools

import jax
import numpy as np
import pytest
from helpers.cyclegans import KEY, SHAPE, batches, both_optimizers, drawn_state, small

from jaxgan import keys, turns
from jaxgan.experiment import build
from jaxgan.runtime import devices

torch = pytest.importorskip("torch", reason="needs the extra `parity`")
nn = torch.nn
F = torch.nn.functional
torch.set_num_threads(1)  # tiny images: threads would wait for one another

pytestmark = pytest.mark.parity
STEPS, BATCH, EPOCH, POOL = 5, 2, 4, 3
LEARNING_RATE, BETAS = 0.01, (0.5, 0.999)
CONSTANT, DECAY = 1, 3  # epochs
LAMBDA_A, LAMBDA_B = 10.0, 7.0
CLIP, PENALTY_WEIGHT = 0.3, 10.0


# The networks: docs/papers.md, "CycleGAN: ResNet generator"


def norm(kind, features):
    if kind == "batch":
        return nn.BatchNorm2d(features)
    return nn.InstanceNorm2d(features)


class Block(nn.Module):
    def __init__(self, features, kind):
        super().__init__()
        bias = kind == "instance"
        self.conv_0 = nn.Conv2d(features, features, 3, bias=bias)
        self.norm_0 = norm(kind, features)
        self.conv_1 = nn.Conv2d(features, features, 3, bias=bias)
        self.norm_1 = norm(kind, features)
        self.pad = nn.ReflectionPad2d(1)

    def forward(self, x):
        y = F.relu(self.norm_0(self.conv_0(self.pad(x))))
        return x + self.norm_1(self.conv_1(self.pad(y)))


class Generator(nn.Module):
    def __init__(self, width, kind):
        super().__init__()
        bias = kind == "instance"
        half = {"stride": 2, "padding": 1, "bias": bias}
        self.pad = nn.ReflectionPad2d(3)
        self.input = nn.Conv2d(3, width, 7, bias=bias)
        self.input_norm = norm(kind, width)
        self.down_0 = nn.Conv2d(width, 2 * width, 3, **half)
        self.down_0_norm = norm(kind, 2 * width)
        self.down_1 = nn.Conv2d(2 * width, 4 * width, 3, **half)
        self.down_1_norm = norm(kind, 4 * width)
        self.block_0 = Block(4 * width, kind)
        double = {**half, "output_padding": 1}
        self.up_0 = nn.ConvTranspose2d(4 * width, 2 * width, 3, **double)
        self.up_0_norm = norm(kind, 2 * width)
        self.up_1 = nn.ConvTranspose2d(2 * width, width, 3, **double)
        self.up_1_norm = norm(kind, width)
        self.output = nn.Conv2d(width, 3, 7)

    def forward(self, x):
        x = F.relu(self.input_norm(self.input(self.pad(x))))
        x = F.relu(self.down_0_norm(self.down_0(x)))
        x = F.relu(self.down_1_norm(self.down_1(x)))
        x = self.block_0(x)
        x = F.relu(self.up_0_norm(self.up_0(x)))
        x = F.relu(self.up_1_norm(self.up_1(x)))
        return torch.tanh(self.output(self.pad(x)))


class Critic(nn.Module):
    def __init__(self, width, kind):
        super().__init__()
        self.conv_0 = nn.Conv2d(3, width, 4, stride=2, padding=1)
        bias = kind == "instance"
        self.conv_1 = nn.Conv2d(width, 2 * width, 4, padding=1, bias=bias)
        self.conv_1_norm = norm(kind, 2 * width)
        self.conv_2 = nn.Conv2d(2 * width, 1, 4, padding=1)

    def forward(self, x):
        x = F.leaky_relu(self.conv_0(x), 0.2)
        x = F.leaky_relu(self.conv_1_norm(self.conv_1(x)), 0.2)
        return self.conv_2(x)


def entries(network, params):
    """Yield (path, torch module, leaf, array) for each of jaxgan's arrays."""
    for path, array in jax.tree_util.tree_leaves_with_path(params):
        *owner, leaf = [key.key for key in path]
        yield (
            "/".join([*owner, leaf]),
            network.get_submodule(".".join(owner)),
            leaf,
            array,
        )


def load(network, params):
    """Give a network jaxgan's parameters, which are all that it has."""
    loaded = 0
    for _, module, leaf, array in entries(network, params):
        tensor = torch.tensor(array)
        if isinstance(module, nn.ConvTranspose2d) and leaf == "kernel":
            tensor = tensor.flip(0, 1).permute(2, 3, 0, 1)
        elif leaf == "kernel":
            tensor = tensor.permute(3, 2, 0, 1)
        with torch.no_grad():
            (module.bias if leaf == "bias" else module.weight).copy_(tensor)
        loaded += 1
    assert loaded == len(list(network.parameters()))
    return network


def in_our_layout(module, leaf):
    """Return a parameter as jaxgan lays it out."""
    tensor = (module.bias if leaf == "bias" else module.weight).detach()
    if isinstance(module, nn.ConvTranspose2d) and leaf == "kernel":
        tensor = tensor.permute(2, 3, 0, 1).flip(0, 1)
    elif leaf == "kernel":
        tensor = tensor.permute(2, 3, 1, 0)
    return tensor.numpy()


# The image pool: spec 1.9


class ImagePool:
    def __init__(self, size):
        self.size, self.images = size, []

    def query(self, images, draws):
        """Take images one by one; `draws`: (whether to exchange, the slot) of each."""
        shown = []
        for image, exchange, slot in zip(images, *draws, strict=True):
            if len(self.images) < self.size:
                self.images.append(image)
                shown.append(image)
            elif exchange:
                shown.append(self.images[slot])
                self.images[slot] = image
            else:
                shown.append(image)
        return torch.stack(shown)


# The training step: spec 1.7, 1.8 and 1.10


def gan_loss(mode, scores, real):
    if mode == "lsgan":
        return F.mse_loss(scores, torch.full_like(scores, real))
    if mode == "vanilla":
        target = torch.full_like(scores, real)
        return F.binary_cross_entropy_with_logits(scores, target)
    return -scores.mean() if real else scores.mean()


class CycleGAN:
    """models/cycle_gan_model.py; the critics' penalty and clip are tutorial 12's."""

    def __init__(self, mode, identity, kind, params):
        self.mode, self.identity = mode, identity
        networks = {}
        for name, (make, of) in {
            "G_A": (Generator, "a2b"),
            "G_B": (Generator, "b2a"),
            "D_A": (Critic, "b"),
            "D_B": (Critic, "a"),
        }.items():
            networks[name] = load(make(4, kind).double(), params[of])
        self.G_A, self.G_B, self.D_A, self.D_B = networks.values()
        self.tx_G, self.tx_D = (
            torch.optim.Adam(
                itertools.chain(one.parameters(), other.parameters()),
                lr=LEARNING_RATE,
                betas=BETAS,
            )
            for one, other in ((self.G_A, self.G_B), (self.D_A, self.D_B))
        )
        self.schedulers = [
            torch.optim.lr_scheduler.LambdaLR(
                tx, lambda epoch: 1 - max(0, epoch + 1 - CONSTANT) / (DECAY + 1)
            )
            for tx in (self.tx_G, self.tx_D)
        ]
        self.pool_A, self.pool_B = ImagePool(POOL), ImagePool(POOL)

    def require_critics(self, flag):
        for critic in (self.D_A, self.D_B):
            critic.requires_grad_(flag)

    def loss_of_generators(self, real_A, real_B):
        """Return the loss and the terms, and keep the fakes."""
        self.fake_B = self.G_A(real_A)
        rec_A = self.G_B(self.fake_B)
        self.fake_A = self.G_B(real_B)
        rec_B = self.G_A(self.fake_A)
        terms = {
            "generator/adversarial_a2b": gan_loss(self.mode, self.D_A(self.fake_B), 1),
            "generator/adversarial_b2a": gan_loss(self.mode, self.D_B(self.fake_A), 1),
            "generator/cycle_a": F.l1_loss(rec_A, real_A),
            "generator/cycle_b": F.l1_loss(rec_B, real_B),
        }
        scales = [1, 1, LAMBDA_A, LAMBDA_B]
        if self.identity:
            terms["generator/identity_b"] = F.l1_loss(self.G_A(real_B), real_B)
            terms["generator/identity_a"] = F.l1_loss(self.G_B(real_A), real_A)
            scales += [LAMBDA_B * self.identity, LAMBDA_A * self.identity]
        loss = sum(w * term for w, term in zip(scales, terms.values(), strict=True))
        return loss, {**terms, "generator/loss": loss}

    def loss_of_critic(self, critic, real, fake):
        """Return the critic's adversarial loss."""
        loss = gan_loss(self.mode, critic(real), 1)
        loss = loss + gan_loss(self.mode, critic(fake.detach()), 0)
        return loss if self.mode.startswith("w") else loss / 2

    def step(self, real_A, real_B, draws, epsilons):
        """Return all losses of one optimize_parameters()."""
        self.require_critics(False)
        self.tx_G.zero_grad()
        loss, losses = self.loss_of_generators(real_A, real_B)
        loss.backward()
        self.tx_G.step()

        self.require_critics(True)
        self.tx_D.zero_grad()
        shown_A = self.pool_A.query(self.fake_A, draws[0])
        shown_B = self.pool_B.query(self.fake_B, draws[1])
        losses["critic/a"] = self.loss_of_critic(self.D_B, real_A, shown_A)
        losses["critic/b"] = self.loss_of_critic(self.D_A, real_B, shown_B)
        loss = losses["critic/a"] + losses["critic/b"]
        if self.mode == "wgan_gp":
            a = penalty(self.D_B, real_A, shown_A, epsilons[0])
            b = penalty(self.D_A, real_B, shown_B, epsilons[1])
            losses["critic/gradient_penalty"] = (a + b) / 2
            loss = loss + PENALTY_WEIGHT * (a + b)
        losses["critic/loss"] = loss
        loss.backward()
        self.tx_D.step()
        if self.mode == "wasserstein":
            with torch.no_grad():
                for parameter in [*self.D_A.parameters(), *self.D_B.parameters()]:
                    parameter.clamp_(-CLIP, CLIP)
        (rate,) = self.schedulers[0].get_last_lr()
        losses = {name: value.item() for name, value in losses.items()}
        return {**losses, "learning_rate/generator": rate}

    def end_of_epoch(self):
        self.tx_G.zero_grad()
        for scheduler in self.schedulers:
            scheduler.step()


def penalty(critic, real, fake, epsilon):
    """Return E (||grad of the mean patch score|| - 1)^2 between real and fake."""
    epsilon = torch.tensor(epsilon).view(-1, 1, 1, 1)
    mixed = (epsilon * real + (1 - epsilon) * fake.detach()).requires_grad_()
    scores = critic(mixed).mean(dim=(1, 2, 3)).sum()
    (gradient,) = torch.autograd.grad(scores, mixed, create_graph=True)
    return ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()


# The comparison


@pytest.fixture
def float64():
    """Compute in float64, also in the threads of the recording callbacks."""
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_disable_most_optimizations", True)  # compiles faster
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    jax.config.update("jax_enable_x64", False)


@pytest.fixture
def recorded(monkeypatch):
    """Note the random draws of the steps by purpose, in their order."""
    noted = {keys.POOL: [], keys.INTERPOLATION: []}
    draw = keys.draw_per_example

    def noting(sampler, key, purpose, *arguments):
        values = draw(sampler, key, purpose, *arguments)

        def note(*arrays):
            noted[purpose].append([np.array(array) for array in arrays])

        jax.debug.callback(note, *jax.tree.leaves(values), ordered=True)
        return values

    monkeypatch.setattr(keys, "draw_per_example", noting)
    return noted


CASES = [
    # By the default suite, the authors' own numbers check this one
    # (test_authors_cyclegan.py).
    pytest.param("lsgan", 0.5, "instance", marks=pytest.mark.slow),
    ("lsgan", 0.0, "instance"),
    ("vanilla", 0.5, "instance"),
    ("vanilla", 0.0, "instance"),
    ("wasserstein", 0.0, "batch"),
    ("wgan_gp", 0.0, "instance"),
]


def config_of(mode, identity, kind):
    return small(
        batch_size=BATCH,
        gan__adversarial=mode,
        gan__identity_weight=identity,
        gan__cycle_weight_a=LAMBDA_A,
        gan__cycle_weight_b=LAMBDA_B,
        gan__pool_size=POOL,
        gan__clip=CLIP,
        gan__penalty_weight=PENALTY_WEIGHT,
        generator__norm=kind,
        critic__norm=kind,
        **both_optimizers(
            learning_rate=LEARNING_RATE,
            constant_steps=0,
            decay_steps=0,
            constant_epochs=CONSTANT,
            decay_epochs=DECAY,
        ),
    )


def run_theirs(theirs, batch, recorded):
    """Yield the losses of PyTorch's steps."""
    for step in range(STEPS):
        real_A, real_B = (
            torch.tensor(batch[name][step, 0] / 127.5 - 1).permute(0, 3, 1, 2)
            for name in "ab"
        )
        both = slice(2 * step, 2 * step + 2)
        epsilons = [epsilon for (epsilon,) in recorded[keys.INTERPOLATION][both]]
        yield theirs.step(real_A, real_B, recorded[keys.POOL][both], epsilons)
        if (step + 1) * BATCH % EPOCH == 0:
            theirs.end_of_epoch()


def without_gradient(path, mode, kind, player):
    """Return whether a parameter's true gradient is zero."""
    if player == "critic":
        # The last bias shifts real and fake scores alike.
        shift = path == "conv_2/bias" and mode.startswith("w")
        return shift or (path == "conv_1/bias" and kind == "instance")
    return path.endswith("bias") and path != "output/bias" and kind == "instance"


@pytest.mark.parametrize(("mode", "identity", "kind"), CASES)
def test_training_steps(mode, identity, kind, float64, recorded, request):
    if (mode, identity) != ("lsgan", 0.5):
        request.getfixturevalue("plain_convolutions")  # compiles faster
    gan = build(config_of(mode, identity, kind)).gan(SHAPE, epoch_examples=EPOCH)
    state = drawn_state(gan)
    if mode == "wasserstein":
        clipped = jax.tree.map(np.asarray, turns.clip_params(state.critic.params, CLIP))
        state = state.replace(critic=state.critic.replace(params=clipped))
    first = jax.tree.map(np.copy, {**state.generator.params, **state.critic.params})
    batch = batches(STEPS, BATCH)
    steps = devices.compile_steps(gan, jax.devices()[:1])
    after, metrics = jax.block_until_ready(steps(state, batch, KEY))
    jax.effects_barrier()

    once_full = [exchange for exchange, _ in recorded[keys.POOL][4:]]
    assert {True, False} <= set(np.concatenate(once_full).tolist())
    theirs = CycleGAN(mode, identity, kind, first)
    for step, losses in enumerate(run_theirs(theirs, batch, recorded)):
        for name, value in losses.items():
            assert metrics[name][step] == pytest.approx(value, rel=1e-9, abs=1e-9), name
    check_state(after, first, theirs, mode, kind)


def check_state(after, first, theirs, mode, kind):
    """Compare all parameters, running statistics and both pools."""
    members = {"a2b": theirs.G_A, "b2a": theirs.G_B, "a": theirs.D_B, "b": theirs.D_A}
    for name, network in members.items():
        player = "generator" if name in ("a2b", "b2a") else "critic"
        params = getattr(after, player).params[name]
        before = [array for *_, array in entries(network, first[name])]
        for (path, module, leaf, found), old in zip(
            entries(network, params), before, strict=True
        ):
            still = without_gradient(path, mode, kind, player)
            moved = np.max(np.abs(found - old))
            assert moved < 1e-7 if still else moved > 1e-3, (name, path)
            difference = np.max(np.abs(found - in_our_layout(module, leaf)))
            assert difference < (1e-7 if still else 1e-9), (name, path)
        if player == "generator":
            stats = after.generator.batch_stats[name]
            for path, module, leaf, found in entries(network, stats):
                expected = getattr(module, f"running_{leaf}")
                np.testing.assert_allclose(
                    found, expected, rtol=0, atol=1e-9, err_msg=path
                )
    for pool, name in ((theirs.pool_A, "a"), (theirs.pool_B, "b")):
        images = torch.stack(pool.images).detach().permute(0, 2, 3, 1)
        found = after.memory["pool"][name]
        np.testing.assert_allclose(found["images"], images, rtol=0, atol=1e-9)
        assert found["count"] == POOL
