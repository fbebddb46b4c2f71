"""Whether a network and its training step fit into the memory, checked before it is allocated."""

import os
from collections.abc import Callable

import torch
from torch import Tensor, nn

from thaw.data.module import ImageDataModule
from thaw.diffusion.inference import evaluating
from thaw.diffusion.restorer import Restorer

BYTES = 4
# Each weight has a gradient and, with Adam, two moments.
COPIES = 4


def check_weights(build: Callable[[], nn.Module]) -> None:
    """Refuse a network whose weights alone need more memory than there is.

    It is built on torch's meta device, which allocates nothing and draws no random numbers.
    """
    try:
        with torch.device("meta"):
            network = build()
    except (ValueError, RuntimeError):
        return  # Its values are read while it is built, or the real one fails with this error too.
    count = sum(parameter.numel() for parameter in network.parameters())
    _refuse("the model's weights", count, "choose a smaller model")


def check_memory(restorer: Restorer, data: ImageDataModule) -> None:
    """Refuse a network that with batches of this size needs more memory than there is.

    Counted are the weights and the outputs of the layers, which are kept for the gradient.
    """
    weights = COPIES * sum(parameter.numel() for parameter in restorer.network.parameters())
    count = weights + data.batch_size * activations(restorer, data.stored_shape)
    batch = f"data.batch_size={data.batch_size} images of {list(data.image_shape)}"
    _refuse(f"{batch} through this model", count, "choose a smaller data.batch_size or model")


def _refuse(what: str, count: int, advice: str) -> None:
    """Refuse what has so many values that they need more memory than there is."""
    needed, available = BYTES * count / 2**30, largest_memory() / 2**30
    if needed > available:
        raise ValueError(
            f"{what} need about {needed:,.0f} GiB, and there are {available:,.0f}: {advice}"
        )


def activations(restorer: Restorer, stored_shape: tuple[int, int, int]) -> int:
    """The number of values that the layers of the network put out for one image as stored."""
    counts: list[int] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
        if isinstance(output, Tensor) and not list(module.children()):
            counts.append(output.numel())

    hooks = [module.register_forward_hook(count) for module in restorer.network.modules()]
    stored, t = torch.zeros(1, *stored_shape), torch.ones(1, dtype=torch.int64)
    # In evaluation mode dropout draws nothing from the global generator.
    with evaluating(restorer):
        x_0, noise = restorer.degradation.draw(stored, torch.Generator().manual_seed(0))
        restorer.predict(x_0, t, noise=noise)
    for hook in hooks:
        hook.remove()
    return sum(counts)


def largest_memory() -> int:
    """Bytes of the machine, or of its largest GPU where that has more."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    gpus = range(torch.cuda.device_count())
    return max([machine, *(torch.cuda.get_device_properties(gpu).total_memory for gpu in gpus)])
