"""Any folder of images: which files it holds, their classes, and which of them are for testing."""

import logging
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from thaw.checks import check_between, check_whole, shown
from thaw.data.pixel_cache import cache_folder, cached_pixels
from thaw.data.sources import ImageSet, Source, data_root
from thaw.data.splits import check_not_within, given_splits, split_of, subfolders
from thaw.seeding import derive_seed

log = logging.getLogger(__name__)
MAX_NAMED = 10
CHANNELS = (1, 3)
LARGEST_SIZE = 4096


class Listed(NamedTuple):
    """A file: its place in the shuffled order, in [0, 1), and its class ("" without classes).

    ``identity`` is the same for two links to one file.
    """

    place: float
    path: Path
    class_name: str
    identity: tuple[int, int]


class ImageFolder(Source):
    """The images in a folder and in its subfolders, resized, cropped and kept in one file.

    Where the folder holds ``train/`` and ``test/``, or folders called nearly so (see
    :mod:`thaw.data.splits`), they are the two splits and all that is read. Else an image is a test
    image where the hash of its path inside the folder, a number in [0, 1), is below
    ``test_share``: more images make none change sides. The first subfolder on an image's path is
    its class; without subfolders all images are of class 0. Classes are numbered by name, numbers
    in a name by their value, so that 2 comes before 10. Names that start with a dot are passed
    over.
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
            raise ValueError(f"data.channels must be 1 (grey) or 3 (colour), got {shown(channels)}")
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
        self._say(train, test)
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
        return len(self.class_names)

    @cached_property
    def class_names(self) -> list[str]:
        """The folder of each class, by its number; "" where there are no classes."""
        names = {file.class_name for split in self._splits for file in split}
        return sorted(names, key=_with_numbers)

    def _labels(self, files: list[Listed]) -> Tensor:
        numbers = {class_name: number for number, class_name in enumerate(self.class_names)}
        return torch.tensor([numbers[file.class_name] for file in files])

    @cached_property
    def _given(self) -> dict[str, Path]:
        return given_splits(self.root) if self.root.is_dir() else {}

    @cached_property
    def _splits(self) -> tuple[list[Listed], list[Listed]]:
        """The training and the test files, shuffled."""
        if self._given:
            train, test = (self._list_images(self._given[split]) for split in ("train", "test"))
            self._check_alike(train, test)
            _check_none_empty(self._given["train"], train)
            return train, test
        files = self._list_images(self.root)
        _check_none_empty(self.root, files)
        train = [file for file in files if file.place >= self.test_share]
        test = [file for file in files if file.place < self.test_share]
        if not train or not test:
            raise ValueError(
                f"data.test_share={self.test_share} of the {len(files)} images in {self.root} "
                f"leaves {len(train)} to train and {len(test)} to test on: choose another share, "
                "or put the images into train/ and test/"
            )
        return train, test

    def _check_alike(self, train: Sequence[Listed], test: Sequence[Listed]) -> None:
        """Refuse classes in one split alone, but that test images of one may be missing."""
        known, tested = ({file.class_name for file in files} for files in (train, test))
        if (known == {""}) != (tested == {""}):
            flat, other = ("train", "test") if known == {""} else ("test", "train")
            raise ValueError(
                f"{self._given[flat]} holds images without classes, {self._given[other]} folders "
                "of classes: make them alike"
            )
        if unknown := tested - known:
            names = sorted(unknown, key=_with_numbers)
            raise ValueError(
                f"{self._given['test']} holds classes of which {self._given['train']} has no "
                f"image: {_enumerated(names)}; take them out, or add some"
            )

    def _say(self, train: Sequence[Listed], test: Sequence[Listed]) -> None:
        """Log what there is in the folder, and what is there twice."""
        places = [f" in {path.name}/" for path in self._given.values()] or ["", ""]
        counts = [Counter(file.class_name for file in files) for files in (train, test)]
        names = "" if self.class_names == [""] else _enumerated([
            f"{number} is {name} ({counts[0][name]} + {counts[1][name]})"
            for number, name in enumerate(self.class_names)
        ])  # fmt: skip
        log.info(
            "%s: %d training images%s, %d test images%s, %s",
            self.root, len(train), places[0], len(test), places[1],
            f"{self.num_classes} classes: {names}" if names else "no classes",
        )  # fmt: skip
        used = self._given.values()
        left_out = [f"{path.name}/" for path in subfolders(self.root) if path not in used]
        if used and left_out:
            log.warning("%s: not read: %s", self.root, _enumerated(left_out))
        _warn_of_links(train, test)

    def _list_images(self, folder: Path) -> list[Listed]:
        """Every file in and below ``folder``, shuffled."""
        if not folder.is_dir():
            raise FileNotFoundError(
                f"no folder {folder}: set data.root, or data.folder inside it, to one of images"
            )
        paths = list(_files(folder))
        stats = {path: _stat(path) for path in paths}
        odd = sorted(path for path, found in stats.items() if found is None)
        if odd:
            raise ValueError(
                f"{_enumerated(odd)} is no file that can be read: take it out of the folder"
            )
        if not paths:
            raise FileNotFoundError(f"no image in {folder}")
        files = [self._listed(path, folder, found) for path, found in stats.items() if found]
        _check_classes(folder, files)
        return sorted(files)

    def _listed(self, path: Path, folder: Path, found: os.stat_result) -> Listed:
        place = derive_seed(0, path.relative_to(self.root).as_posix()) / 2**63
        class_name = "" if path.parent == folder else path.relative_to(folder).parts[0]
        return Listed(place, path, class_name, (found.st_dev, found.st_ino))


def _check_classes(folder: Path, files: Sequence[Listed]) -> None:
    """Refuse images beside the folders of classes, and folders that are no classes.

    Raises:
        ValueError: naming them.
    """
    names = {file.class_name for file in files}
    if names == {""}:
        return
    if "" in names:
        loose = min(file.path for file in files if not file.class_name)
        raise ValueError(
            f"{loose} lies beside the folders of classes: put it into one, or take it out"
        )
    if all(map(split_of, names)):
        raise ValueError(
            f"{_enumerated(sorted(names))} in {folder} is called like a split, and would be a "
            f"class: read it alone with data.folder={folder / min(names)}, or give it another name"
        )


def _check_none_empty(folder: Path, files: Sequence[Listed]) -> None:
    """Refuse folders of classes without an image: the classes after it would be others.

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


