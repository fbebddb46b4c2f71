"""Any folder of images: which files it holds, their classes, and which of them are for testing."""

import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import torch
from annotated_types import Interval
from torch import Tensor

from thaw.checks import Count, checked
from thaw.data.pixel_cache import cache_folder, cached_pixels
from thaw.data.sources import ImageSet, Source, data_root
from thaw.data.splits import check_not_within, given_splits, subfolders
from thaw.seeding import derive_seed

log = logging.getLogger(__name__)
MAX_NAMED = 10


class ImageFile(NamedTuple):
    """A file: its place in the shuffled order, in [0, 1), and its class ("" without classes)."""

    place: float
    path: Path
    class_name: str


class ImageFolder(Source):
    """The images in a folder and in its subfolders, resized, cropped and kept in one file.

    Where the folder holds ``train/`` and ``test/``, or folders called nearly so (see
    :mod:`thaw.data.splits`), they are the two splits and all that is read. Else an image is a test
    image where the hash of its path inside the folder, a number in [0, 1), is below
    ``test_share``: further images change no image's side. The first subfolder on an image's path is
    its class; without subfolders all images are of class 0. Classes are numbered by name, numbers
    in a name by their value, so that 2 comes before 10. Names that start with a dot are passed
    over.
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
            cache: folder for the file of pixels; None is :func:`cache_folder`.

        Raises:
            ValueError: ``root`` is not a folder.
        """
        self.root = data_root(root) / Path(folder).expanduser()
        self.image_shape = (channels, image_size, image_size)
        self.test_share = test_share
        self.cache = cache_folder() if cache is None else Path(cache).expanduser().absolute()

    def load(self) -> tuple[ImageSet, ImageSet]:
        """The training and the test images, each in the order of their paths' hashes.

        They are mapped from the file of pixels, which is written first where it is missing.

        Raises:
            FileNotFoundError: there is no such folder, or no image in it.
            ValueError: a file is not an image that can be read, or the splits or classes are not
                as they should be; one line that names it.
            OSError: the file of pixels cannot be written.
        """
        train, test = self._splits
        self._log_contents(train, test)
        paths = [file.path for file in (*train, *test)]
        pixels = cached_pixels(paths, self.root, self.image_shape, self.cache)
        train_pixels, test_pixels = pixels.tensor_split([len(train)])
        return (
            ImageSet(train_pixels, self._labels(train), is_shuffled=True),
            ImageSet(test_pixels, self._labels(test), is_shuffled=True),
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

    def _labels(self, files: list[ImageFile]) -> Tensor:
        numbers = {class_name: number for number, class_name in enumerate(self.class_names)}
        return torch.tensor([numbers[file.class_name] for file in files])

    @cached_property
    def _given(self) -> dict[str, Path]:
        return given_splits(self.root) if self.root.is_dir() else {}

    @cached_property
    def _splits(self) -> tuple[list[ImageFile], list[ImageFile]]:
        """The training and the test files, shuffled."""
        if self._given:
            train, test = (self._list_images(self._given[split]) for split in ("train", "test"))
            _check_no_class_is_empty(self._given["train"], train)
            self._check_test_classes(train, test)
            return train, test
        files = self._list_images(self.root)
        _check_no_class_is_empty(self.root, files)
        train = [file for file in files if file.place >= self.test_share]
        test = [file for file in files if file.place < self.test_share]
        if not train or not test:
            raise ValueError(
                f"data.test_share={self.test_share} of the {len(files)} images in {self.root} "
                f"leaves {len(train)} to train and {len(test)} to test on: choose another share, "
                "or put the images into train/ and test/"
            )
        return train, test

    def _check_test_classes(self, train: Sequence[ImageFile], test: Sequence[ImageFile]) -> None:
        """Refuse test images of a class without training images."""
        unknown = {file.class_name for file in test} - {file.class_name for file in train}
        if unknown:
            names = sorted(
                (name or "images without a class" for name in unknown), key=_with_numbers
            )
            raise ValueError(
                f"{self._given['test']} holds classes of which {self._given['train']} has no "
                f"image: {_enumerated(names)}; take them out, or add some"
            )

    def _log_contents(self, train: Sequence[ImageFile], test: Sequence[ImageFile]) -> None:
        in_train, in_test = [f" in {path.name}/" for path in self._given.values()] or ["", ""]
        counts = [Counter(file.class_name for file in files) for files in (train, test)]
        classes = "no classes"
        if self.class_names != [""]:
            classes = f"{self.num_classes} classes: " + _enumerated([
                f"{number} is {name} ({counts[0][name]} + {counts[1][name]})"
                for number, name in enumerate(self.class_names)
            ])  # fmt: skip
        log.info(
            "%s: %d training images%s, %d test images%s, %s",
            self.root, len(train), in_train, len(test), in_test, classes,
        )  # fmt: skip
        used = self._given.values()
        left_out = [f"{path.name}/" for path in subfolders(self.root) if path not in used]
        if used and left_out:
            log.warning("%s: not read: %s", self.root, _enumerated(left_out))

    def _list_images(self, folder: Path) -> list[ImageFile]:
        """Every file in and below ``folder``, shuffled."""
        if not folder.is_dir():
            raise FileNotFoundError(
                f"no folder {folder}: set data.root, or data.folder inside it, to one of images"
            )
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


def _check_no_class_is_empty(folder: Path, files: Sequence[ImageFile]) -> None:
    """Refuse folders of classes without an image: the classes after it would be renumbered.

    Raises:
        ValueError: naming them.
    """
    names = {file.class_name for file in files}
    empty = [path.name for path in subfolders(folder) if path.name not in names]
    if empty and names != {""}:
        raise ValueError(
            f"{folder} holds folders of classes without an image: {_enumerated(empty)}; take them "
            "out, or put some in"
        )


def _with_numbers(name: str) -> tuple[list[str | int], str]:
    """The key to sort names by: each number in one counts by its value."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if k % 2 else part for k, part in enumerate(parts)], name


def _enumerated(names: Sequence[str]) -> str:
    """The first ten, and how many more there are."""
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _files(folder: Path) -> Iterator[Path]:
    # Linked folders too: a folder of images is often put together from links.
    for parent, inner, names in os.walk(folder, onerror=_raise, followlinks=True):
        inner[:] = [name for name in inner if not name.startswith(".")]
        check_not_within(Path(parent), inner)
        yield from (Path(parent, name) for name in names if not name.startswith("."))


def _raise(error: OSError) -> None:
    raise error
