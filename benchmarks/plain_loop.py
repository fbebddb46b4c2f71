"""A plain training loop over the parts of thaw.diffusion, for networks at equal core-seconds.

One thread. What a step costs is measured in turns with a reference network, and each contender
takes as many steps as the same core-seconds allow, at the end of which its learning rate is 0.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thaw.commands.malloc import keep_freed_memory
from thaw.diffusion.generation import generate
from thaw.diffusion.objectives import Objective
from thaw.diffusion.priors.base import Prior
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Sampler
from thaw.metrics.suite import ScoreSuite
from thaw.training.lr_schedules import one_cycle

EMA_DECAY = 0.9999
CLIP = 1.0
WARM_UP, MEASURED = 2, 5
ROUNDS = 3


@dataclass(frozen=True)
class Recipe:
    """What is trained and how; ``make`` gives a new model of the same first weights each time."""

    make: Callable[[], tuple[Restorer, Objective]]
    lr: float = 3e-3
    batch_size: int = 64
    ema_decay: float = EMA_DECAY
    augment: Callable[[Tensor], Tensor] = lambda images: images


def prepare() -> None:
    """One thread, and freed memory kept, as train.py does."""
    keep_freed_memory()
    torch.set_num_threads(1)


def step_seconds(recipes: list[Recipe], x_0: Tensor) -> list[float]:
    """Core-seconds of a step of each, the least of several rounds in turns."""
    spent: list[list[float]] = [[] for _ in recipes]
    for _ in range(ROUNDS):
        for recipe, times in zip(recipes, spent, strict=True):
            times.append(_step_seconds(recipe, x_0))
    return [min(times) for times in spent]


def _step_seconds(recipe: Recipe, x_0: Tensor) -> float:
    restorer, objective = recipe.make()
    optimizer = torch.optim.Adam(restorer.network.parameters(), fused=True)
    times = []
    for _ in range(WARM_UP + MEASURED):
        start = time.process_time()
        optimizer.zero_grad()
        objective(restorer, x_0[: recipe.batch_size]).backward()
        optimizer.step()
        times.append(time.process_time() - start)
    return min(times[WARM_UP:])


def train(recipe: Recipe, images: Tensor, num_steps: int, seed: int = 0) -> tuple[Restorer, float]:
    """The average of the weights after so many steps on uint8 images, and the core-seconds."""
    torch.manual_seed(seed)
    restorer, objective = recipe.make()
    draws = torch.Generator().manual_seed(seed)
    weights = list(restorer.network.parameters())
    optimizer = torch.optim.Adam(weights, lr=recipe.lr, fused=True)
    schedule = one_cycle(optimizer, num_steps)
    average = copy.deepcopy(restorer)
    averaged = list(average.network.parameters())
    start, order = time.process_time(), torch.empty(0, dtype=torch.int64)
    for step in range(num_steps):
        if len(order) < recipe.batch_size:
            order = torch.randperm(len(images), generator=draws)
        chosen, order = order[: recipe.batch_size], order[recipe.batch_size :]
        x_0 = restorer.pixel_range.from_uint8(recipe.augment(images[chosen]))
        optimizer.zero_grad()
        objective(restorer, x_0, draws).backward()
        nn.utils.clip_grad_norm_(weights, CLIP)
        optimizer.step()
        schedule.step()
        kept = min(recipe.ema_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(averaged, weights, 1 - kept)
    return average.eval(), time.process_time() - start


def scores(
    restorer: Restorer, sampler: Sampler, prior: Prior, suite: ScoreSuite, num_samples: int
) -> dict[str, float]:
    """Every score of images generated from the prior."""
    suite.reset()
    for x_0 in generate(restorer, sampler, prior, num_samples, 250, seed=0):
        suite.update(restorer.pixel_range.to_uint8(x_0))
    return suite.compute()
