"""How PyTorch runs the peers: device, type, layout, compiler, optimizer."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Options(NamedTuple):
    """How a peer runs.

    Attributes:
        device: where.
        bfloat16: autocast to bfloat16, and channels-last, which suits it best. Without
            it PyTorch has its defaults: on a GPU that is TF32 in convolutions and full
            float32 in matrix products.
        compile: torch.compile, in its default mode, wherever it can be.
    """

    device: torch.device
    bfloat16: bool = False
    compile: bool = False

    def place(self, network: nn.Module) -> nn.Module:
        """Return a network on the device, in its layout."""
        layout = torch.channels_last if self.bfloat16 else torch.preserve_format
        return network.to(self.device, memory_format=layout)

    def layout(self, images: Tensor) -> Tensor:
        """Return images [b, c, h, w] in the layout of the networks."""
        if not self.bfloat16:
            return images
        return images.contiguous(memory_format=torch.channels_last)

    def autocast(self) -> Any:
        """Return the context for the passes."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    def compiled(self, *networks: nn.Module) -> list[Any]:
        """Return the networks, compiled if this peer compiles."""
        return [torch.compile(each) if self.compile else each for each in networks]

    def optimizer(self, parameters: Iterable[Any], fields: Any) -> Any:
        """Return the optimizer of a config's section, in PyTorch's fastest form."""
        if fields.name == "adam":
            betas = (fields.b1, fields.b2)
            return torch.optim.Adam(
                parameters, lr=fields.learning_rate, betas=betas, fused=True
            )
        if fields.name != "rmsprop":
            raise ValueError(f"no peer has the optimizer {fields.name}")
        # RMSprop has no fused form.
        return torch.optim.RMSprop(
            parameters, lr=fields.learning_rate, foreach=self.device.type == "cuda"
        )
