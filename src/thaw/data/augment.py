"""Random changes of training images by torchvision's transforms, repeatable from a seed."""

from collections.abc import Callable

import torch
from torch import Tensor

from thaw.seeding import seed_global

Transform = Callable[[Tensor], Tensor]


def augmented(images: Tensor, transform: Transform, seed: int) -> Tensor:
    """Images as stored, ``[B, C, H, W]``: each through ``transform``, as ``seed`` decides.

    The transforms of ``torchvision.transforms.v2`` draw from the global generators, which are as
    before afterwards. They draw once a call, so each image has a call of its own: one for the batch
    would mirror all of its images or none.
    """
    is_cuda = images.device.type == "cuda"
    with torch.random.fork_rng([images.device] if is_cuda else []):
        # The generators of other kinds of devices would not be put back.
        seed_global(seed, images.device if is_cuda else torch.device("cpu"))
        return torch.stack([transform(image) for image in images])


def check_transform(
    transform: Transform, image_shape: tuple[int, int, int], dtype: torch.dtype = torch.uint8
) -> None:
    """Refuse a transform that does not give a blank image of that shape and type back as one."""
    blank = torch.zeros(1, *image_shape, dtype=dtype)
    kind = str(dtype).removeprefix("torch.")
    try:
        changed = augmented(blank, transform, seed=0)
    except (RuntimeError, TypeError, ValueError) as error:
        why = " ".join(str(error).split())
        raise ValueError(
            f"augment must take images {kind} {list(image_shape)}, but fails: {why}"
        ) from error
    if changed.shape != blank.shape or changed.dtype != dtype:
        raise ValueError(
            f"augment must keep images {kind} {list(image_shape)}, "
            f"not make them {changed.dtype} {list(changed.shape[1:])}"
        )
