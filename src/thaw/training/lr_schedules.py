"""Learning-rate schedules over the whole of a run, stepped once an optimiser step."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from thaw.checks import check_between


def one_cycle(optimizer: Optimizer, num_steps: int, warmup: float = 0.1) -> LambdaLR:
    """Up a line to ``optimizer.lr`` over a share of the steps, down a cosine to 0 (Smith 2018).

    Args:
        optimizer: whose learning rates are the peak.
        num_steps: of the whole run; the rate stays 0 beyond.
        warmup: share of the steps, in [0, 1], before the peak.

    Raises:
        ValueError: warmup is not between 0 and 1.
    """
    check_between("lr_scheduler.warmup", warmup, 0, 1)
    num_warm = round(warmup * num_steps)

    def share_of_peak(step: int) -> float:
        if step < num_warm:
            return (step + 1) / num_warm
        left = min((step - num_warm) / max(num_steps - num_warm, 1), 1.0)
        return (1 + math.cos(math.pi * left)) / 2

    return LambdaLR(optimizer, share_of_peak)
