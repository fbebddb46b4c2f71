"""Any folder of images: which files it holds, their classes, and which of them are for testing."""

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from thaw.checks import check_between, check_whole, shown
from thaw.data.pixel_cache import cache_folder, cached_pixels
from thaw.data.sources import ImageSet, Source, data_root
from thaw.seeding import derive_seed

SPLITS = ("train", "test")
CHANNELS = (1, 3)
LARGEST_SIZE = 4096


class Listed(NamedTuple):
    """A file: its place in the shuffled order, in [0, 1), and its class ("" without classes)."""

    place: float
    path: Path
    class_name: str


class ImageFolder(Source):
    """The images in a folder and in its subfolders, resized, cropped and kept in one file.

    Where the folder holds ``train/`` and ``test/``, they are the two splits and all that is read.
    Else an image is a test image where the hash of its path inside the folder, a number in [0, 1),
    is below ``test_share``: more images make none change sides. The first subfolder on an image's
    path is its class, classes are numbered by name; without subfolders all images are of class 0.
    Names that start with a dot are passed over.
    """

    name = "image_folder"

    def __init__(
        self,
        root: str | Path,
        folder: str | Path = ".",
        image_size: int = 32,
        channels: int = 3,
        test_share: float = 0.1,
        cache: str | Path | None = None,
    ) -> None:
        """
        Args:
            root: the folder of the data sets; a relative one starts at the current directory.
            folder: of the images, inside ``root``; an absolute one stands for itself.
            image_size: pixels a side, to which each image's shorter side is resized and beyond
                which the longer one is cut off at both ends.
            channels: 3 (colour) or 1 (grey).
            test_share: of the images, between 0 and 1, where there is no ``test/``.
            cache: the folder for the file of pixels; None is :func:`cache_folder`.

        Raises:
            ValueError: one of them is out of its range.
        """
        check_whole("data.image_size", image_size, 1, LARGEST_SIZE)
        check_between("data.test_share", test_share, 0, 1, open_=True)
        if isinstance(channels, bool | float) or channels not in CHANNELS:
            raise ValueError(f"data.channels must be 1 (grey) or 3 (colour), not {shown(channels)}")
        if not isinstance(folder, str | Path):
            raise ValueError(f"data.folder must name a folder, not {shown(folder)}")
        if not isinstance(cache, str | Path | None):
            raise ValueError(f"data.cache must name a folder or be null, not {shown(cache)}")
        self.root = data_root(root) / Path(folder).expanduser()
        self.image_shape = (channels, image_size, image_size)
        self.test_share = test_share
        self.cache = cache_folder() if cache is None else Path(cache).expanduser().absolute()

    def load(self) -> tuple[ImageSet, ImageSet]:
        """The training and the test images, each in the order of their paths' hashes.

        They are mapped from the file of pixels, which is made first where it is not there.

        Raises:
            FileNotFoundError: there is no such folder, or no image in it.
            ValueError: a file is no image that can be read, or the splits or classes are not as
                they should be; one line that names it.
            OSError: the file of pixels cannot be written.
        """
        train, test = self._splits
        pixels = cached_pixels(
            [file.path for file in (*train, *test)], self.root, self.image_shape, self.cache
        )
        images = pixels.tensor_split([len(train)])
        train_set, test_set = (
            ImageSet(part, self._labels(files), is_shuffled=True)
            for part, files in zip(images, (train, test), strict=True)
        )
        return train_set, test_set

    @property
    def num_classes(self) -> int:
        """How many classes the folder's images have; the folder is listed, no image is read."""
        return len(self._classes)

    @cached_property
    def _classes(self) -> list[str]:
        return sorted({file.class_name for split in self._splits for file in split})

    def _labels(self, files: list[Listed]) -> Tensor:
        numbers = {class_name: number for number, class_name in enumerate(self._classes)}
        return torch.tensor([numbers[file.class_name] for file in files])

    @cached_property
    def _splits(self) -> tuple[list[Listed], list[Listed]]:
        """The training and the test files, shuffled."""
        given = [split for split in SPLITS if (self.root / split).is_dir()]
        if len(given) == 1:
            raise ValueError(
                f"{self.root} holds {given[0]}/ but not {' and '.join(SPLITS)}: add the other, "
                f"or read {given[0]}/ alone with data.folder={self.root / given[0]}"
            )
        if given:
            train, test = (self._list_images(self.root / split) for split in SPLITS)
            return train, test
        files = self._list_images(self.root)
        train = [file for file in files if file.place >= self.test_share]
        test = [file for file in files if file.place < self.test_share]
        if not train or not test:
            raise ValueError(
                f"data.test_share={self.test_share} of the {len(files)} images in {self.root} "
                f"leaves {len(train)} to train and {len(test)} to test on: choose another share, "
                "or put the images into train/ and test/"
            )
        return train, test

    def _list_images(self, folder: Path) -> list[Listed]:
        """Every file in and below ``folder``, shuffled."""
        if not folder.is_dir():
            raise FileNotFoundError(
                f"no folder {folder}: set data.root, or data.folder inside it, to one of images"
            )
        paths = list(_files(folder))
        odd = [path for path in paths if not path.is_file()]
        if odd:
            raise ValueError(f"{min(odd)} is no file that can be read: take it out of the folder")
        if not paths:
            raise FileNotFoundError(f"no image in {folder}")
        loose = [path for path in paths if path.parent == folder]
        if loose and len(loose) < len(paths):
            raise ValueError(
                f"{min(loose)} lies beside the folders of classes: put it into one, or take it out"
            )
        return sorted(self._listed(path, folder) for path in paths)

    def _listed(self, path: Path, folder: Path) -> Listed:
        place = derive_seed(0, path.relative_to(self.root).as_posix()) / 2**63
        class_name = "" if path.parent == folder else path.relative_to(folder).parts[0]
        return Listed(place, path, class_name)


def _files(folder: Path) -> Iterator[Path]:
    # Linked folders too: a folder of images is often put together from links.
    for parent, subfolders, names in os.walk(folder, onerror=_raise, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in subfolders:
            if Path(parent).resolve().is_relative_to(Path(parent, name).resolve()):
                raise ValueError(f"{Path(parent, name)} is a link to a folder that it lies in")
        yield from (Path(parent, name) for name in names if not name.startswith("."))


def _raise(error: OSError) -> None:
    raise error
