"""The losses of the batches of an epoch, left on the device until somebody reads them."""

from collections.abc import Sequence

import torch
from torch import Tensor


class EpochLosses:
    """Filled by each training step, read by callbacks, emptied after the epoch.

    No training step waits for the device; :meth:`read` does.
    """

    def __init__(self) -> None:
        self._losses: list[Tensor] = []

    def __len__(self) -> int:
        return len(self._losses)

    def add(self, loss: Tensor) -> None:
        """Keep the loss of the latest batch, a scalar."""
        self._losses.append(loss)

    def read(self, last: int = 0) -> Tensor:
        """The losses of the ``last`` batches, 0 for all of the epoch, float32 on the CPU."""
        losses = self._losses[-last:]
        return torch.stack(losses).float().cpu() if losses else torch.empty(0)

    def restore(self, losses: Sequence[Tensor]) -> None:
        """Put the losses of batches before this process's first batch in front."""
        self._losses[:0] = losses

    def clear(self) -> None:
        """Forget them."""
        self._losses.clear()
