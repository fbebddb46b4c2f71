"""A plain training loop over the parts of thaw.diffusion, for networks at equal core-seconds.

What a step costs is measured on one thread of the CPU, in turns with a reference network, and each
contender takes as many steps as the same core-seconds allow, at the end of which its learning rate
is 0. The steps themselves run on a GPU where there is one, in the same precision, several models
side by side (``SIDE_BY_SIDE``, 1 unless given).
"""

import copy
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor, nn

from thaw.commands.malloc import keep_freed_memory
from thaw.data import sources
from thaw.diffusion.generation import generate
from thaw.diffusion.objectives import Objective
from thaw.diffusion.priors.base import Prior
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Sampler
from thaw.metrics.encoders import load_encoder
from thaw.metrics.suite import ScoreSuite
from thaw.training.lr_schedules import one_cycle

Job, Result = TypeVar("Job"), TypeVar("Result")
EMA_DECAY = 0.9999
CLIP = 1.0
WARM_UP, MEASURED = 2, 5
ROUNDS = 3
ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_GPU else "cpu")


@dataclass(frozen=True)
class Recipe:
    """What is trained and how; ``make`` gives a new model of the same first weights each time."""

    make: Callable[[], tuple[Restorer, Objective]]
    lr: float = 3e-3
    batch_size: int = 64
    ema_decay: float = EMA_DECAY
    augment: Callable[[Tensor], Tensor] = lambda images: images


def prepare() -> None:
    """One thread, freed memory kept as train.py does, and float32 as on a CPU."""
    keep_freed_memory()
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False


def side_by_side(
    function: Callable[[Job], Result], jobs: Iterable[Job]
) -> Iterator[tuple[Job, Result]]:
    """Each job with its result, as they come, from SIDE_BY_SIDE processes."""
    processes = int(os.environ.get("SIDE_BY_SIDE", 1))
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, spawning, initializer=prepare) as pool:
        futures = {pool.submit(function, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()


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


def train(recipe: Recipe, images: Tensor, num_steps: int, seed: int = 0) -> Restorer:
    """The average of the weights after so many steps on uint8 images."""
    torch.manual_seed(seed)
    restorer, objective = recipe.make()
    restorer, images = restorer.to(DEVICE), images.to(DEVICE)
    draws = torch.Generator(DEVICE).manual_seed(seed)
    weights = list(restorer.network.parameters())
    lr = torch.tensor(recipe.lr, device=DEVICE) if ON_GPU else recipe.lr
    optimizer = torch.optim.Adam(weights, lr=lr, fused=True, capturable=ON_GPU)
    schedule = one_cycle(optimizer, num_steps)
    average = copy.deepcopy(restorer)
    averaged = list(average.network.parameters())

    def step(x_0: Tensor) -> None:
        optimizer.zero_grad()
        objective(restorer, x_0, draws).backward()
        nn.utils.clip_grad_norm_(weights, CLIP)
        optimizer.step()

    order = torch.empty(0, dtype=torch.int64, device=DEVICE)
    for number in range(num_steps):
        if len(order) < recipe.batch_size:
            order = torch.randperm(len(images), generator=draws, device=DEVICE)
        chosen, order = order[: recipe.batch_size], order[recipe.batch_size :]
        x_0 = restorer.pixel_range.from_uint8(recipe.augment(images[chosen]))
        if ON_GPU and not number:
            step = recorded(step, x_0, optimizer, draws)
        step(x_0)
        schedule.step()
        kept = min(recipe.ema_decay, (1 + number) / (10 + number))
        with torch.no_grad():
            torch._foreach_lerp_(averaged, weights, 1 - kept)
    return average.eval()


def recorded(
    step: Callable[[Tensor], None],
    x_0: Tensor,
    optimizer: torch.optim.Optimizer,
    draws: torch.Generator,
) -> Callable[[Tensor], None]:
    """The step as a CUDA graph: kernels as small as these take less time than their launches."""
    weights = [p for group in optimizer.param_groups for p in group["params"]]
    before, drawn = [w.detach().clone() for w in weights], draws.get_state()
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP):
            step(x_0)
    torch.cuda.current_stream().wait_stream(aside)
    with torch.no_grad():
        torch._foreach_copy_(weights, before)
        for state in optimizer.state.values():
            torch._foreach_zero_(list(state.values()))
    draws.set_state(drawn)
    graph, buffer = torch.cuda.CUDAGraph(), x_0.clone()
    graph.register_generator_state(draws)
    with torch.cuda.graph(graph):
        step(buffer)

    def replay(x_0: Tensor) -> None:
        buffer.copy_(x_0)
        graph.replay()

    return replay


def scores(
    restorer: Restorer, sampler: Sampler, prior: Prior, suite: ScoreSuite, num_samples: int
) -> dict[str, float]:
    """Every score of images generated from the prior."""
    suite.reset()
    for x_0 in generate(restorer, sampler, prior, num_samples, 250, seed=0):
        suite.update(restorer.pixel_range.to_uint8(x_0))
    return suite.compute()


@cache
def training_images(name: str) -> Tensor:
    """Uint8 ``[N, 1, 28, 28]`` of ``mnist_5k``, or of ``mnist`` at $THAW_DATA."""
    whole = name == "mnist"
    source = sources.MNIST(os.environ["THAW_DATA"]) if whole else sources.MNIST5k()
    return source.load()[0].images


@cache
def score_suite() -> ScoreSuite:
    """The scores, on the device."""
    return ScoreSuite(load_encoder("mnist")).to(DEVICE)


def mean_and_spread(values: Sequence[float]) -> str:
    """``4.12 ± 0.30``: the mean and the standard deviation over seeds; empty without values."""
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.2f}{spread}" if values else ""
