"""PyTorch's side of the cases: the same recipe, with its data on the device."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from side_by_side import Side
from torch import Tensor
from torch_cyclegan import CycleGAN
from torch_options import Options
from torch_wgan import Training

PEERS = ("eager", "compile")


def device() -> torch.device:
    """Return the device: a GPU if PyTorch finds one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def peer_side(peer: str, config: Any, images: np.ndarray, threads: int = 0) -> Side:
    """Return a case's training in PyTorch, one iteration a call.

    Args:
        peer: one of PEERS.
        config: of the case; its `train.precision` chooses the type.
        images: of `cases.make_images`.
        threads: that PyTorch may use on a CPU; 0 for as many as it wants.
    """
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True  # as CycleGAN's authors: cuDNN tries kernels
    options = Options(device(), config.train.precision == "bfloat16", peer == "compile")
    domains = [
        torch.from_numpy(domain).permute(0, 3, 1, 2).contiguous().to(options.device)
        for domain in images
    ]
    wait = torch.cuda.synchronize if options.device.type == "cuda" else lambda: None
    if len(domains) == 1:
        order = latent_batches(config, domains[0])
        make_batch, step = lambda: next(order), Training(config, options).step
    else:
        make_batch, step = pair_batches(config, domains), CycleGAN(config, options).step
    return Side(make_batch, step, lambda result: wait(), 1)


def latent_batches(config: Any, images: Tensor) -> Iterator[Tensor]:
    """Yield batches uint8 [n_critic, b, c, h, w].

    Every example comes once an epoch; the last batches of an epoch are dropped.
    """
    shape = (config.gan.n_critic, config.data.batch_size)
    count = shape[0] * shape[1]
    while True:
        order = torch.randperm(len(images), device=images.device)
        for indices in order.split(count)[: len(images) // count]:
            yield images[indices].unflatten(0, shape)


def pair_batches(config: Any, domains: list[Tensor]) -> Any:
    """Return () -> uint8 [b, 3, side, side] of both domains, cut and flipped."""
    side, count = config.data.image_size, config.data.batch_size
    room = domains[0].shape[-1] - side + 1

    def cut(domain: Tensor) -> Tensor:
        image = domain[random.randrange(len(domain))]
        top, left = random.randrange(room), random.randrange(room)
        image = image[:, top : top + side, left : left + side]
        return image.flip(2) if random.random() < 0.5 else image

    def make_batch() -> list[Tensor]:
        return [torch.stack([cut(each) for _ in range(count)]) for each in domains]

    return make_batch
