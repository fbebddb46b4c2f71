"""Images on disk: grids, PNG files, animations."""

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from thaw import storage

MIN_SIDE = 84


def grid(images: Tensor, columns: int | None = None) -> Tensor:
    """One image uint8 ``[C, H', W']`` of many, uint8 ``[N, C, H, W]``, enlarged to be seen.

    Whole-number nearest-neighbour enlargement to at least 84 pixels a side; ``columns`` defaults
    to a square arrangement.
    """
    factor = max(1, math.ceil(MIN_SIDE / min(images.shape[-2:])))
    large = images.cpu().repeat_interleave(factor, -2).repeat_interleave(factor, -1)
    columns = columns or math.ceil(math.sqrt(len(images)))
    return _tiled(large.expand(-1, 3, -1, -1) if large.shape[1] == 1 else large, columns, factor)


def _tiled(images: Tensor, columns: int, padding: int) -> Tensor:
    """uint8 ``[N, C, H, W]`` side by side on grey, as torchvision's ``make_grid`` has it."""
    if len(images) == 1:
        return images[0]
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    _, channels, height, width = images.shape
    steps = (height + padding, width + padding)
    size = (rows * steps[0] + padding, columns * steps[1] + padding)
    tiled = images.new_full((channels, *size), 128)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        top, left = padding + row * steps[0], padding + column * steps[1]
        tiled[:, top : top + height, left : left + width] = image
    return tiled


def to_pil(image: Tensor) -> Image.Image:
    """A PIL image of uint8 ``[C, H, W]`` with 1 or 3 channels."""
    array = image.cpu().permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


def save_png(image: Tensor, path: Path) -> None:
    """Write uint8 ``[C, H, W]``; the folder is created."""
    storage.make_folder(path.parent)
    with storage.writing(path):
        to_pil(image).save(path)


def save_animation(frames: Sequence[Tensor], path: Path) -> None:
    """Write uint8 ``[C, H, W]`` frames as a GIF (or APNG, by suffix) that rests on its last."""
    storage.make_folder(path.parent)
    pictures = [to_pil(frame) for frame in frames]
    durations = [80] * (len(pictures) - 1) + [1600]  # milliseconds
    with storage.writing(path):
        pictures[0].save(
            path, save_all=True, append_images=pictures[1:], duration=durations, loop=0
        )
