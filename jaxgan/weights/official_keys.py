"""The keys and shapes of upstream's networks, layer by layer, beside our own paths.

Upstream is junyanz/pytorch-CycleGAN-and-pix2pix: `nn.Sequential`s, whose keys count
every module, also those without weights (spec/cyclegan.md 1.2 to 1.5).
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

Definition = dict[str, Any]

# PyTorch's name of an array, and ours, for BatchNorm.
BATCH_NORM = {
    "weight": ("params", "scale"),
    "bias": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}
# A block's modules before each convolution, (padding, dropout): padding modules count,
# zero padding is none; dropout stands before the second padding.
BLOCKS = {
    ("reflect", False): (1, 5),
    ("replicate", False): (1, 5),
    ("zero", False): (0, 3),
    ("reflect", True): (1, 6),
    ("replicate", True): (1, 6),
    ("zero", True): (0, 4),
}


class Layer(NamedTuple):
    """One module with weights.

    Attributes:
        theirs: its name in upstream's state_dict.
        ours: its path among the parameters of this project's network.
        kind: 'conv', 'transposed' or 'batch' (BatchNorm).
        shape: of its weight in PyTorch.
        bias: whether it has one.
    """

    theirs: str
    ours: str
    kind: str
    shape: tuple[int, ...]
    bias: bool = True


class Leaf(NamedTuple):
    """One array: where it lies among our variables, and how it is stored there."""

    path: str
    shape: tuple[int, ...]
    from_torch: Callable[[np.ndarray], np.ndarray]
    to_torch: Callable[[np.ndarray], np.ndarray]


def leaves(definition: Definition) -> dict[str, Leaf]:
    """Return the arrays of a network by their keys in upstream's state_dict.

    A path is 'params/LAYER/kernel'; a shape is PyTorch's. Kernels are [out, in, h, w]
    in PyTorch, those of transposed convolutions [in, out, h, w] and mirrored; ours are
    [h, w, in, out] for both.
    """
    found = {}
    for layer in layers(definition):
        if layer.kind == "batch":
            for name, (collection, ours) in BATCH_NORM.items():
                path = f"{collection}/{layer.ours}/{ours}"
                found[f"{layer.theirs}.{name}"] = Leaf(path, layer.shape, same, same)
            continue
        pair = (mirrored, mirrored_back) if layer.kind == "transposed" else (conv, back)
        path = f"params/{layer.ours}/kernel"
        found[f"{layer.theirs}.weight"] = Leaf(path, layer.shape, *pair)
        if layer.bias:
            channels = layer.shape[1 if layer.kind == "transposed" else 0]
            path = f"params/{layer.ours}/bias"
            found[f"{layer.theirs}.bias"] = Leaf(path, (channels,), same, same)
    return found


def same(array: np.ndarray) -> np.ndarray:
    """Return an array that is stored alike."""
    return array


def conv(kernel: np.ndarray) -> np.ndarray:
    """Return [out, in, h, w] as [h, w, in, out]."""
    return kernel.transpose(2, 3, 1, 0)


def back(kernel: np.ndarray) -> np.ndarray:
    """Return [h, w, in, out] as [out, in, h, w]."""
    return kernel.transpose(3, 2, 0, 1)


def mirrored(kernel: np.ndarray) -> np.ndarray:
    """Return [in, out, h, w] as [h, w, in, out], both sides reversed."""
    return kernel.transpose(2, 3, 0, 1)[::-1, ::-1]


def mirrored_back(kernel: np.ndarray) -> np.ndarray:
    """Return [h, w, in, out], both sides reversed, as [in, out, h, w]."""
    return kernel[::-1, ::-1].transpose(2, 3, 0, 1)


def layers(definition: Definition) -> Iterator[Layer]:
    """Yield the layers with weights of a network of upstream's, in its order."""
    name = definition["name"]
    if name.startswith("resnet"):
        return resnet(definition)
    if name.startswith("unet"):
        return unet(definition)
    return pixel(definition) if name == "pixel" else patch(definition)


