"""What the data tests share: small sources, and files written by hand."""

import struct
from pathlib import Path

import pytorch_lightning as pl
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


Seen = list[tuple[int, int, list[int]]]


class Recorder(pl.LightningModule):
    """Trains one number, and writes down (epoch, step of the epoch, labels) of every batch.

    ``sums`` and ``validated_sums`` tell images apart; ``drawn`` is what dropout would draw.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: Seen = []
        self.validated: Seen = []
        self.sums: list[float] = []
        self.validated_sums: list[float] = []
        self.drawn: list[float] = []

    def training_step(self, batch: tuple[Tensor, Tensor], step: int) -> Tensor:
        self.seen.append((self.current_epoch, step, batch[1].tolist()))
        self.sums.append(weighted_sum(batch[0]))
        self.drawn.append(torch.rand(()).item())
        return self.weight * batch[0].mean()

    def validation_step(self, batch: tuple[Tensor, Tensor], step: int) -> None:
        self.validated.append((self.current_epoch, step, batch[1].tolist()))
        self.validated_sums.append(weighted_sum(batch[0]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def weighted_sum(images: Tensor) -> float:
    """A number that another image, or another order of pixels, would change."""
    return (images.double() * torch.arange(images.numel()).view_as(images)).sum().item()
