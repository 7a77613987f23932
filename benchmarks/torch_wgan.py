"""WGAN and WGAN-GP in PyTorch, as a careful user would write them.

The networks are those of the recipes that run.py compares: the tutorial's MLPs, DCGAN
of the WGAN authors' models/dcgan.py, and the CIFAR-10 ResNets of the WGAN-GP authors'
gan_cifar_resnet.py. The penalty is right (one epsilon and one norm for each example,
which the tutorial's code gets wrong for images), fakes for the critic carry no graph,
and the generator's step computes no gradients of the critic's parameters.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu
from torch_options import Options


def mlp(config: Any) -> tuple[nn.Module, nn.Module]:
    """Return the MLPs: [b, z] to images [b, 1, 28, 28], and images to scores [b]."""

    def perceptron(inputs: int, hidden: Any, outputs: int, activation: Any) -> list:
        found: list[nn.Module] = []
        for width in hidden:
            found += [nn.Linear(inputs, width), activation()]
            inputs = width
        return [*found, nn.Linear(inputs, outputs)]

    latents, shape = config.gan.latent_size, (1, 28, 28)
    generator = perceptron(latents, config.generator.hidden, 784, nn.ReLU)
    critic = perceptron(784, config.critic.hidden, 1, lambda: nn.LeakyReLU(0.2))
    return (
        nn.Sequential(*generator, nn.Tanh(), nn.Unflatten(1, shape)),
        nn.Sequential(nn.Flatten(), *critic, nn.Flatten(0)),
    )


def dcgan(config: Any) -> tuple[nn.Module, nn.Module]:
    """Return DCGAN_G and DCGAN_D with BatchNorm, for images [b, 3, side, side]."""
    side, latents = config.data.image_size, config.gan.latent_size
    width = config.generator.width * side // 8
    double: dict[str, Any] = {"kernel_size": 4, "stride": 2, "padding": 1}
    found = [
        nn.Unflatten(1, (latents, 1, 1)),
        nn.ConvTranspose2d(latents, width, 4, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    ]
    while width > config.generator.width:
        found += [
            nn.ConvTranspose2d(width, width // 2, bias=False, **double),
            nn.BatchNorm2d(width // 2),
            nn.ReLU(inplace=True),
        ]
        width //= 2
    found += [nn.ConvTranspose2d(width, 3, bias=False, **double), nn.Tanh()]
    generator = nn.Sequential(*found)

    width, side = config.critic.width, side // 2
    layers = [nn.Conv2d(3, width, bias=False, **double)]
    layers += [nn.LeakyReLU(0.2, inplace=True)]
    while side > 4:
        layers += [
            nn.Conv2d(width, 2 * width, bias=False, **double),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        width, side = 2 * width, side // 2
    layers += [nn.Conv2d(width, 1, 4, bias=False), nn.Flatten(0)]
    return generator, nn.Sequential(*layers)


class UpBlock(nn.Module):
    """BN, ReLU, upsample, conv 3x3, BN, ReLU, conv 3x3; plus upsample, conv 1x1."""

    def __init__(self, width: int):
        super().__init__()
        self.norm_1, self.norm_2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.conv_1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv_2 = nn.Conv2d(width, width, 3, padding=1)
        self.shortcut = nn.Conv2d(width, width, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        x = self.conv_1(interpolate(relu(self.norm_1(inputs)), scale_factor=2))
        x = self.conv_2(relu(self.norm_2(x)))
        return x + self.shortcut(interpolate(inputs, scale_factor=2))


class ResNetCritic(nn.Module):
    """The critic of gan_cifar_resnet.py: images [b, 3, 32, 32] to scores [b]."""

    def __init__(self, width: int):
        super().__init__()
        inputs = [3, width, width, width, width, width, width, width]
        self.convs = nn.ModuleList(nn.Conv2d(n, width, 3, padding=1) for n in inputs)
        self.shortcuts = nn.ModuleList(nn.Conv2d(n, width, 1) for n in (3, width))
        self.output = nn.Linear(width, 1)

    def forward(self, images: Tensor) -> Tensor:
        first, second = self.shortcuts
        x = self.convs[1](relu(self.convs[0](images)))
        x = avg_pool2d(x, 2) + first(avg_pool2d(images, 2))
        shortcut = avg_pool2d(second(x), 2)
        residual = self.convs[3](relu(self.convs[2](relu(x))))
        x = avg_pool2d(residual, 2) + shortcut
        for number in (4, 6):
            x = x + self.convs[number + 1](relu(self.convs[number](relu(x))))
        return self.output(relu(x).mean((2, 3))).flatten()


def resnet(config: Any) -> tuple[nn.Module, nn.Module]:
    """Return the CIFAR-10 ResNets: latents [b, z], images [b, 3, 32, 32]."""
    width = config.generator.width
    generator = nn.Sequential(
        nn.Linear(config.gan.latent_size, 16 * width),
        nn.Unflatten(1, (width, 4, 4)),
        *(UpBlock(width) for _ in range(3)),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, 3, 3, padding=1),
        nn.Tanh(),
    )
    return generator, ResNetCritic(config.critic.width)


NETWORKS: dict[str, Callable[[Any], tuple[nn.Module, nn.Module]]] = {
    "mlp": mlp,
    "dcgan": dcgan,
    "resnet32": resnet,
}


def gradient_penalty(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Return mean((||grad D(x')|| - 1)^2), x' between real and fake [b, ...] each."""
    shape = (len(real),) + (1,) * (real.ndim - 1)
    epsilon = torch.rand(shape, device=real.device)
    mixed = (epsilon * real + (1 - epsilon) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
    return ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()


class Training:
    """The networks of a config with their optimizers, and its iteration."""

    def __init__(self, config: Any, options: Options):
        self.config, self.options = config, options
        networks = NETWORKS[config.generator.name](config)
        generator, critic = (options.place(network) for network in networks)
        self.penalised, self.parameters = critic, [*critic.parameters()]
        self.generator_tx, self.critic_tx = (
            options.optimizer(network.parameters(), config.optimizer[player])
            for player, network in (("generator", generator), ("critic", critic))
        )
        # Where there is a penalty, only the critic's other passes can be compiled:
        # torch.compile knows no gradient of a gradient.
        self.generator, self.critic = options.compiled(generator, critic)

    def draw_fakes(self, count: int) -> Tensor:
        """Return `count` images that the generator makes of new latents."""
        shape = (count, self.config.gan.latent_size)
        return self.generator(torch.randn(shape, device=self.options.device))

    def to_floats(self, images: Tensor) -> Tensor:
        """Return uint8 images as floats in the recipe's range."""
        if self.config.data.value_range != "dequantized":
            return images.float() / 127.5 - 1
        noise = torch.rand(images.shape, device=images.device) / 128
        return 2 * (images.float() / 256 - 0.5) + noise

    def step(self, batch: Tensor) -> Tensor:
        """Take one iteration on uint8 [n_critic, b, c, h, w]; return the last loss."""
        options, gan = self.options, self.config.gan
        for images in batch:
            if gan.name == "wgan":  # the authors' code clips before a critic step
                with torch.no_grad():
                    for parameter in self.parameters:
                        parameter.clamp_(-gan.clip, gan.clip)
            real = options.layout(self.to_floats(images))
            with options.autocast():
                with torch.no_grad():
                    fake = self.draw_fakes(len(real))
                loss = self.critic(fake).float().mean()
                loss = loss - self.critic(real).float().mean()
            if gan.name == "wgan_gp":  # in float32, as jaxgan's
                penalty = gradient_penalty(self.penalised, real, fake.float())
                loss = loss + gan.penalty_weight * penalty
            self.critic_tx.zero_grad()
            loss.backward()
            self.critic_tx.step()
        multiple = gan.get("generator_batch_multiple", 1)
        self.penalised.requires_grad_(False)
        with options.autocast():
            fakes = self.draw_fakes(multiple * batch.shape[1])
            loss = -self.critic(fakes).float().mean()
        self.generator_tx.zero_grad()
        loss.backward()
        self.generator_tx.step()
        self.penalised.requires_grad_(True)
        return loss.detach()
