"""Random changes of training images by torchvision's transforms, repeatable from a seed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from thaw.seeding import seed_global


class Augmentation:
    """Each image of a batch through ``transform``, which draws what ``seed`` alone decides.

    The transforms of ``torchvision.transforms.v2`` draw from the global generators, which are as
    before afterwards. They draw once a call, so each image has a call of its own: one for the batch
    would mirror all of its images or none.
    """

    def __init__(
        self, transform: Callable[[Tensor], Tensor], image_shape: tuple[int, int, int]
    ) -> None:
        """Refuses a transform that does not give a blank uint8 ``[C, H, W]`` image back as one."""
        self.transform = transform
        blank = torch.zeros(1, *image_shape, dtype=torch.uint8)
        try:
            changed = self(blank, seed=0)
        except (RuntimeError, TypeError, ValueError) as error:
            why = " ".join(str(error).split())
            raise ValueError(
                f"augment must take images uint8 {list(image_shape)}, but fails: {why}"
            ) from error
        if changed.shape != blank.shape or changed.dtype != torch.uint8:
            raise ValueError(
                f"augment must keep images uint8 {list(image_shape)}, "
                f"not make them {changed.dtype} {list(changed.shape[1:])}"
            )

    def __call__(self, images: Tensor, seed: int) -> Tensor:
        """uint8 ``[B, C, H, W]`` from the same, on the images' device."""
        with _seeded(seed, images.device):
            return torch.stack([self.transform(image) for image in images])


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """The global generators of the CPU and of ``device``, seeded inside, as before outside."""
    is_cuda = device.type == "cuda"
    with torch.random.fork_rng([device] if is_cuda else []):
        # The generators of other kinds of devices would not be put back.
        seed_global(seed, device if is_cuda else torch.device("cpu"))
        yield
