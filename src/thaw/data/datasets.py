"""The data modules of data sets that live in files under a folder of the user's."""

from collections.abc import Sequence

from thaw.data import sources
from thaw.data.module import ImageDataModule


class FileDataModule(ImageDataModule):
    """An :class:`ImageDataModule` over a source that reads files; a data set is its source."""

    source_class: type[sources.IdxSource]

    def __init__(
        self,
        root: str,
        batch_size: int = 128,
        val_size: int = 0,
        pixel_range: Sequence[float] = (-0.5, 0.5),
        seed: int = 0,
    ) -> None:
        """
        Args:
            root: the folder that holds ``MNIST/raw/`` or its like; a relative one starts at the
                directory where the command is started.

        The rest, and the errors, are those of :class:`ImageDataModule`.
        """
        super().__init__(self.source_class(root), batch_size, val_size, pixel_range, seed)


class MNIST(FileDataModule):
    """:class:`thaw.data.sources.MNIST` in batches."""

    source_class = sources.MNIST


class FashionMNIST(FileDataModule):
    """:class:`thaw.data.sources.FashionMNIST` in batches."""

    source_class = sources.FashionMNIST


class KMNIST(FileDataModule):
    """:class:`thaw.data.sources.KMNIST` in batches."""

    source_class = sources.KMNIST
