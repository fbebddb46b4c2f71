"""The images as Lightning takes them: when they are read, and on which device batches are."""

import pytorch_lightning as pl
import torch

from thaw.data.loader import Batch, BatchLoader
from thaw.data.module import ImageDataModule


class Loaders(pl.LightningDataModule):
    """Hands the batches of ``data`` to Lightning, on the training device."""

    def __init__(self, data: ImageDataModule) -> None:
        super().__init__()
        self.data = data

    def prepare_data(self) -> None:
        """Load in one process first: with DDP, only that one may have to download."""
        self.data.setup()

    def setup(self, stage: str) -> None:
        self.data.setup()

    def train_dataloader(self) -> BatchLoader:
        # Lightning arranges the same batches every epoch for torch's DataLoader only.
        is_overfitted = getattr(self.trainer, "overfit_batches", 0) > 0
        return self.data.train_dataloader(self._device(), is_shuffled=not is_overfitted)

    def val_dataloader(self) -> BatchLoader:
        return self.data.val_dataloader(self._device())

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """``(x_0, labels)`` on ``device``: the same tensors where they are there already."""
        x_0, labels = batch
        return x_0.to(device), labels.to(device)

    def _device(self) -> torch.device:
        assert self.trainer is not None
        device: torch.device = self.trainer.strategy.root_device
        return device
