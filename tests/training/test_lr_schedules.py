"""Learning-rate schedules against their closed forms, torch's and diffusers'."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers.optimization import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
)
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR
from training_helpers import fit, make_module

from thaw.training.lr_schedules import cosine, one_cycle, warm_up

PEAK = 0.01
SCHEDULES = (warm_up, cosine, one_cycle)


def rates(make: Callable[[Optimizer], LRScheduler], count: int) -> list[float]:
    """The learning rate of each of ``count`` steps."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=PEAK)
    scheduler = make(optimizer)
    found = []
    for _ in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_warm_up_is_that_of_diffusers_without_its_first_step_at_rate_zero() -> None:
    ours = rates(lambda optimizer: warm_up(optimizer, 50, warmup=0.2), 50)
    theirs = rates(lambda optimizer: get_constant_schedule_with_warmup(optimizer, 10), 51)
    assert theirs[0] == 0
    assert ours == pytest.approx(theirs[1:])


@pytest.mark.parametrize(
    ("step", "share"),
    [(0, 1), (25, (1 + math.sqrt(0.5)) / 2), (50, 0.5), (75, (1 - math.sqrt(0.5)) / 2), (100, 0)],
)
def test_cosine_at_its_quarters(step: int, share: float) -> None:
    found = rates(lambda optimizer: cosine(optimizer, 100), 120)
    assert found[step] == pytest.approx(PEAK * share, abs=1e-12)
    with_floor = rates(lambda optimizer: cosine(optimizer, 100, final=0.1), 120)
    assert with_floor[step] == pytest.approx(PEAK * (0.1 + 0.9 * share))
    assert set(with_floor[101:]) == {with_floor[100]}


def test_cosine_with_warm_up_is_torch_s_and_diffusers_() -> None:
    def of_torch(optimizer: Optimizer) -> LRScheduler:
        parts: list[Any] = [LinearLR(optimizer, 1 / 10, 1, 9), CosineAnnealingLR(optimizer, 40)]
        return SequentialLR(optimizer, parts, milestones=[10])

    ours = rates(lambda optimizer: cosine(optimizer, 50, warmup=0.2), 50)
    assert ours == pytest.approx(rates(of_torch, 50), rel=1e-9)
    theirs = rates(lambda optimizer: get_cosine_schedule_with_warmup(optimizer, 10, 50), 50)
    assert ours[10:] == pytest.approx(theirs[10:], rel=1e-9)


def test_one_cycle_peaks_at_the_given_rate_after_the_warm_up_and_ends_near_zero() -> None:
    found = rates(lambda optimizer: one_cycle(optimizer, 100, 0.2), 100)
    assert max(found) == pytest.approx(PEAK)
    assert found.index(max(found)) == 19
    assert found[:20] == pytest.approx([PEAK * (k + 1) / 20 for k in range(20)])
    assert found[60] == pytest.approx(PEAK / 2)  # half-way down
    assert found[-1] < 1e-3 * PEAK


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("warmup", "num_steps"), [(0, 1), (1, 1), (0.1, 10)])
def test_each_takes_the_ends_of_its_range_and_more_steps_than_planned(
    schedule: Callable[..., LRScheduler], warmup: float, num_steps: int
) -> None:
    found = rates(lambda optimizer: schedule(optimizer, num_steps, warmup), num_steps + 5)
    assert all(0 <= rate <= PEAK for rate in found)


def test_a_schedule_without_an_end_is_refused() -> None:
    module = make_module()
    module.lr_scheduler = cosine
    with pytest.raises(ValueError, match="set trainer.max_epochs or max_steps"):
        fit(module, max_epochs=-1)
