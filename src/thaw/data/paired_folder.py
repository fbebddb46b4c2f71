"""Pairs of images in two folders: a clean one, and a degraded one of the same name."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import torch
from annotated_types import Interval, Len
from torch import Tensor

from thaw.checks import Count, checked
from thaw.data.pixel_cache import cache_folder, cached_pixels, size_of
from thaw.data.sources import ImageSet, Source, data_root
from thaw.data.splits import given_splits
from thaw.pixels import Bounds, PixelRange
from thaw.seeding import derive_seed

log = logging.getLogger(__name__)
MAX_NAMED = 10
Pair = tuple[Path, Path]


class PairedFolder(Source):
    """Clean images, each with a degraded partner: a file of the same name in another folder.

    Where ``root`` holds ``train/`` and ``test/``, or folders called nearly so (see
    :mod:`thaw.data.splits`), the two folders of pairs are in each of them. Else they are in
    ``root``, and a pair is for testing where the hash of its name, a number in [0, 1), is below
    ``test_share``: further pairs change no pair's side. Names include subfolders. Both images of a
    pair have the same size, and are resized and cropped alike. There are no classes. Names that
    start with a dot are passed over.
    """

    name = "paired_folder"
    has_partners = True
    num_classes = 1

    @checked
    def __init__(
        self,
        root: str | Path,
        folder: str | Path = ".",
        clean: str = "clean",
        degraded: str = "degraded",
        image_size: Count | Annotated[Sequence[Count], Len(2, 2)] = 32,
        channels: Literal[1, 3] = 1,
        value_range: Bounds | None = None,
        test_share: Annotated[float, Interval(gt=0, lt=1)] = 0.1,
        cache: str | Path | None = None,
    ) -> None:
        """
        Args:
            root: folder of the data sets; a relative one starts at the current directory.
            folder: folder of the pairs inside ``root``; an absolute one stands for itself.
            clean: name of the folders of clean images.
            degraded: name of the folders of their partners.
            image_size: side in pixels, or height and width; images of another size are resized to
                fill it and cut off at both ends of the longer side.
            channels: 3 (colour) or 1 (grey).
            value_range: (low, high), the numbers in the files that are black and white, for images
                of one channel that are no 8-bit pictures; None for pictures.
            test_share: share of the pairs to test on, where there is no ``test/``.
            cache: folder for the file of pixels; None is :func:`cache_folder`.

        Raises:
            ValueError: ``root`` is not a folder, or a value is not allowed.
        """
        self.root = data_root(root) / Path(folder).expanduser()
        self.clean, self.degraded = clean, degraded
        sides = [image_size] * 2 if isinstance(image_size, int) else list(image_size)
        self.image_shape = (channels, sides[0], sides[1])
        if value_range is not None:
            self.value_range = PixelRange.of(value_range, "value_range")
            if channels != 1:
                raise ValueError(
                    f"value_range is for images of one channel: use channels=1, not {channels}, or "
                    "value_range=null for pictures of 8 bits"
                )
        self.test_share = test_share
        self.cache = cache_folder() if cache is None else Path(cache).expanduser().absolute()

    @property
    def class_names(self) -> list[str]:
        """One class without a name."""
        return [""]

    def load(self) -> tuple[ImageSet, ImageSet]:
        """The training and the test pairs, each in the order of the hashes of their names.

        Images are ``[N, 2C, H, W]``, the clean one's channels first. They are mapped from the file
        of pixels, which is written first where it is missing.

        Raises:
            FileNotFoundError: there is no such folder, or no image in it.
            ValueError: a file has no partner or one of another size, or cannot be read; one line
                that names it.
            OSError: the file of pixels cannot be written.
        """
        train, test = self._splits()
        log.info("%s: %d training pairs, %d test pairs", self.root, len(train), len(test))
        pairs = [*train, *test]
        check_sizes(pairs)
        paths = [path for pair in pairs for path in pair]
        pixels = cached_pixels(paths, self.root, self.image_shape, self.cache, self.value_range)
        channels, height, width = self.image_shape
        in_pairs = pixels.view(len(pairs), 2 * channels, height, width)
        return _unlabelled(in_pairs[: len(train)]), _unlabelled(in_pairs[len(train) :])

    def _splits(self) -> tuple[list[Pair], list[Pair]]:
        """The training and the test pairs, shuffled."""
        if not self.root.is_dir():
            raise FileNotFoundError(
                f"no folder {self.root}: set data.root, or data.folder inside it, to one of pairs"
            )
        if given := given_splits(self.root):
            train, test = (list(self._pairs(given[split]).values()) for split in ("train", "test"))
            return train, test
        pairs = self._pairs(self.root)
        train, test = (
            [pair for name, pair in pairs.items() if (_place(name) < self.test_share) == is_test]
            for is_test in (False, True)
        )
        if not train or not test:
            raise ValueError(
                f"data.test_share={self.test_share} of the {len(pairs)} pairs in {self.root} "
                f"leaves {len(train)} to train and {len(test)} to test on: choose another share, "
                "or put the pairs into train/ and test/"
            )
        return train, test

    def _pairs(self, folder: Path) -> dict[str, Pair]:
        """Each pair in a folder by its name, shuffled."""
        for name in (self.clean, self.degraded):
            if not (folder / name).is_dir():
                raise FileNotFoundError(
                    f"no folder {folder / name}: the pairs of {folder} are files of the same name "
                    f"in {self.clean}/ and {self.degraded}/ (data.clean and data.degraded), in "
                    "train/ and test/ or without these"
                )
        pairs = paired(folder / self.clean, folder / self.degraded)
        if not pairs:
            raise FileNotFoundError(f"no image in {folder / self.clean}")
        return dict(sorted(pairs.items(), key=lambda item: (_place(item[0]), item[0])))


def paired(clean: Path, degraded: Path) -> dict[str, Pair]:
    """(clean, degraded) file by the name, subfolders included, that both have.

    Raises:
        ValueError: files without a partner; one line that names the first ten.
    """
    names = sorted(_names(clean) | _names(degraded))
    pairs = {name: (clean / name, degraded / name) for name in names}
    check_partners([each for pair in pairs.values() for each in (pair, pair[::-1])])
    return pairs


def check_partners(pairs: Sequence[Pair]) -> None:
    """Refuse pairs whose first file is there and whose second is not.

    Raises:
        ValueError: one line that names the first ten.
    """
    alone = [
        f"{file} has no partner {partner}"
        for file, partner in pairs
        if file.is_file() and not partner.is_file()
    ]
    if alone:
        raise ValueError(_enumerated(alone))


def check_sizes(pairs: Sequence[Pair]) -> None:
    """Refuse pairs whose images differ in size.

    Raises:
        ValueError: one line that names the first ten.
    """
    found = []
    for pair in pairs:
        (height, width), (other_height, other_width) = map(size_of, pair)
        if (height, width) != (other_height, other_width):
            found.append(
                f"{pair[1]} is {other_height} x {other_width} (height x width), and its partner "
                f"{pair[0]} is {height} x {width}"
            )
    if found:
        raise ValueError(_enumerated(found))


def _names(folder: Path) -> set[str]:
    """Every file in and below a folder, by its path in there."""
    found: set[str] = set()
    # Linked folders too, as in image_folder.
    for parent, inner, names in os.walk(folder, onerror=_raise, followlinks=True):
        inner[:] = [name for name in inner if not name.startswith(".")]
        paths = (Path(parent, name) for name in names if not name.startswith("."))
        found.update(path.relative_to(folder).as_posix() for path in paths)
    return found


def _raise(error: OSError) -> None:
    raise error


def _place(name: str) -> float:
    """Where a pair is in the shuffled order, in [0, 1)."""
    return derive_seed(0, name) / 2**63


def _unlabelled(images: Tensor) -> ImageSet:
    return ImageSet(images, torch.zeros(len(images), dtype=torch.int64), is_shuffled=True)


def _enumerated(problems: Sequence[str]) -> str:
    """The first ten, and how many more there are."""
    more = len(problems) - MAX_NAMED
    return "; ".join(problems[:MAX_NAMED]) + (f"; and {more:,} more" if more > 0 else "")
