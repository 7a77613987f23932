"""CycleGAN's networks in PyTorch, as in models/networks.py of the official code.

Written from the tables in docs/papers.md, "CycleGAN: norm layers",
"CycleGAN: ResNet generator", "CycleGAN: U-Net generator" and "CycleGAN: critics".
They are `nn.Sequential`s whose modules have the same indices as in the official code,
so that a state_dict has the same keys. Nothing here is shared with jaxgan.
"""

import torch
from torch import nn

NORMS = {
    "instance": lambda width: nn.InstanceNorm2d(width),
    "batch": lambda width: nn.BatchNorm2d(width),
    "none": lambda width: nn.Identity(),
}
PADS = {"reflect": nn.ReflectionPad2d, "replicate": nn.ReplicationPad2d}


class Block(nn.Module):
    """x + conv_block(x)."""

    def __init__(self, width, norm, padding, dropout):
        super().__init__()
        bias = norm == "instance"

        def conv():
            pads = [] if padding == "zero" else [PADS[padding](1)]
            zeros = int(padding == "zero")
            return [
                *pads,
                nn.Conv2d(width, width, 3, padding=zeros, bias=bias),
                NORMS[norm](width),
            ]

        drop = [nn.Dropout(0.5)] if dropout else []
        self.conv_block = nn.Sequential(*conv(), nn.ReLU(), *drop, *conv())

    def forward(self, x):
        return x + self.conv_block(x)


class ResnetGenerator(nn.Module):
    """ResnetGenerator: images [b, c, h, w] to images [b, outputs, h, w].

    `outputs` is output_nc of the official code, which is `channels` if not given.
    """

    def __init__(
        self,
        channels,
        width,
        blocks,
        norm="instance",
        padding="reflect",
        dropout=False,
        outputs=None,
    ):
        super().__init__()
        bias = norm == "instance"
        outputs = outputs or channels
        layers = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(channels, width, 7, bias=bias),
            NORMS[norm](width),
            nn.ReLU(),
        ]
        for inner in (width, 2 * width):
            layers += [
                nn.Conv2d(inner, 2 * inner, 3, stride=2, padding=1, bias=bias),
                NORMS[norm](2 * inner),
                nn.ReLU(),
            ]
        layers += [Block(4 * width, norm, padding, dropout) for _ in range(blocks)]
        for inner in (4 * width, 2 * width):
            layers += [
                nn.ConvTranspose2d(
                    inner, inner // 2, 3, 2, padding=1, output_padding=1, bias=bias
                ),
                NORMS[norm](inner // 2),
                nn.ReLU(),
            ]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, outputs, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        return self.model(x)


class UnetBlock(nn.Module):
    """UnetSkipConnectionBlock around the block `sub`, None for the innermost.

    `outermost` is (input_nc, output_nc) of the outermost block.
    """

    def __init__(self, outer, inner, sub, norm, dropout=False, outermost=None):
        super().__init__()
        bias = norm == "instance"
        given, made = outermost or (outer, outer)
        self.outermost = outermost is not None
        down = nn.Conv2d(given, inner, 4, 2, padding=1, bias=bias)
        inputs = inner if sub is None else 2 * inner
        up = nn.ConvTranspose2d(
            inputs, made, 4, 2, padding=1, bias=bias or self.outermost
        )
        if self.outermost:
            layers = [down, sub, nn.ReLU(), up, nn.Tanh()]
        elif sub is None:
            layers = [nn.LeakyReLU(0.2), down, nn.ReLU(), up, NORMS[norm](outer)]
        else:
            layers = [nn.LeakyReLU(0.2), down, NORMS[norm](inner), sub, nn.ReLU(), up]
            layers += [NORMS[norm](outer), *([nn.Dropout(0.5)] if dropout else [])]
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        made = self.model(x)
        return made if self.outermost else torch.cat([x, made], 1)


class UnetGenerator(nn.Module):
    """UnetGenerator, built from the innermost block outwards."""

    def __init__(
        self, channels, width, downs, norm="instance", dropout=False, outputs=None
    ):
        super().__init__()
        block = UnetBlock(8 * width, 8 * width, None, norm)
        for _ in range(downs - 5):
            block = UnetBlock(8 * width, 8 * width, block, norm, dropout)
        for outer in (4 * width, 2 * width, width):
            block = UnetBlock(outer, 2 * outer, block, norm)
        ends = (channels, outputs or channels)
        self.model = UnetBlock(width, width, block, norm, outermost=ends)

    def forward(self, x):
        return self.model(x)


class PatchCritic(nn.Module):
    """NLayerDiscriminator: images [b, c, h, w] to scores [b, 1, h', w']."""

    def __init__(self, channels, width, num_layers=3, norm="instance"):
        super().__init__()
        layers = [nn.Conv2d(channels, width, 4, 2, padding=1), nn.LeakyReLU(0.2)]
        inner = width
        for number in range(1, num_layers + 1):
            outer = width * min(2**number, 8)
            stride = 2 if number < num_layers else 1
            bias = norm == "instance"
            layers += [
                nn.Conv2d(inner, outer, 4, stride, padding=1, bias=bias),
                NORMS[norm](outer),
                nn.LeakyReLU(0.2),
            ]
            inner = outer
        self.model = nn.Sequential(*layers, nn.Conv2d(inner, 1, 4, 1, padding=1))

    def forward(self, x):
        return self.model(x)


class PixelCritic(nn.Module):
    """PixelDiscriminator: images [b, c, h, w] to scores [b, 1, h, w]."""

    def __init__(self, channels, width, norm="instance"):
        super().__init__()
        bias = norm == "instance"
        self.net = nn.Sequential(
            nn.Conv2d(channels, width, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 1, bias=bias),
            NORMS[norm](2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 1, bias=bias),
        )

    def forward(self, x):
        return self.net(x)


def randomise(network, seed=0):
    """Give every weight and running statistic a random value, none left at 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                drawn = torch.randn(value.shape, generator=generator).to(value.dtype)
                if name.endswith("running_var"):
                    value.copy_(0.5 + drawn.abs())
                else:
                    fan = max(value[0].numel() if value.ndim > 1 else 4, 1)
                    value.copy_(drawn / fan**0.5)
    return network
