"""Asking a network for answers, not for gradients: its mode, and batches in chunks."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

# Activations of more images leave a CPU's caches: the study's CNN takes 1.5 times as long an image
# at 512 as at 64.
MAX_ON_CPU = 64


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; the module has its own mode again afterwards."""
    was_training = module.training
    module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        module.train(was_training)


class Chunked:
    """``network(*arguments)``, the same to float tolerance, in chunks where no gradient is kept.

    On a CPU they are of 64 images. Elsewhere the batch is one chunk, and halves of it where the
    memory does not hold that; later batches then begin with as many as it held. What is drawn for
    a batch never depends on its chunks. ``calls`` counts the batches, for progress bars.
    """

    def __init__(self) -> None:
        self.largest: int | None = None
        self.calls = 0

    def __call__(self, network: nn.Module, *arguments: Tensor) -> Tensor:
        """The output ``[B, ...]`` of a network whose arguments all have the batch first."""
        self.calls += 1
        if torch.is_grad_enabled() or network.training:
            whole: Tensor = network(*arguments)
            return whole
        num_images = len(arguments[0])
        is_on_cpu = arguments[0].device.type == "cpu"
        size = max(1, min(num_images, MAX_ON_CPU if is_on_cpu else self.largest or num_images))
        while True:
            try:
                chunks = zip(*(argument.split(size) for argument in arguments), strict=True)
                # Copied at once: a CUDA graph's answer is gone when it is asked again.
                return torch.cat([network(*chunk).clone() for chunk in chunks])
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                size = self.largest = (size + 1) // 2
