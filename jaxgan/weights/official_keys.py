"""Keys and shapes of the official code's networks, with our path of each array.

The official code is junyanz/pytorch-CycleGAN-and-pix2pix, models/networks.py. Its
networks are `nn.Sequential`s, whose keys count every module, also the modules without
weights. The tables are in docs/papers.md, "CycleGAN: ResNet generator",
"CycleGAN: U-Net generator" and "CycleGAN: critics".
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

Definition = dict[str, Any]

# Of BatchNorm: PyTorch's name of an array, our collection and our name.
BATCH_NORM = {
    "weight": ("params", "scale"),
    "bias": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}
# Indices of the two convolutions in a block's `conv_block`, by padding and dropout.
# Padding and dropout are modules, which the indices count; zero padding is an option of
# the convolution and counts nothing. Dropout stands before the second padding.
CONV_INDICES = {
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
        key: its name in the official state_dict.
        path: its path in the parameters of our network.
        kind: 'conv', 'transposed' or 'batch' (BatchNorm).
        shape: shape of its weight in PyTorch.
        bias: whether it has a bias.
    """

    key: str
    path: str
    kind: str
    shape: tuple[int, ...]
    bias: bool = True


class Leaf(NamedTuple):
    """One array of a network.

    Attributes:
        path: its path in our variables: 'params/LAYER/kernel'.
        shape: its shape in PyTorch.
        from_torch: PyTorch's array -> ours.
        to_torch: our array -> PyTorch's.
    """

    path: str
    shape: tuple[int, ...]
    from_torch: Callable[[np.ndarray], np.ndarray]
    to_torch: Callable[[np.ndarray], np.ndarray]


def leaves(definition: Definition) -> dict[str, Leaf]:
    """Return the arrays of a network by their keys in the official state_dict.

    PyTorch's kernels are [out, in, h, w]; those of transposed convolutions are
    [in, out, h, w] and mirrored along h and w. Ours are [h, w, in, out] for both.
    """
    found = {}
    for layer in layers(definition):
        if layer.kind == "batch":
            for name, (collection, our_name) in BATCH_NORM.items():
                path = f"{collection}/{layer.path}/{our_name}"
                leaf = Leaf(path, layer.shape, unchanged, unchanged)
                found[f"{layer.key}.{name}"] = leaf
            continue
        if layer.kind == "transposed":
            from_torch, to_torch = transposed_from_torch, transposed_to_torch
        else:
            from_torch, to_torch = conv_from_torch, conv_to_torch
        path = f"params/{layer.path}/kernel"
        found[f"{layer.key}.weight"] = Leaf(path, layer.shape, from_torch, to_torch)
        if layer.bias:
            path = f"params/{layer.path}/bias"
            leaf = Leaf(path, (out_channels(layer),), unchanged, unchanged)
            found[f"{layer.key}.bias"] = leaf
    return found


def unchanged(array: np.ndarray) -> np.ndarray:
    """Return an array that PyTorch and we store alike."""
    return array


def conv_from_torch(kernel: np.ndarray) -> np.ndarray:
    """Return [out, in, h, w] as [h, w, in, out]."""
    return kernel.transpose(2, 3, 1, 0)


def conv_to_torch(kernel: np.ndarray) -> np.ndarray:
    """Return [h, w, in, out] as [out, in, h, w]."""
    return kernel.transpose(3, 2, 0, 1)


def transposed_from_torch(kernel: np.ndarray) -> np.ndarray:
    """Return [in, out, h, w] as [h, w, in, out], mirrored along h and w."""
    return kernel.transpose(2, 3, 0, 1)[::-1, ::-1]


def transposed_to_torch(kernel: np.ndarray) -> np.ndarray:
    """Return [h, w, in, out] as [in, out, h, w], mirrored along h and w."""
    return kernel[::-1, ::-1].transpose(2, 3, 0, 1)


def layers(definition: Definition) -> Iterator[Layer]:
    """Return the layers with weights of an official network, in its order."""
    name = definition["name"]
    if name.startswith("resnet"):
        return resnet_layers(definition)
    if name.startswith("unet"):
        return unet_layers(definition)
    return pixel_layers(definition) if name == "pixel" else patch_layers(definition)


def input_channels(definition: Definition) -> int:
    """Return the number of channels of the images that a network takes.

    `channels` is also that of the images that a generator makes. Its definition has
    `input_channels` only where it takes another number: input_nc and output_nc of the
    official code.
    """
    key = "input_channels" if "input_channels" in definition else "channels"
    channels: int = definition[key]
    return channels


def out_channels(layer: Layer) -> int:
    """Return the number of channels that a convolution makes."""
    return layer.shape[1 if layer.kind == "transposed" else 0]