def _warn_of_links(train: Sequence[Listed], test: Sequence[Listed]) -> None:
    """Warn where one file is to be trained and tested on, or of two classes, through links."""
    first: dict[tuple[int, int], tuple[str, Listed]] = {}
    double = []
    for split, files in (("train", train), ("test", test)):
        for file in files:
            known_split, known = first.setdefault(file.identity, (split, file))
            if file.identity[1] and (known_split, known.class_name) != (split, file.class_name):
                double.append(f"{known.path} and {file.path}")
    if double:
        log.warning(
            "the same file, linked, in both splits or in two classes: %s", _enumerated(double)
        )


def _with_numbers(name: str) -> tuple[list[str | int], str]:
    """The key to sort names by: each number in one counts by its value."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if k % 2 else part for k, part in enumerate(parts)], name


def _enumerated(names: Sequence[object]) -> str:
    """The first ten, and how many more there are."""
    more = len(names) - MAX_NAMED
    return ", ".join(map(str, names[:MAX_NAMED])) + (f" and {more:,} more" if more > 0 else "")


def _stat(path: Path) -> os.stat_result | None:
    """What the system says of a file; None where it is none, or a link that leads nowhere."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def _files(folder: Path) -> Iterator[Path]:
    # Linked folders too: a folder of images is often put together from links.
    for parent, inner, names in os.walk(folder, onerror=_raise, followlinks=True):
        inner[:] = [name for name in inner if not name.startswith(".")]
        for name in inner:
            if Path(parent).resolve().is_relative_to(Path(parent, name).resolve()):
                raise ValueError(f"{Path(parent, name)} is a link to a folder that it lies in")
        check_not_within(Path(parent), inner)
        yield from (Path(parent, name) for name in names if not name.startswith("."))


def _raise(error: OSError) -> None:
    raise error
