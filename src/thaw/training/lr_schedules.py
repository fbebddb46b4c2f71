"""Learning-rate schedules over the whole of a run, stepped once an optimiser step."""

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from thaw.checks import check_between


def warm_up(optimizer: Optimizer, num_steps: int, warmup: float = 0.05) -> LambdaLR:
    """Up a line to ``optimizer.lr`` over a share of the steps, then constant (Goyal et al. 2017).

    Args:
        optimizer: whose learning rates are reached and kept.
        num_steps: of the whole run.
        warmup: share of the steps, in [0, 1], until then.

    Raises:
        ValueError: warmup is not between 0 and 1.
    """
    return _warmed_up(optimizer, num_steps, warmup, lambda _: 1.0)


def cosine(
    optimizer: Optimizer, num_steps: int, warmup: float = 0.0, final: float = 0.0
) -> LambdaLR:
    """Down a cosine from ``optimizer.lr`` (Loshchilov and Hutter 2017, equation 5, one period).

    Args:
        optimizer: whose learning rates are the peak.
        num_steps: of the whole run; the rate keeps its last value beyond.
        warmup: share of the steps, in [0, 1], of a line up to the peak before.
        final: share of the peak, in [0, 1], that the cosine ends at.

    Raises:
        ValueError: warmup or final is not between 0 and 1.
    """
    check_between("lr_scheduler.final", final, 0, 1)
    return _warmed_up(
        optimizer,
        num_steps,
        warmup,
        lambda done: final + (1 - final) * (1 + math.cos(math.pi * done)) / 2,
    )


def one_cycle(optimizer: Optimizer, num_steps: int, warmup: float = 0.1) -> LambdaLR:
    """Up a line to ``optimizer.lr`` over a share of the steps, down a cosine to 0 (Smith 2018).

    Args:
        optimizer: whose learning rates are the peak.
        num_steps: of the whole run; the rate stays 0 beyond.
        warmup: share of the steps, in [0, 1], before the peak.

    Raises:
        ValueError: warmup is not between 0 and 1.
    """
    return cosine(optimizer, num_steps, warmup)


def _warmed_up(
    optimizer: Optimizer, num_steps: int, warmup: float, after: Callable[[float], float]
) -> LambdaLR:
    """``after(share done of the steps that follow the warm-up)``, in shares of the peak."""
    check_between("lr_scheduler.warmup", warmup, 0, 1)
    num_warm = round(warmup * num_steps)

    def share_of_peak(step: int) -> float:
        if step < num_warm:
            return (step + 1) / num_warm
        return after(min((step - num_warm) / max(num_steps - num_warm, 1), 1.0))

    return LambdaLR(optimizer, share_of_peak)