def conv_and_norm(
    definition: Definition, conv: Layer, norm_path: str = ""
) -> Iterator[Layer]:
    """Yield a convolution that a norm follows, and the norm where it has weights.

    In the official code the norm is the next module. Our path of the norm is
    `norm_path`, or else that of the convolution with '_norm' added. Only a convolution
    before InstanceNorm has a bias (`use_bias` in models/networks.py).
    """
    yield conv._replace(bias=definition["norm"] == "instance")
    if definition["norm"] == "batch":
        root, _, index = conv.key.rpartition(".")
        key, path = f"{root}.{int(index) + 1}", norm_path or f"{conv.path}_norm"
        yield Layer(key, path, "batch", (out_channels(conv),))


def resnet_layers(definition: Definition) -> Iterator[Layer]:
    """Yield the layers of ResnetGenerator."""
    width, channels = definition["width"], definition["channels"]
    count = int(definition["name"].removeprefix("resnet_").removesuffix("blocks"))
    inner = 4 * width

    def outside_blocks(
        index: int, path: str, kind: str, *shape: int
    ) -> Iterator[Layer]:
        return conv_and_norm(definition, Layer(f"model.{index}", path, kind, shape))

    inputs = input_channels(definition)
    yield from outside_blocks(1, "input", "conv", width, inputs, 7, 7)
    yield from outside_blocks(4, "down_0", "conv", 2 * width, width, 3, 3)
    yield from outside_blocks(7, "down_1", "conv", inner, 2 * width, 3, 3)
    indices = CONV_INDICES[definition["padding"], definition["dropout"]]
    for block in range(count):
        for number, index in enumerate(indices):
            key = f"model.{10 + block}.conv_block.{index}"
            path = f"block_{block}/conv_{number}"
            conv = Layer(key, path, "conv", (inner, inner, 3, 3))
            yield from conv_and_norm(definition, conv, f"block_{block}/norm_{number}")
    up = 10 + count
    yield from outside_blocks(up, "up_0", "transposed", inner, 2 * width, 3, 3)
    yield from outside_blocks(up + 3, "up_1", "transposed", 2 * width, width, 3, 3)
    yield Layer(f"model.{up + 7}", "output", "conv", (channels, width, 7, 7))


def unet_layers(definition: Definition) -> Iterator[Layer]:
    """Yield the layers of UnetGenerator, from the outermost block inwards."""
    channels = definition["channels"]
    count = int(definition["name"].removeprefix("unet_")).bit_length() - 1
    widths = [definition["width"] * min(2**i, 8) for i in range(count)]
    bias = definition["norm"] == "instance"
    shape = (widths[0], input_channels(definition), 4, 4)
    yield Layer("model.model.0", "down_0", "conv", shape, bias)
    root = "model.model.1"
    for number in range(1, count):
        innermost = number == count - 1
        outer, inner = widths[number - 1], widths[number]
        down = Layer(f"{root}.model.1", f"down_{number}", "conv", (inner, outer, 4, 4))
        if innermost:
            yield down._replace(bias=bias)
        else:
            yield from conv_and_norm(definition, down)
        index, inputs = (3, inner) if innermost else (5, 2 * inner)
        shape = (inputs, outer, 4, 4)
        up = Layer(f"{root}.model.{index}", f"up_{number}", "transposed", shape)
        yield from conv_and_norm(definition, up)
        root += ".model.3"
    shape = (2 * widths[0], channels, 4, 4)
    yield Layer("model.model.3", "up_0", "transposed", shape)


def patch_layers(definition: Definition) -> Iterator[Layer]:
    """Yield the layers of NLayerDiscriminator."""
    count = definition["num_layers"]
    widths = [definition["width"] * min(2**i, 8) for i in range(count + 1)]
    yield Layer("model.0", "conv_0", "conv", (widths[0], definition["channels"], 4, 4))
    for number in range(1, count + 1):
        shape = (widths[number], widths[number - 1], 4, 4)
        conv = Layer(f"model.{3 * number - 1}", f"conv_{number}", "conv", shape)
        yield from conv_and_norm(definition, conv)
    index, last = 3 * count + 2, f"conv_{count + 1}"
    yield Layer(f"model.{index}", last, "conv", (1, widths[-1], 4, 4))


def pixel_layers(definition: Definition) -> Iterator[Layer]:
    """Yield the layers of PixelDiscriminator.

    Its last convolution follows `use_bias`, although no norm follows it: it has a bias
    only with InstanceNorm.
    """
    width = definition["width"]
    bias = definition["norm"] == "instance"
    yield Layer("net.0", "conv_0", "conv", (width, definition["channels"], 1, 1))
    hidden = Layer("net.2", "conv_1", "conv", (2 * width, width, 1, 1))
    yield from conv_and_norm(definition, hidden)
    yield Layer("net.5", "conv_2", "conv", (1, 2 * width, 1, 1), bias)
