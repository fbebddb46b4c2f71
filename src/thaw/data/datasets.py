"""The data modules of data sets that live in files under a folder of the user's."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Interval, Len

from thaw.checks import Count, Seed, checked
from thaw.data import cifar, image_folder, paired_folder, sources
from thaw.data.augment import Transform
from thaw.data.module import ImageDataModule
from thaw.pixels import Bounds


class FileDataModule(ImageDataModule):
    """An :class:`ImageDataModule` whose source reads files below a folder ``root``."""

    source_class: ClassVar[type[sources.FileSource]]

    @checked
    def __init__(
        self,
        root: str,
        batch_size: Count = 128,
        val_size: Annotated[int, Ge(0)] = 0,
        pixel_range: Sequence[float] = (-0.5, 0.5),
        seed: Seed = 0,
        augment: Transform | None = None,
    ) -> None:
        """Arguments and errors of the source, then those of :class:`ImageDataModule`."""
        source = self.source_class(root)
        super().__init__(source, batch_size, val_size, pixel_range, seed, augment)


class MNIST(FileDataModule):
    """:class:`thaw.data.sources.MNIST` in batches."""

    source_class = sources.MNIST


class FashionMNIST(FileDataModule):
    """:class:`thaw.data.sources.FashionMNIST` in batches."""

    source_class = sources.FashionMNIST


class KMNIST(FileDataModule):
    """:class:`thaw.data.sources.KMNIST` in batches."""

    source_class = sources.KMNIST


class CIFAR10(FileDataModule):
    """:class:`thaw.data.cifar.CIFAR10` in batches."""

    source_class = cifar.CIFAR10


class ImageFolder(ImageDataModule):
    """:class:`thaw.data.image_folder.ImageFolder` in batches."""

    @checked
    def __init__(
        self,
        root: str,
        folder: str = ".",
        image_size: Count = 32,
        channels: Literal[1, 3] = 3,
        test_share: Annotated[float, Interval(gt=0, lt=1)] = 0.1,
        cache: str | None = None,
        batch_size: Count = 128,
        val_size: Annotated[int, Ge(0)] = 0,
        pixel_range: Sequence[float] = (-0.5, 0.5),
        seed: Seed = 0,
        augment: Transform | None = None,
    ) -> None:
        """Arguments and errors of the source, then those of :class:`ImageDataModule`."""
        source = image_folder.ImageFolder(root, folder, image_size, channels, test_share, cache)
        super().__init__(source, batch_size, val_size, pixel_range, seed, augment)


class PairedFolder(ImageDataModule):
    """:class:`thaw.data.paired_folder.PairedFolder` in batches."""

    @checked
    def __init__(
        self,
        root: str,
        folder: str = ".",
        clean: str = "clean",
        degraded: str = "degraded",
        image_size: Count | Annotated[Sequence[Count], Len(2, 2)] = 32,
        channels: Literal[1, 3] = 1,
        value_range: Bounds | None = None,
        test_share: Annotated[float, Interval(gt=0, lt=1)] = 0.1,
        cache: str | None = None,
        batch_size: Count = 128,
        val_size: Annotated[int, Ge(0)] = 0,
        pixel_range: Sequence[float] = (-0.5, 0.5),
        seed: Seed = 0,
        augment: Transform | None = None,
    ) -> None:
        """Arguments and errors of the source, then those of :class:`ImageDataModule`."""
        source = paired_folder.PairedFolder(
            root, folder, clean, degraded, image_size, channels, value_range, test_share, cache
        )
        super().__init__(source, batch_size, val_size, pixel_range, seed, augment)
