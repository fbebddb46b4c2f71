"""Learning-rate schedules over the whole of a run, stepped once an optimiser step."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from thaw.checks import check_between


def one_cycle(optimizer: Optimizer, num_steps: int, warmup: float = 0.1) -> LRScheduler:
    """Up to ``optimizer.lr`` over a share ``warmup`` of the steps, then down (Smith 2018).

    Raises:
        ValueError: warmup is not between 0 and 1.
    """
    check_between("lr_scheduler.warmup", warmup, 0, 1)
    return OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=num_steps,
        pct_start=warmup,
        cycle_momentum=False,
    )
