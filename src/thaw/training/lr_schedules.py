"""Learning-rate schedules over a whole run, stepped once per optimiser step.

Each takes the optimiser, whose learning rates are the peak; ``num_steps``, the steps of the whole
run, after which the rate stays; and ``warmup``, the share of the steps of a linear rise before.
"""

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from thaw.checks import Share, checked


@checked
def warm_up(optimizer: Optimizer, num_steps: int, warmup: Share = 0.05) -> LambdaLR:
    """A linear rise to the peak, then constant (Goyal et al. 2017)."""
    return _warmed_up(optimizer, num_steps, warmup, lambda _: 1.0)


@checked
def cosine(
    optimizer: Optimizer, num_steps: int, warmup: Share = 0.0, final: Share = 0.0
) -> LambdaLR:
    """Down a cosine from the peak (Loshchilov and Hutter 2017, equation 5, one period).

    ``final`` is the share of the peak at the end of the cosine.
    """

    def share_of_peak(done: float) -> float:
        return final + (1 - final) * (1 + math.cos(math.pi * done)) / 2

    return _warmed_up(optimizer, num_steps, warmup, share_of_peak)


@checked
def one_cycle(optimizer: Optimizer, num_steps: int, warmup: Share = 0.1) -> LambdaLR:
    """A linear rise to the peak, then down a cosine to 0 (Smith 2018)."""
    return cosine(optimizer, num_steps, warmup)


def _warmed_up(
    optimizer: Optimizer, num_steps: int, warmup: float, after: Callable[[float], float]
) -> LambdaLR:
    """``after(share done of the steps that follow the warm-up)``, in shares of the peak."""
    num_warm = round(warmup * num_steps)

    def share_of_peak(step: int) -> float:
        if step < num_warm:
            return (step + 1) / num_warm
        return after(min((step - num_warm) / max(num_steps - num_warm, 1), 1.0))

    return LambdaLR(optimizer, share_of_peak)
