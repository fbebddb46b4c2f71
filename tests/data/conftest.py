"""What the data tests share: small sources, and idx files written by hand."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from thaw.data.sources import ImageSet


def idx_bytes(array: Tensor) -> bytes:
    """The idx format, written independently of the code that reads it."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + bytes(array.flatten().tolist())


@pytest.fixture
def write_family() -> Callable[..., dict[str, Tensor]]:
    """Writes the four files of a small data set into a folder, plain or gzipped."""

    def write(folder: Path, zipped: bool = False, side: int = 28) -> dict[str, Tensor]:
        random = torch.Generator().manual_seed(0)
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {}
        for prefix, num_images in (("train", 30), ("t10k", 20)):
            images = torch.randint(0, 256, (num_images, side, side), generator=random)
            arrays[f"{prefix}-images-idx3-ubyte"] = images.to(torch.uint8)
            arrays[f"{prefix}-labels-idx1-ubyte"] = torch.arange(num_images).remainder(10)
        for name, array in arrays.items():
            content = idx_bytes(array)
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
        return arrays

    return write


class CountedSource:
    """Images that show their own number, which is their label too; counts how often it is asked."""

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


def numbered(size: int) -> ImageSet:
    numbers = torch.arange(size)
    return ImageSet(numbers.to(torch.uint8).view(-1, 1, 1, 1).repeat(1, 1, 2, 2), numbers)


@pytest.fixture
def counted_source() -> type[CountedSource]:
    return CountedSource


@pytest.fixture
def numbered_images() -> Callable[[int], ImageSet]:
    return numbered
