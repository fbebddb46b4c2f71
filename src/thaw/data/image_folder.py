"""Any folder of images: which files it holds, their classes, and which of them are for testing."""

import logging
import os
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import torch
from annotated_types import Interval

from thaw import storage
from thaw.checks import Count, checked
from thaw.data.pixel_cache import cached_pixels
from thaw.data.sources import ImageSet, Source, data_root
from thaw.seeding import derive_seed

log = logging.getLogger(__name__)
# As in Training/, test_set or val2017.
SPLITS = {
    "train": "train|training",
    "test": "test|testing|eval|evaluation",
    "val": "val|valid|validation|dev",
}
AFTER_SPLIT = r"[\W_]*(set|data|images|split)?[\W_\d]*"


class ImageFile(NamedTuple):
    """A file: its place in the shuffled order, in [0, 1), and its class ("" without classes)."""

    place: float
    path: Path
    class_name: str


class ImageFolder(Source):
    """The images in a folder and in its subfolders, resized, cropped and kept in one file.

    Where the folder holds ``train/`` and ``test/``, or folders called nearly so, they are the two
    splits and all that is read. Else an image is a test image where the hash of its path inside the
    folder, a number in [0, 1), is below ``test_share``: further images change no image's side. The
    first subfolder on an image's path is its class; without subfolders all images are of class 0.
    Classes are numbered by name, numbers in a name by their value, so that 2 comes before 10. Names
    that start with a dot are passed over.
    """

    name = "image_folder"

    @checked
    def __init__(
        self,
        root: str | Path,
        folder: str | Path = ".",
        image_size: Count = 32,
        channels: Literal[1, 3] = 3,
        test_share: Annotated[float, Interval(gt=0, lt=1)] = 0.1,
        cache: str | Path | None = None,
    ) -> None:
        """
        Args:
            root: folder of the data sets; a relative one starts at the current directory.
            folder: folder of the images inside ``root``; an absolute one stands for itself.
            image_size: side in pixels, to which each image's shorter side is resized and beyond
                which the longer one is cut off at both ends.
            channels: 3 (colour) or 1 (grey).
            test_share: share of the images to test on, where there is no ``test/``.
            cache: folder for the file of pixels; None is ``images`` in thaw's cache.
        """
        self.root = data_root(root) / Path(folder).expanduser()
        self.image_shape = (channels, image_size, image_size)
        self.test_share = test_share
        self.cache = Path(cache).expanduser() if cache else storage.cache_folder("images")

    def load(self) -> tuple[ImageSet, ImageSet]:
        """The training and the test images, each in the order of their paths' hashes.

        They are mapped from the file of pixels, which is written first where it is missing.

        Raises:
            FileNotFoundError: there is no such folder, or no image in it.
            ValueError: a file is not an image that can be read, or the splits or classes are not
                as they should be; one line that names it.
        """
        train, test = self._splits
        numbers = {class_name: number for number, class_name in enumerate(self.class_names)}
        first = ", ".join(f"{k} is {name}" for k, name in enumerate(self.class_names[:10]))
        log.info("%s: %d training images, %d test images, %d classes: %s",
                 self.root, len(train), len(test), len(numbers), first)  # fmt: skip
        files = [*train, *test]
        pixels = cached_pixels([f.path for f in files], self.root, self.image_shape, self.cache)
        labels = torch.tensor([numbers[file.class_name] for file in files])
        return (
            ImageSet(pixels[: len(train)], labels[: len(train)], is_shuffled=True),
            ImageSet(pixels[len(train) :], labels[len(train) :], is_shuffled=True),
        )

    @property
    def num_classes(self) -> int:
        """The number of classes; the folder is listed, no image is read."""
        return len(self.class_names)

    @cached_property
    def class_names(self) -> list[str]:
        """The folder of each class, by its number; "" where there are no classes."""
        names = {file.class_name for split in self._splits for file in split}
        return sorted(names, key=_with_numbers)

    @cached_property
    def _splits(self) -> tuple[list[ImageFile], list[ImageFile]]:
        """The training and the test files, shuffled."""
        if not self.root.is_dir():
            raise FileNotFoundError(
                f"no folder {self.root}: set data.root, or data.folder inside it, to one of images"
            )
        if given := _given_splits(self.root):
            train, test = map(self._list_images, given)
            if unknown := {file.class_name for file in test} - {file.class_name for file in train}:
                names = ", ".join(sorted(name or "images without a class" for name in unknown))
                raise ValueError(
                    f"{given[1]} holds classes of which {given[0]} has no image: {names}; take "
                    "them out, or add some"
                )
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

    def _list_images(self, folder: Path) -> list[ImageFile]:
        """Every file in and below ``folder``, shuffled."""
        files = sorted(self._image_file(path, folder) for path in _files(folder))
        if not files:
            raise FileNotFoundError(f"no image in {folder}")
        loose = [file.path for file in files if not file.class_name]
        if loose and len(loose) < len(files):
            raise ValueError(
                f"{min(loose)} lies beside the folders of classes: put it into one, or take it out"
            )
        return files

    def _image_file(self, path: Path, folder: Path) -> ImageFile:
        place = derive_seed(0, path.relative_to(self.root).as_posix()) / 2**63
        class_name = "" if path.parent == folder else path.relative_to(folder).parts[0]
        return ImageFile(place, path, class_name)


def _given_splits(root: Path) -> tuple[Path, Path] | None:
    """The folders of training and of test images; None where neither is there.

    A folder for validation takes the place of a missing one for testing.
    """
    folders = [path for path in sorted(root.iterdir()) if path.is_dir() and _split_of(path.name)]
    found = {_split_of(path.name): path for path in folders}
    if not found:
        return None
    if "train" not in found or len(found) == 1 or len(found) < len(folders):
        names = " and ".join(f"{path.name}/" for path in folders)
        raise ValueError(
            f"{root} holds {names}, not one folder to train and one to test on: add or take out "
            "what is wrong, or rename what is a class"
        )
    return found["train"], found.get("test") or found["val"]


def _split_of(name: str) -> str | None:
    """``train``, ``test`` or ``val`` where a folder is called nearly so."""
    for split, words in SPLITS.items():
        if re.fullmatch(f"({words}){AFTER_SPLIT}", name.casefold()):
            return split
    return None


def _with_numbers(name: str) -> tuple[Sequence[str | int], str]:
    """The key to sort names by: each number in one counts by its value."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if k % 2 else part for k, part in enumerate(parts)], name


def _files(folder: Path) -> Iterator[Path]:
    # Linked folders too: a folder of images is often put together from links.
    for parent, inner, names in os.walk(folder, followlinks=True):
        inner[:] = [name for name in inner if not name.startswith(".")]
        splits = set(map(_split_of, inner)) - {None}
        if "train" in splits and len(splits) > 1:
            raise ValueError(
                f"{parent} holds folders to train and to test on, which must lie above those of "
                f"classes: read it alone with data.folder={parent}"
            )
        yield from (Path(parent, name) for name in names if not name.startswith("."))
