"""What the data tests share: small sources, and files written by hand."""

import struct
from pathlib import Path

import torch
from torch import Tensor

from thaw.data.sources import ImageSet, Source

IDX_NAMES = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]


def idx_bytes(array: Tensor) -> bytes:
    """The idx format, written independently of the code that reads it."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + bytes(array.flatten().tolist())


def write_family(folder: Path, side: int = 28) -> dict[str, Tensor]:
    """Write the four files of a small data set into a folder."""
    random = torch.Generator().manual_seed(0)
    arrays = {}
    for prefix, num_images in (("train", 30), ("t10k", 20)):
        images = torch.randint(0, 256, (num_images, side, side), generator=random)
        arrays[f"{prefix}-images-idx3-ubyte"] = images.to(torch.uint8)
        arrays[f"{prefix}-labels-idx1-ubyte"] = torch.arange(num_images).remainder(10)
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        (folder / name).write_bytes(idx_bytes(array))
    return arrays


def leftovers(folder: Path) -> list[str]:
    """Every file in and below a folder."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def numbered(size: int) -> ImageSet:
    """Images that show their own number, which is their label too."""
    numbers = torch.arange(size)
    return ImageSet(numbers.to(torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, 2, 2), numbers)


class CountedSource(Source):
    """:func:`numbered` images; counts how often it is asked."""

    name = "counted"
    image_shape = (1, 2, 2)
    num_classes = 250

    def __init__(self, num_train: int, num_test: int) -> None:
        self.sizes = (num_train, num_test)
        self.num_loads = 0

    def load(self) -> tuple[ImageSet, ImageSet]:
        self.num_loads += 1
        train, test = (numbered(size) for size in self.sizes)
        return train, test
