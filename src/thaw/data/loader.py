"""Batches by indexing one tensor of images, in an order that seed and epoch decide."""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from thaw.data.augment import Transform, augmented
from thaw.data.sources import ImageSet
from thaw.pixels import PixelRange
from thaw.seeding import derive_seed, generator

Batch = tuple[Tensor, Tensor]


class EpochShuffle:
    """The order of an epoch's items: a permutation that (seed, epoch) alone decides.

    Lightning calls ``set_epoch`` on the ``sampler`` of a loader before each epoch.
    """

    def __init__(self, num_items: int, seed: int) -> None:
        self.num_items = num_items
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order that ``order`` returns; epochs count from 0."""
        self.epoch = epoch

    def order(self) -> Tensor:
        """int64 ``[num_items]``, on the CPU so that every device sees the same order."""
        return torch.randperm(self.num_items, generator=generator(self.seed, "shuffle", self.epoch))


class BatchLoader:
    """All images in order, in batches ``(x_0, labels)``; the last batch holds what is left.

    ``x_0`` is float32 ``[B, C, H, W]`` in ``pixel_range`` (with partners ``[B, 2C, H, W]``),
    ``labels`` int64 ``[B]``, both on ``device``, to which a batch is copied where the images are
    elsewhere (None: never). Where several processes train together each has all of a batch.
    """

    def __init__(
        self,
        data: ImageSet,
        pixel_range: PixelRange,
        batch_size: int,
        device: torch.device | None = None,
    ) -> None:
        self.data = data
        self.pixel_range = pixel_range
        self.device = data.images.device if device is None else device
        # Where each batch starts, and where the last one ends.
        self._bounds = [*range(0, len(data.labels), batch_size), len(data.labels)]

    def __len__(self) -> int:
        """The number of batches."""
        return len(self._bounds) - 1

    def __iter__(self) -> Iterator[Batch]:
        """One pass over the images."""
        for images, labels in self._stored(torch.arange(len(self.data.labels)), first=0):
            yield self.pixel_range.from_uint8(images), labels

    def _stored(self, order: Tensor, first: int) -> Iterator[Batch]:
        """(images as stored, labels) on the device, from the batch number ``first`` on."""
        order = order.to(self.data.images.device)
        for start, stop in pairwise(self._bounds[first:]):
            rows = order[start:stop]
            # Copies whole images, which indexing by a tensor does not.
            images = self.data.images.index_select(0, rows)
            labels = self.data.labels.index_select(0, rows)
            yield images.to(self.device), labels.to(self.device)


class ShuffledBatchLoader(BatchLoader):
    """Images in a new order each epoch, in full batches; what is left over waits for another epoch.

    Lightning keeps ``state_dict`` in its checkpoints: after one from the middle of an epoch,
    exactly the batches not yet handed out follow. A batch counts from the moment it is handed out,
    so a checkpoint is exact between batches, not from inside a training step.
    """

    def __init__(
        self,
        data: ImageSet,
        pixel_range: PixelRange,
        batch_size: int,
        seed: int,
        device: torch.device | None = None,
        augment: Transform | None = None,
    ) -> None:
        """``seed`` and the epoch decide the order; with the batch, what is augmented how."""
        super().__init__(data, pixel_range, batch_size, device)
        self._bounds = list(range(0, len(data.labels) + 1, batch_size))
        self.seed = seed
        self.augment = augment
        self.sampler = EpochShuffle(len(data.labels), seed)
        self._handed_out = {"epoch": 0, "batches": 0}
        self._resume: dict[str, int] | None = None

    def __iter__(self) -> Iterator[Batch]:
        """The batches of the sampler's epoch."""
        # A generator, so that nothing is fixed before the first batch is asked for: Lightning sets
        # the epoch after it has called iter().
        epoch = self.sampler.epoch
        resume, self._resume = self._resume, None
        first = resume["batches"] if resume is not None and resume["epoch"] == epoch else 0
        stored = self._stored(self.sampler.order(), first)
        for index, (images, labels) in enumerate(stored, start=first):
            if self.augment is not None:
                seed = derive_seed(self.seed, "augment", epoch, index, 0)
                images = augmented(images, self.augment, seed)
            self._handed_out = {"epoch": epoch, "batches": index + 1}
            yield self.pixel_range.from_uint8(images), labels

    def state_dict(self) -> dict[str, int]:
        """The epoch, and how many of its batches have been handed out."""
        return dict(self._handed_out)

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Let the next iteration, if it is of the same epoch, start where ``state`` stopped."""
        self._handed_out = dict(state)
        self._resume = dict(state)
