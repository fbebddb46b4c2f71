"""An exponential moving average of the weights, which is what a model is then judged by."""

import copy
from typing import Self

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from thaw.checks import check_between, check_bool
from thaw.diffusion.restorer import Restorer


class EMA(nn.Module):
    """average_n = d_n average_{n-1} + (1 - d_n) w_n after each step n = 0, 1, ... of the optimiser.

    d_0 = 0: the random weights before the first step have no share. Afterwards d_n = decay (Ho et
    al. 2020, appendix B: 0.9999); with warm-up d_n = min(decay, (1 + n) / (10 + n)) (TensorFlow's
    ExponentialMovingAverage, as in the code of Song et al. 2021), which averages over the last
    ninth of the steps until decay takes over. The arithmetic is torch's.

    Torch's AveragedModel reads its counter from the device twice a step, and each step would wait
    for the one before; here it is a number of the host. Lightning's callback copies the whole
    module, a prior's images included, and in training lends its average to validation alone.

    ``average`` is a copy of the restorer, always in evaluation mode and without gradients; its
    buffers are the restorer's latest, its degradation is the restorer's. The state dict holds it
    and the number of updates.

    Args:
        restorer: the model that is trained.
        decay: the largest d_n, between 0 and 1, ends excluded.
        warmup: whether d_n starts small.

    Raises:
        ValueError: decay or warmup is not of that kind.
    """

    def __init__(self, restorer: Restorer, decay: float = 0.9999, warmup: bool = True) -> None:
        super().__init__()
        check_between("ema.decay", decay, 0, 1, open_=True)
        check_bool("ema.warmup", warmup)
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
        """Take the weights as a step of the optimiser has left them into the average."""
        average = get_ema_multi_avg_fn(self.decay_at(self.num_updates))
        average(list(self.average.parameters()), list(restorer.parameters()), self.num_updates)
        for kept, current in zip(self.average.buffers(), restorer.buffers(), strict=True):
            kept.copy_(current)
        self.num_updates += 1

    def train(self, mode: bool = True) -> Self:
        """Evaluation mode, whatever is asked: an average is never trained."""
        return super().train(False)

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.num_updates)

    def set_extra_state(self, state: Tensor) -> None:
        self.num_updates = int(state)
