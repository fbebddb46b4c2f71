"""The data module: a source's images, split, checked and handed out in batches on the device."""

import hashlib
from collections.abc import Sequence

import pytorch_lightning as pl
import torch

from thaw.checks import check_whole
from thaw.data.loader import Batch, BatchLoader, ShuffledBatchLoader
from thaw.data.sources import ImageSet, Source
from thaw.pixels import PixelRange
from thaw.seeding import generator

HOLD_OUT_SEED = 0
LARGEST_SEED = 2**32 - 1


class ImageDataModule(pl.LightningDataModule):
    """Images of one source, as one uint8 tensor on the training device, batched by indexing.

    Known at once: ``name``, ``image_shape`` (C, H, W), ``num_classes``, ``pixel_range``.
    After ``setup()``: ``train_images``, ``val_images``, ``test_images`` (uint8 ``[N, C, H, W]``, on
    the CPU), ``train_labels``, ``val_labels``, ``test_labels`` (int64 ``[N]``), and ``checksum``:
    the SHA-256, in hex, of the source's training images and labels and its test images and labels,
    before any hold-out.

    With ``val_size`` 0 the validation images are the test images. With N they are N training images
    and the test images stay untouched; a constant seed, ``HOLD_OUT_SEED``, chooses them, so that
    runs of different seeds are validated on the same ones.
    """

    def __init__(
        self,
        source: Source,
        batch_size: int = 128,
        val_size: int = 0,
        pixel_range: Sequence[float] = (-0.5, 0.5),
        seed: int = 0,
    ) -> None:
        """
        Args:
            source: where the images come from; nothing is read before ``setup()``.
            batch_size: images in a batch of one process, so that DDP multiplies it.
            val_size: training images to hold out for validation.
            pixel_range: (low, high), what the stored 0 and 255 become.
            seed: decides, with the epoch, the order of the training images.

        Raises:
            ValueError: one of them is out of its range.
        """
        super().__init__()
        check_whole("data.batch_size", batch_size, 1)
        check_whole("data.val_size", val_size, 0)
        check_whole("data.seed", seed, 0, LARGEST_SEED)
        self.source = source
        self.name = source.name
        self.image_shape = source.image_shape
        self.num_classes = source.num_classes
        self.batch_size = batch_size
        self.val_size = val_size
        self.pixel_range = PixelRange.of(pixel_range)
        self.seed = seed
        self._is_set_up = False

    def prepare_data(self) -> None:
        """Load in one process first: with DDP, only that one may have to download."""
        self.setup()

    def setup(self, stage: str | None = None) -> None:
        """Load the images, once; a second call does nothing.

        Raises:
            FileNotFoundError, ValueError: what the source raises.
            ValueError: ``val_size`` or ``batch_size`` is too large for the training images.
        """
        if self._is_set_up:
            return
        train, test = self.source.load()
        self.checksum = _checksum(train, test)
        train, held_out = self._hold_out(train)
        self._check_batch_size(len(train.labels))
        val = held_out if self.val_size else test
        self.train_images, self.train_labels = train.images, train.labels
        self.val_images, self.val_labels = val.images, val.labels
        self.test_images, self.test_labels = test.images, test.labels
        self._is_set_up = True

    def _hold_out(self, train: ImageSet) -> tuple[ImageSet, ImageSet]:
        """(the rest, the held-out) of the training images; each in the source's order."""
        num_images = len(train.labels)
        if self.val_size >= num_images:
            raise ValueError(
                f"data.val_size={self.val_size} leaves nothing to train on: "
                f"{self.name} has {num_images:,} training images"
            )
        if not self.val_size:
            # The source's own tensors, not a copy of them.
            return train, ImageSet(train.images[:0], train.labels[:0])
        order = torch.randperm(num_images, generator=generator(HOLD_OUT_SEED, "hold-out"))
        held_out, rest = order[: self.val_size].sort().values, order[self.val_size :].sort().values
        return (
            ImageSet(train.images[rest], train.labels[rest]),
            ImageSet(train.images[held_out], train.labels[held_out]),
        )

    def _check_batch_size(self, num_train: int) -> None:
        _, world_size = self._rank_and_world_size()
        if self.batch_size * world_size > num_train:
            processes = f" in each of {world_size} processes" if world_size > 1 else ""
            raise ValueError(
                f"data.batch_size={self.batch_size}{processes} is more than the "
                f"{num_train:,} training images of {self.name}"
            )

    def train_dataloader(self) -> BatchLoader:
        """Full batches of the training images in an order of their own each epoch."""
        # Again: the images may have been set up before there was a trainer with its processes.
        self._check_batch_size(len(self.train_labels))
        data = self._on_device(ImageSet(self.train_images, self.train_labels))
        ranks = self._rank_and_world_size()
        if getattr(self.trainer, "overfit_batches", 0):
            # The same batches every epoch: Lightning arranges that for torch's DataLoader only.
            return BatchLoader(data, self.pixel_range, self.batch_size, *ranks)
        return ShuffledBatchLoader(data, self.pixel_range, self.batch_size, self.seed, *ranks)

    def val_dataloader(self) -> BatchLoader:
        """All validation images, in order."""
        data = self._on_device(ImageSet(self.val_images, self.val_labels))
        return BatchLoader(data, self.pixel_range, self.batch_size, *self._rank_and_world_size())

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """``(x_0, labels)`` on ``device``: the same tensors where they are there already."""
        x_0, labels = batch
        return x_0.to(device), labels.to(device)

    def _on_device(self, data: ImageSet) -> ImageSet:
        if self.trainer is None:
            return data
        device = self.trainer.strategy.root_device
        return ImageSet(data.images.to(device), data.labels.to(device))

    def _rank_and_world_size(self) -> tuple[int, int]:
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size


def _checksum(*image_sets: ImageSet) -> str:
    digest = hashlib.sha256()
    for image_set in image_sets:
        digest.update(image_set.images.contiguous().numpy().data)
        digest.update(image_set.labels.contiguous().numpy().data)
    return digest.hexdigest()
