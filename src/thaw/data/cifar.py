"""CIFAR-10 from torchvision's files, which are pickles, without executing anything in them."""

import io
import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from thaw.data.download import check_md5, complete, damaged, published
from thaw.data.sources import FileSource, ImageSet


class CIFAR10(FileSource):
    """Photographs of ten kinds of things, 50,000 and 10,000, 3 x 32 x 32 (Krizhevsky, 2009).

    Six files in ``root/cifar-10-batches-py``, unpacked from ``root/cifar-10-python.tar.gz`` where
    they are missing, which is downloaded where it is missing too. Each is checked against
    torchvision's MD5 before it is read. Nothing is written where all six are present.
    """

    name = "cifar10"
    image_shape = (3, 32, 32)
    num_classes = 10

    @property
    def archive(self) -> Any:
        """What torchvision knows of the files."""
        return published("CIFAR10")

    @property
    def folder(self) -> Path:
        """Where the six files are."""
        return Path(self.root, self.archive.base_folder)

    def load(self) -> tuple[ImageSet, ImageSet]:
        """The training and the test split, as published and in the published order."""
        archive = self.archive
        files = [self.folder / name for name, _ in (*archive.train_list, *archive.test_list)]
        packed, mirrors = self.root / archive.filename, [archive.url.removesuffix(archive.filename)]
        complete(self.root, files, packed, archive.tgz_md5, mirrors, self.may_fetch)
        return self._read_split(archive.train_list), self._read_split(archive.test_list)

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
            raise pickle.UnpicklingError(
                f"it names {module_name}.{global_name}, which is not an array"
            ) from None


def _read_batch(path: Path, md5: str) -> dict[bytes, Any]:
    """``data`` uint8 ``[N, 3072]`` (channel, row, column) and ``labels``, N whole numbers."""
    check_md5(path, md5)
    try:
        batch: dict[bytes, Any] = _Arrays(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except pickle.UnpicklingError as error:
        raise damaged(path, str(error)) from error
    return batch
