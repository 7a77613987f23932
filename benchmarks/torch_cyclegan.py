"""CycleGAN in PyTorch, as a careful user would write it from the authors' code.

It is what run.py compares this project with: the networks and the step of the official
code's models/networks.py and models/cycle_gan_model.py with their defaults (instance
norm, lsgan, identity loss, pools of 50), without their options.
docs/papers.md, "CycleGAN: order of one iteration" has the order of the updates.
"""

import random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss
from torch_options import Options

CYCLE_WEIGHT, IDENTITY_WEIGHT, POOL = 10.0, 0.5, 50


class Block(nn.Module):
    """ResnetBlock: x + norm(conv(relu(norm(conv(x)))))."""

    def __init__(self, features: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            *activated(nn.Conv2d(features, features, 3)),
            nn.ReflectionPad2d(1),
            nn.Conv2d(features, features, 3),
            nn.InstanceNorm2d(features),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def activated(layer: nn.Module, slope: float = 0.0) -> list[nn.Module]:
    """Return a convolution, its norm and its activation."""
    norm = nn.InstanceNorm2d(layer.out_channels)
    relu = nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True)
    return [layer, norm, relu]


def generator(blocks: int, width: int) -> nn.Module:
    """Return ResnetGenerator: [b, 3, h, w] to [b, 3, h, w]."""
    half = {"kernel_size": 3, "stride": 2, "padding": 1}
    double = {**half, "output_padding": 1}
    return nn.Sequential(
        nn.ReflectionPad2d(3),
        *activated(nn.Conv2d(3, width, 7)),
        *activated(nn.Conv2d(width, 2 * width, **half)),
        *activated(nn.Conv2d(2 * width, 4 * width, **half)),
        *(Block(4 * width) for _ in range(blocks)),
        *activated(nn.ConvTranspose2d(4 * width, 2 * width, **double)),
        *activated(nn.ConvTranspose2d(2 * width, width, **double)),
        nn.ReflectionPad2d(3),
        nn.Conv2d(width, 3, 7),
        nn.Tanh(),
    )


def critic(width: int) -> nn.Module:
    """Return NLayerDiscriminator of 3 layers: [b, 3, h, w] to patch scores."""

    def conv(inputs: int, outputs: int, stride: int) -> nn.Module:
        return nn.Conv2d(inputs, outputs, 4, stride=stride, padding=1)

    return nn.Sequential(
        conv(3, width, 2),
        nn.LeakyReLU(0.2, inplace=True),
        *activated(conv(width, 2 * width, 2), 0.2),
        *activated(conv(2 * width, 4 * width, 2), 0.2),
        *activated(conv(4 * width, 8 * width, 1), 0.2),
        conv(8 * width, 1, 1),
    )


class ImagePool:
    """The history of generated images of one domain."""

    def __init__(self) -> None:
        self.images: list[Tensor] = []

    def query(self, images: Tensor) -> Tensor:
        """Return images [b, c, h, w] for the critic, and remember some."""
        shown = []
        for image in images:
            if len(self.images) < POOL:
                self.images.append(image)
            elif random.random() > 0.5:
                slot = random.randrange(POOL)
                image, self.images[slot] = self.images[slot], image
            shown.append(image)
        return torch.stack(shown)


class CycleGAN:
    """CycleGANModel, under its names: G_A makes b of a, and D_A judges domain b."""

    def __init__(self, config: Any, options: Options):
        self.options = options
        blocks = int(config.generator.name.removeprefix("resnet_")[: -len("blocks")])
        generators = [generator(blocks, config.generator.width) for _ in "AB"]
        critics = [critic(config.critic.width) for _ in "AB"]
        for network in (*generators, *critics):
            for name, parameter in network.named_parameters():
                if name.endswith("bias"):
                    nn.init.zeros_(parameter)
                else:
                    nn.init.normal_(parameter, 0, 0.02)
            options.place(network)
        self.generator_tx, self.critic_tx = (
            options.optimizer(
                [*one.parameters(), *other.parameters()], config.optimizer[player]
            )
            for player, (one, other) in (("generator", generators), ("critic", critics))
        )
        self.pool_A, self.pool_B = ImagePool(), ImagePool()
        self.critics = critics
        self.G_A, self.G_B = options.compiled(*generators)
        self.D_A, self.D_B = options.compiled(*critics)

    def step(self, batch: list[Tensor]) -> Tensor:
        """Take one iteration on uint8 [b, 3, h, w] of both domains; return L_G."""
        a, b = (self.options.layout(images.float() / 127.5 - 1) for images in batch)
        self.require_critics(False)
        with self.options.autocast():
            loss, fake_a, fake_b = self.generator_loss(a, b)
        self.generator_tx.zero_grad()
        loss.backward()
        self.generator_tx.step()

        self.require_critics(True)
        self.critic_tx.zero_grad()
        fake_b = self.options.layout(self.pool_B.query(fake_b.detach()))
        fake_a = self.options.layout(self.pool_A.query(fake_a.detach()))
        for network, real, fake in ((self.D_A, b, fake_b), (self.D_B, a, fake_a)):
            with self.options.autocast():
                critics = critic_loss(network, real, fake)
            critics.backward()
        self.critic_tx.step()
        return loss.detach()

    def require_critics(self, needed: bool) -> None:
        """Say whether gradients of the critics' parameters are needed."""
        for network in self.critics:
            network.requires_grad_(needed)

    def generator_loss(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the generators' loss and both fakes."""
        fake_b = self.G_A(a)
        again_a = self.G_B(fake_b)
        fake_a = self.G_B(b)
        again_b = self.G_A(fake_a)
        loss = ((self.D_A(fake_b).float() - 1) ** 2).mean()
        loss = loss + ((self.D_B(fake_a).float() - 1) ** 2).mean()
        errors = l1_loss(again_a, a) + l1_loss(again_b, b)
        identity = l1_loss(self.G_A(b), b) + l1_loss(self.G_B(a), a)
        loss = loss + CYCLE_WEIGHT * (errors + IDENTITY_WEIGHT * identity)
        return loss, fake_a, fake_b


def critic_loss(network: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Return a critic's least squares, halved."""
    real_loss = ((network(real).float() - 1) ** 2).mean()
    return (real_loss + (network(fake).float() ** 2).mean()) / 2
