"""Whether a training step has room in the memory, asked before the operating system is."""

import os

import torch
from torch import Tensor, nn

from thaw.data.module import ImageDataModule
from thaw.diffusion.inference import evaluating
from thaw.diffusion.restorer import Restorer

BYTES = 4
# Each weight has a gradient and, with Adam, two moments.
COPIES = 4


def check_memory(restorer: Restorer, data: ImageDataModule) -> None:
    """Refuse a network that with batches of this size needs more memory than there is.

    What is counted is the weights and what the layers hand on, which is kept for the gradient.

    Raises:
        ValueError: naming what to reduce.
    """
    weights = COPIES * sum(parameter.numel() for parameter in restorer.network.parameters())
    needed = BYTES * (weights + data.batch_size * activations(restorer, data.image_shape))
    there_is = largest_memory()
    if needed > there_is:
        raise ValueError(
            f"data.batch_size={data.batch_size} images of {list(data.image_shape)} through this "
            f"model need about {needed / 2**30:,.0f} GiB, and there are {there_is / 2**30:,.0f}: "
            "choose a smaller data.batch_size or model"
        )


def activations(restorer: Restorer, image_shape: tuple[int, int, int]) -> int:
    """How many numbers the layers of the network hand on for one image."""
    counts: list[int] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
        if isinstance(output, Tensor) and not list(module.children()):
            counts.append(output.numel())

    hooks = [module.register_forward_hook(count) for module in restorer.network.modules()]
    x_0, t = torch.zeros(1, *image_shape), torch.ones(1, dtype=torch.int64)
    # In evaluation mode dropout draws nothing from the global generator.
    with evaluating(restorer):
        noise = restorer.degradation.draw_noise(x_0, torch.Generator().manual_seed(0))
        restorer.predict(x_0, t, noise=noise)
    for hook in hooks:
        hook.remove()
    return sum(counts)


def largest_memory() -> int:
    """Bytes of the machine, or of its largest GPU where that has more."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    gpus = range(torch.cuda.device_count())
    return max([machine, *(torch.cuda.get_device_properties(gpu).total_memory for gpu in gpus)])
