"""A source's images, split, checked and handed out in batches on the device."""

import hashlib
import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor

from thaw.checks import Count, Seed, checked
from thaw.data.augment import Transform, check_transform
from thaw.data.identity import changes
from thaw.data.loader import BatchLoader, ShuffledBatchLoader
from thaw.data.sources import ImageSet, Source
from thaw.pixels import PixelRange
from thaw.progress import progress
from thaw.seeding import generator

log = logging.getLogger(__name__)
HOLD_OUT_SEED = 0
SHARE_OF_DEVICE = 0.5


class ImageDataModule:
    """Images of one source, as one tensor on the training device, batched by indexing.

    Where they would fill more than half of the device's free memory they stay where the source has
    them, and batches are copied: the same batches, bit for bit.

    Known at once: ``name``, ``image_shape`` (C, H, W), ``pixel_range``; and ``num_classes``, for
    which a source may have to look into its folder.
    After ``setup()``: ``train_images``, ``val_images``, ``test_images`` (uint8 ``[N, C, H, W]``, on
    the CPU; where a source has partners or a range of values see
    :class:`~thaw.data.sources.ImageSet`), ``train_labels``, ``val_labels``, ``test_labels`` (int64
    ``[N]``), and ``checksum``: the SHA-256, in hex, of the source's training images and labels and
    its test images and labels, before any hold-out.

    With ``val_size`` 0 the validation images are the test images. With N they are N training images
    and the test images stay untouched; a constant seed, ``HOLD_OUT_SEED``, chooses them, so that
    runs of different seeds are validated on the same ones.
    """

    @checked
    def __init__(
        self,
        source: Source,
        batch_size: Count = 128,
        val_size: Annotated[int, Ge(0)] = 0,
        pixel_range: Sequence[float] = (-0.5, 0.5),
        seed: Seed = 0,
        augment: Transform | None = None,
    ) -> None:
        """
        Args:
            source: where the images come from; nothing is read before ``setup()``.
            batch_size: images in a batch, of all processes together.
            val_size: training images to hold out for validation.
            pixel_range: (low, high), what the stored 0 and 255 become.
            seed: seed for the order of the training images and for their augmentation.
            augment: what each training image of a batch goes through, uint8 ``[C, H, W]`` to the
                same, such as a transform of ``torchvision.transforms.v2``; None for nothing.
        """
        self.source = source
        self.name = source.name
        self.image_shape = source.image_shape
        self.batch_size = batch_size
        self.val_size = val_size
        self.pixel_range = PixelRange.of(pixel_range)
        self.seed = seed
        self.augment = augment
        self.with_partners = source.has_partners
        if augment is not None:
            check_transform(augment, self.stored_shape, self.stored_type)
        self._is_set_up = False
        self._expected: Any = None
        self._expected_by: object = None

    @property
    def num_classes(self) -> int:
        """The number of classes; labels count from 0."""
        return self.source.num_classes

    @property
    def stored_shape(self) -> tuple[int, int, int]:
        """The shape of an image as it is kept: (2C, H, W) with its partner."""
        channels, height, width = self.image_shape
        return (2 * channels if self.with_partners else channels, height, width)

    @property
    def stored_type(self) -> torch.dtype:
        """uint8; float32, 0 to 255, where the source has a range of values of its own."""
        return torch.uint8 if self.source.value_range is None else torch.float32

    def use_partners(self, is_needed: bool) -> None:
        """Leave out partners without need; a ``ValueError`` where needed ones are missing."""
        if is_needed and not self.source.has_partners:
            raise ValueError(
                f"it needs images with partners, which {self.name} has not: use data=paired_folder"
            )
        self.with_partners = is_needed

    def shown(self, images: Tensor) -> Tensor:
        """uint8 ``[N, C, H, W]`` of images as they are kept: without partners, rounded."""
        return images[:, : self.image_shape[0]].round().to(torch.uint8)

    @property
    def class_names(self) -> list[str]:
        """The name of each class, by its number."""
        return self.source.class_names

    @property
    def identity(self) -> dict[str, Any]:
        """After ``setup()``, what tells these data from others: plain containers."""
        return {"name": self.name, "checksum": self.checksum, "classes": self.class_names}

    def expect(self, identity: Any, whose: object) -> None:
        """Have ``setup()`` warn where the data are not those of an earlier ``identity``."""
        self._expected, self._expected_by = identity, whose

    def setup(self) -> None:
        """Load the images, once; refuse a ``val_size`` or ``batch_size`` too large for them."""
        if self._is_set_up:
            return
        with progress(f"reading {self.name}"):
            train, test = self.source.load()
        self.checksum = _checksum(train, test)
        if self.source.has_partners and not self.with_partners:
            first = slice(self.image_shape[0])
            train, test = (replace(each, images=each.images[:, first]) for each in (train, test))
        if words := changes(self._expected, self.identity):
            log.warning("other data than that of %s: %s", self._expected_by, words)
        train, held_out = self._hold_out(train)
        if self.batch_size > len(train.labels):
            raise ValueError(
                f"data.batch_size={self.batch_size} is more than the "
                f"{len(train.labels):,} training images of {self.name}"
            )
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
        cut = num_images - self.val_size
        rest: slice | Tensor = slice(cut)
        held_out: slice | Tensor = slice(cut, num_images)
        # Slices are views of the source's own tensors, indices copy.
        if self.val_size and not train.is_shuffled:
            order = torch.randperm(num_images, generator=generator(HOLD_OUT_SEED, "hold-out"))
            held_out, rest = (part.sort().values for part in order.tensor_split([self.val_size]))
        return (
            ImageSet(train.images[rest], train.labels[rest]),
            ImageSet(train.images[held_out], train.labels[held_out]),
        )

    def train_dataloader(
        self, device: torch.device | None = None, is_shuffled: bool = True
    ) -> BatchLoader:
        """Full batches of the training images in an order of their own each epoch.

        Batches are on ``device``; where it is None, where the images are. Unless ``is_shuffled``
        they are the same batches every epoch, in order, the last one not full.
        """
        data = _on(device, ImageSet(self.train_images, self.train_labels))
        if not is_shuffled:
            return BatchLoader(data, self.pixel_range, self.batch_size, device)
        return ShuffledBatchLoader(
            data, self.pixel_range, self.batch_size, self.seed, device, self.augment
        )

    def val_dataloader(self, device: torch.device | None = None) -> BatchLoader:
        """All validation images, in order."""
        data = _on(device, ImageSet(self.val_images, self.val_labels))
        return BatchLoader(data, self.pixel_range, self.batch_size, device)


def _on(device: torch.device | None, data: ImageSet) -> ImageSet:
    if device is None or data.images.nbytes > SHARE_OF_DEVICE * free_bytes(device):
        return data
    return ImageSet(data.images.to(device), data.labels.to(device))


def free_bytes(device: torch.device) -> float:
    """How much memory is free on a GPU; without limit elsewhere, where nothing need be copied."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else math.inf


def _checksum(*image_sets: ImageSet) -> str:
    digest = hashlib.sha256()
    for image_set in image_sets:
        digest.update(image_set.images.contiguous().numpy().data)
        digest.update(image_set.labels.contiguous().numpy().data)
    return digest.hexdigest()