def normalised(
    definition: Definition, layer: Layer, number: str = ""
) -> Iterator[Layer]:
    """Yield a convolution that a norm follows, and the norm where it has weights.

    The norm is the next module; ours is called `number` where it is not
    LAYER_norm. Only InstanceNorm's convolutions have a bias (upstream's `use_bias`).
    """
    yield layer._replace(bias=definition["norm"] == "instance")
    if definition["norm"] == "batch":
        root, _, index = layer.theirs.rpartition(".")
        channels = layer.shape[1 if layer.kind == "transposed" else 0]
        ours = number or f"{layer.ours}_norm"
        yield Layer(f"{root}.{int(index) + 1}", ours, "batch", (channels,))


def resnet(definition: Definition) -> Iterator[Layer]:
    """Yield the layers of ResnetGenerator (spec/cyclegan.md 1.3)."""
    width, channels = definition["width"], definition["channels"]
    count = int(definition["name"].removeprefix("resnet_").removesuffix("blocks"))
    inner = 4 * width

    def own(index: int, ours: str, kind: str, *shape: int) -> Iterator[Layer]:
        return normalised(definition, Layer(f"model.{index}", ours, kind, shape))

    yield from own(1, "input", "conv", width, channels, 7, 7)
    yield from own(4, "down_0", "conv", 2 * width, width, 3, 3)
    yield from own(7, "down_1", "conv", inner, 2 * width, 3, 3)
    indices = BLOCKS[definition["padding"], definition["dropout"]]
    for block in range(count):
        for number, index in enumerate(indices):
            theirs = f"model.{10 + block}.conv_block.{index}"
            ours = f"block_{block}/conv_{number}"
            layer = Layer(theirs, ours, "conv", (inner, inner, 3, 3))
            yield from normalised(definition, layer, f"block_{block}/norm_{number}")
    up = 10 + count
    yield from own(up, "up_0", "transposed", inner, 2 * width, 3, 3)
    yield from own(up + 3, "up_1", "transposed", 2 * width, width, 3, 3)
    yield Layer(f"model.{up + 7}", "output", "conv", (channels, width, 7, 7))


def unet(definition: Definition) -> Iterator[Layer]:
    """Yield the layers of UnetGenerator, from the outermost block inwards (1.4)."""
    channels = definition["channels"]
    count = int(definition["name"].removeprefix("unet_")).bit_length() - 1
    widths = [definition["width"] * min(2**i, 8) for i in range(count)]
    biased = definition["norm"] == "instance"
    yield Layer("model.model.0", "down_0", "conv", (widths[0], channels, 4, 4), biased)
    root = "model.model.1"
    for number in range(1, count):
        innermost = number == count - 1
        outer, inner = widths[number - 1], widths[number]
        down = Layer(f"{root}.model.1", f"down_{number}", "conv", (inner, outer, 4, 4))
        if innermost:
            yield down._replace(bias=biased)
        else:
            yield from normalised(definition, down)
        index, inputs = (3, inner) if innermost else (5, 2 * inner)
        shape = (inputs, outer, 4, 4)
        up = Layer(f"{root}.model.{index}", f"up_{number}", "transposed", shape)
        yield from normalised(definition, up)
        root += ".model.3"
    shape = (2 * widths[0], channels, 4, 4)
    yield Layer("model.model.3", "up_0", "transposed", shape)


def patch(definition: Definition) -> Iterator[Layer]:
    """Yield the layers of NLayerDiscriminator (1.5)."""
    count = definition["num_layers"]
    widths = [definition["width"] * min(2**i, 8) for i in range(count + 1)]
    yield Layer("model.0", "conv_0", "conv", (widths[0], definition["channels"], 4, 4))
    for number in range(1, count + 1):
        shape = (widths[number], widths[number - 1], 4, 4)
        layer = Layer(f"model.{3 * number - 1}", f"conv_{number}", "conv", shape)
        yield from normalised(definition, layer)
    index, last = 3 * count + 2, f"conv_{count + 1}"
    yield Layer(f"model.{index}", last, "conv", (1, widths[-1], 4, 4))


def pixel(definition: Definition) -> Iterator[Layer]:
    """Yield the layers of PixelDiscriminator; its last has a bias by the rule (1.5)."""
    width = definition["width"]
    biased = definition["norm"] == "instance"
    yield Layer("net.0", "conv_0", "conv", (width, definition["channels"], 1, 1))
    hidden = Layer("net.2", "conv_1", "conv", (2 * width, width, 1, 1))
    yield from normalised(definition, hidden)
    yield Layer("net.5", "conv_2", "conv", (1, 2 * width, 1, 1), biased)
