"""A network asked about a large batch in pieces of what the device is fast at and holds."""

import torch
from torch import Tensor, nn

# Activations of more images leave a CPU's caches: the study's CNN takes 1.4 times as long an image
# at 512 as at 64, the U-Net 1.6 times.
MAX_ON_CPU = 64


class Pieces:
    """``network(*arguments)``, the same to float tolerance, in pieces where no gradient is kept.

    On a CPU they are of 64 images. Elsewhere the batch is one piece, and halves of it where the
    memory does not hold that; later batches then begin with as many as it held. What is drawn for
    a batch never depends on its pieces.
    """

    def __init__(self) -> None:
        self.held: int | None = None

    def __call__(self, network: nn.Module, *arguments: Tensor) -> Tensor:
        """The output ``[B, ...]`` of a network whose arguments all have the batch first.

        Raises:
            torch.OutOfMemoryError: the memory does not hold a single image.
        """
        if torch.is_grad_enabled() or network.training:
            whole: Tensor = network(*arguments)
            return whole
        num_images = len(arguments[0])
        is_on_cpu = arguments[0].device.type == "cpu"
        size = min(num_images, MAX_ON_CPU if is_on_cpu else self.held or num_images)
        while True:
            try:
                pieces = zip(*(argument.split(size) for argument in arguments), strict=True)
                return torch.cat([network(*piece) for piece in pieces])
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                size = self.held = (size + 1) // 2
