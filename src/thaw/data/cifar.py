"""CIFAR-10 from torchvision's files, which are pickles, without executing anything in them."""

import io
import os
import pickle
import tarfile
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torchvision

from thaw.data.download import fetch
from thaw.data.idx import check_md5, damaged
from thaw.data.sources import ImageSet, Source, check_may_fetch, data_root


class CIFAR10(Source):
    """Photographs of ten kinds of things, 50,000 and 10,000, 3 x 32 x 32 (Krizhevsky, 2009).

    Six files under ``root/cifar-10-batches-py``, unpacked from ``root/cifar-10-python.tar.gz``
    where they are not there, which is downloaded where it is not there either. Each is checked
    against torchvision's MD5 before it is read. Nothing is written where all six are present.
    """

    name = "cifar10"
    archive = torchvision.datasets.CIFAR10
    image_shape = (3, 32, 32)
    num_classes = 10

    def __init__(self, root: str | Path) -> None:
        """
        Args:
            root: what torchvision calls so; a relative one starts at the current directory.

        Raises:
            ValueError: ``root`` is empty.
        """
        self.root = data_root(root)
        self.folder = self.root / self.archive.base_folder

    def load(self) -> tuple[ImageSet, ImageSet]:
        """The training and the test split, as published and in the published order.

        Raises:
            FileNotFoundError: the files are neither there nor to be had; one line with what was
                tried and the ways out, within seconds.
            ValueError: a file is damaged; one line that names it.
        """
        self._unpack_missing()
        return self._read_split(self.archive.train_list), self._read_split(self.archive.test_list)

    def _unpack_missing(self) -> None:
        names = [name for name, _ in (*self.archive.train_list, *self.archive.test_list)]
        missing = [name for name in names if not (self.folder / name).is_file()]
        if not missing:
            return
        try:
            check_may_fetch(self)
            self._unpack(self._packed(), missing)
        except OSError as error:
            raise FileNotFoundError(
                f"{self.folder} lacks {', '.join(missing)}, and fetching them failed: {error}. "
                f"Three ways out: set THAW_DATA to a folder that holds {self.folder.name}/; "
                f"or place {self.archive.filename} in {self.root}; "
                "or use data=mnist_5k, which needs neither files nor network"
            ) from error

    def _packed(self) -> Path:
        """The archive, downloaded where it is not there, and checked."""
        packed: Path = self.root / self.archive.filename
        if packed.is_file():
            check_md5(packed, packed.read_bytes(), self.archive.tgz_md5)
        else:
            mirror = self.archive.url.removesuffix(self.archive.filename)
            fetch({self.archive.filename: self.archive.tgz_md5}, [mirror], self.root)
        return packed

    def _unpack(self, packed: Path, names: list[str]) -> None:
        """Bring the named files into the folder, each only once it is whole."""
        self.folder.mkdir(exist_ok=True)
        with (
            tarfile.open(packed) as tar,
            tempfile.TemporaryDirectory(dir=self.root, prefix=".unpacked-") as partial,
        ):
            for name in names:
                tar.extract(f"{self.folder.name}/{name}", partial, filter="data")
                os.replace(Path(partial, self.folder.name, name), self.folder / name)

    def _read_split(self, files: list[list[str]]) -> ImageSet:
        batches = [_read_batch(self.folder / name, md5) for name, md5 in files]
        pixels = np.concatenate([batch[b"data"] for batch in batches])
        labels = [label for batch in batches for label in batch[b"labels"]]
        images = torch.from_numpy(pixels).view(-1, *self.image_shape)
        return ImageSet(images, torch.tensor(labels))


class _Arrays(pickle.Unpickler):
    """Builds arrays of numbers and plain containers, and refuses all else that a pickle may name.

    The names are those of Python 2's numpy, which the files were written with.
    """

    allowed: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module_name: str, global_name: str) -> Any:
        try:
            return self.allowed[module_name, global_name]
        except KeyError:
            named = f"{module_name}.{global_name}"
            raise pickle.UnpicklingError(f"it names {named}, which is no array") from None


def _read_batch(path: Path, md5: str) -> dict[bytes, Any]:
    """``data`` uint8 ``[N, 3072]`` (channel, row, column) and ``labels``, N whole numbers."""
    content = path.read_bytes()
    check_md5(path, content, md5)
    try:
        batch: dict[bytes, Any] = _Arrays(io.BytesIO(content), encoding="bytes").load()
    except pickle.UnpicklingError as error:
        raise damaged(path, str(error)) from error
    return batch
