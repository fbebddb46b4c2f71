"""An exponential moving average of the weights, which is then evaluated in their place."""

import copy
from typing import Annotated, Self

import torch
from annotated_types import Gt, Lt
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from thaw.checks import checked
from thaw.diffusion.restorer import Restorer


class EMA(nn.Module):
    """average_n = d_n average_{n-1} + (1 - d_n) w_n after each step n = 0, 1, ... of the optimiser.

    d_0 = 0: the random weights before the first step do not count. Afterwards d_n = decay (Ho et
    al. 2020, appendix B: 0.9999); with warm-up d_n = min(decay, (1 + n) / (10 + n)) (TensorFlow's
    ExponentialMovingAverage, as in the code of Song et al. 2021), which averages over the last
    ninth of the steps until decay takes over. The arithmetic is torch's.

    Torch's AveragedModel reads its counter from the device twice a step, so that each step waits
    for the one before; here the counter is a Python number. Lightning's callback copies the whole
    module, including a prior's images, and uses its average in validation only.

    ``average`` is a copy of the restorer, always in evaluation mode and without gradients; its
    buffers are the restorer's latest, its degradation is the restorer's. The state dict holds it
    and the number of updates.

    Args:
        restorer: the model that is trained.
        decay: the largest d_n.
        warmup: whether d_n starts small.
    """

    @checked
    def __init__(
        self,
        restorer: Restorer,
        decay: Annotated[float, Gt(0), Lt(1)] = 0.9999,
        warmup: bool = True,
    ) -> None:
        super().__init__()
        self.decay = decay
        self.warmup = warmup
        self.num_updates = 0
        self.average = copy.deepcopy(restorer).requires_grad_(False)
        self.average.degradation = restorer.degradation
        self.train(False)

    def decay_at(self, n: int) -> float:
        """d_n of the update after step n, counted from 0."""
        if n == 0:
            return 0.0
        return min(self.decay, (1 + n) / (10 + n)) if self.warmup else self.decay

    @torch.no_grad()
    def update(self, restorer: Restorer) -> None:
        """Add the weights after a step of the optimiser to the average."""
        average = get_ema_multi_avg_fn(self.decay_at(self.num_updates))
        average(list(self.average.parameters()), list(restorer.parameters()), self.num_updates)
        for kept, current in zip(self.average.buffers(), restorer.buffers(), strict=True):
            kept.copy_(current)
        self.num_updates += 1

    def train(self, mode: bool = True) -> Self:
        """Always evaluation mode: an average is never trained."""
        return super().train(False)

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.num_updates)

    def set_extra_state(self, state: Tensor) -> None:
        self.num_updates = int(state)
