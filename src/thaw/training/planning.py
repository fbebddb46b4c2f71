"""How many epochs a run has time for: measured on a few steps, planned before the first one."""

import copy
import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from thaw.diffusion.inference import MAX_ON_CPU, evaluating
from thaw.diffusion.restoration import Restoration
from thaw.training.scoring_generated import affordable
from thaw.training.training import Training

log = logging.getLogger(__name__)
# Share of the time for what is not measured: checkpoints, grids, figures, a machine that slows.
RESERVE = 0.15
WARM_UP = 3
MEASURED_S = 1.5
FEWEST, MOST = 8, 50
# As the process began; the plan of an earlier job of a sweep may have taken fewer.
ALL_THREADS = torch.get_num_threads()


@dataclass(frozen=True)
class Work:
    """Answers of the network without gradients, and images that the encoder looks at."""

    answers: int = 0
    encoded: int = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(self.answers + other.answers, self.encoded + other.encoded)


@dataclass(frozen=True)
class Speed:
    """Seconds for a step of training, for an image's answer and for its encoding."""

    step: float
    answer: float
    encoding: float

    def seconds(self, work: Work) -> float:
        return work.answers * self.answer + work.encoded * self.encoding


def plan(training: Training, seconds: float) -> int:
    """The number of epochs that fit into so many seconds, with all scores; at least 1.

    The data has been read and everything fitted. Neither weights nor random numbers of the run are
    touched. On a CPU one thread is tried beside all of them, and the faster number kept: where
    other work is going on, threads wait for each other.
    """
    start = time.monotonic()
    speed = _by_the_faster_threads(training)
    seconds -= time.monotonic() - start
    steps = num_steps(training)
    metrics = training.cfg.metrics
    at_end = speed.seconds(final_work(training))
    scores = speed.seconds(epoch_work(training)) / metrics.every_n_epochs
    epoch = steps * speed.step + speed.seconds(validation_work(training)) + scores
    left = (1 - RESERVE) * seconds - at_end
    epochs = max(1, int(left / epoch))
    if (given := training.cfg.trainer.max_epochs) not in (None, -1):
        epochs = min(epochs, given)
    log.info(
        "planned: %d epochs of %d steps, %.0f ms a step (%d threads): %.0f s of training, %.0f s "
        "of scores",
        epochs,
        steps,
        1000 * speed.step,
        torch.get_num_threads(),
        epochs * (epoch - scores),
        at_end + epochs * scores,
    )
    return epochs


def _by_the_faster_threads(training: Training) -> Speed:
    speeds: dict[int, Speed] = {}
    for threads in {ALL_THREADS, 1} if training.device.type == "cpu" else {ALL_THREADS}:
        torch.set_num_threads(threads)
        speeds[threads] = measured(training)
    threads = min(speeds, key=lambda number: speeds[number].step)
    torch.set_num_threads(threads)
    return speeds[threads]


def measured(training: Training) -> Speed:
    """The speed of a copy of the model on training images."""
    trial = _Trial(training)
    with torch.random.fork_rng():
        return Speed(
            _median(trial.step),
            _median(trial.answer) / trial.num_few,
            _median(trial.encode) / trial.num_few,
        )


class _Trial:
    """The first batch, and copies of what a step of training changes."""

    def __init__(self, training: Training) -> None:
        experiment, device = training.experiment, training.device
        data, module = experiment.data, experiment.module
        self.images = data.train_images[: data.batch_size].to(device)
        self.restorer = copy.deepcopy(module.restorer).to(device)
        self.objective = copy.deepcopy(module.objective).to(device)
        self.ema = copy.deepcopy(module.ema)
        if self.ema is not None:
            self.ema.to(device)
        self.optimizer = module.optimizer(self.restorer.network.parameters())
        self.clip = training.cfg.trainer.gradient_clip_val
        self.precision = training.trainer.precision_plugin.forward_context
        self.encoder = None if experiment.suite is None else experiment.suite.encoder
        self.x_0 = self.restorer.pixel_range.from_uint8(self.images)
        labels = data.train_labels[: data.batch_size].to(device)
        self.labels = None if self.restorer.num_classes is None else labels
        self.draws = torch.Generator(device).manual_seed(0)
        self.num_few = min(MAX_ON_CPU, len(self.images))
        self.shown = data.shown(self.images[: self.num_few])

    def step(self) -> None:
        self.optimizer.zero_grad()
        with self.precision():
            loss = self.objective(self.restorer, self.x_0, self.draws, self.labels)
        loss.backward()
        if self.clip:
            torch.nn.utils.clip_grad_norm_(self.restorer.network.parameters(), self.clip)
        self.optimizer.step()
        if self.ema is not None:
            self.ema.update(self.restorer)
        loss.item()

    def answer(self) -> None:
        few, noise = self.restorer.degradation.draw(self.x_0[: self.num_few], self.draws)
        t = torch.ones(len(few), dtype=torch.int64, device=few.device)
        with evaluating(self.restorer), self.precision():
            self.restorer(few, t, noise).mean().item()

    def encode(self) -> None:
        if self.encoder is not None:
            self.encoder.encode(self.shown)[0].mean().item()


def num_steps(training: Training) -> int:
    """Batches of an epoch, as far as ``trainer.limit_train_batches`` allows."""
    return _limited(
        len(training.experiment.data.train_dataloader()), training.trainer.limit_train_batches
    )


def validation_work(training: Training) -> Work:
    """What val/loss takes."""
    data, limit = training.experiment.data, training.trainer.limit_val_batches
    return Work(answers=_limited(len(data.val_dataloader()), limit) * data.batch_size)


def epoch_work(training: Training) -> Work:
    """What the scores of an epoch take."""
    metrics, experiment = training.cfg.metrics, training.experiment
    work = Work()
    if experiment.suite is not None:
        evaluations = experiment.score_sampler.num_evaluations(experiment.restorer.degradation)
        work += Work(metrics.num_samples * evaluations, metrics.num_samples)
    if training.restored_stages:
        restoration = Restoration(experiment.restorer, experiment.score_sampler)
        work += _restored(restoration, metrics.num_restored_each_epoch)
    return work


def final_work(training: Training) -> Work:
    """What the scores after training take."""
    metrics, experiment = training.cfg.metrics, training.experiment
    restorer = experiment.restorer
    sampler = affordable(experiment.sampler, restorer)
    work = _restored(Restoration(restorer, sampler), metrics.num_restored)
    if experiment.suite is not None:
        evaluations = sampler.num_evaluations(restorer.degradation)
        num_samples = metrics.final_num_draws * metrics.final_num_samples
        work += Work(num_samples * evaluations, num_samples)
    return work


def _restored(restoration: Restoration, num_images: int) -> Work:
    ways = len(restoration.stages) - 1
    return Work(num_images * restoration.num_evaluations(), num_images * ways)


def _limited(num_batches: int, limit: int | float | None) -> int:
    """As Lightning reads its limits: a number of batches, or a share of them."""
    if isinstance(limit, float):
        return max(1, int(num_batches * limit))
    return num_batches if limit is None else min(num_batches, limit)


def _median(work: Callable[[], None]) -> float:
    """Seconds that a piece of work takes, once it is warm."""
    spent: list[float] = []
    while len(spent) < FEWEST or (sum(spent) < MEASURED_S and len(spent) < MOST):
        start = time.perf_counter()
        work()
        spent.append(time.perf_counter() - start)
    return statistics.median(spent[WARM_UP:])
