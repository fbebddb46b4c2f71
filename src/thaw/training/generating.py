"""Images that an experiment generates, and how they come about, as bytes on the CPU."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Generator, Tensor

from thaw.checks import check
from thaw.diffusion.generation import generate, trajectory
from thaw.diffusion.inference import evaluating
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import State
from thaw.pixels import PixelRange
from thaw.training.experiment import Experiment
from thaw.training.scoring_generated import sampling

Start = tuple[Tensor, Tensor]


def generated_images(
    experiment: Experiment, num_samples: int, batch_size: int, seed: int, labels: Tensor | None
) -> Tensor:
    """uint8 ``[N, C, H, W]``; arguments as :func:`~thaw.diffusion.generation.generate`."""
    restorer, sampler = experiment.restorer, experiment.sampler
    size = (num_samples, batch_size)
    with sampling(f"generating {num_samples:,} images", restorer, sampler, *size):
        batches = generate(restorer, sampler, experiment.module.prior, *size, seed, labels)
        return torch.cat([as_bytes(x_0, restorer.pixel_range) for x_0 in batches])


def generated_states(
    experiment: Experiment, num_samples: int, draws: Generator, labels: Tensor | None
) -> list[State]:
    """Every state on the way from x_T to x_0, its images uint8 ``[N, C, H, W]``."""
    restorer, sampler = experiment.restorer, experiment.sampler
    parts = (restorer, sampler, experiment.module.prior, num_samples, draws, labels)
    what = f"the way to {num_samples:,} images"
    with evaluating(restorer), sampling(what, restorer, sampler, num_samples, num_samples):
        return [_shown(state, restorer.pixel_range) for state in trajectory(*parts)]


def drawn_start(
    experiment: Experiment, num_samples: int, draws: Generator, labels: Tensor | None
) -> Start:
    """(x_T, noise) of the prior, floats of the model's range on the generator's device."""
    restorer, prior = experiment.restorer, experiment.module.prior
    own = None if labels is None else labels.to(restorer.device)
    with torch.no_grad():
        return prior.draw(num_samples, restorer.degradation, draws, own)


def states_from(
    experiment: Experiment, start: Start, draws: Generator, labels: Tensor | None
) -> Iterator[State]:
    """Each state on the way from that (x_T, noise) to x_0, its images as bytes."""
    restorer, sampler = experiment.restorer, experiment.sampler
    own = None if labels is None else labels.to(restorer.device)
    x_T, noise = (part.to(restorer.device) for part in start)
    what, size = f"{len(x_T):,} images from their x_T", (len(x_T), len(x_T))
    with evaluating(restorer), sampling(what, restorer, sampler, *size):
        for state in sampler.trajectory(restorer, x_T, noise, draws, labels=own):
            yield _shown(state, restorer.pixel_range)


def labels_in_turn(
    restorer: Restorer, classes: int | Sequence[int], num_images: int, run_dir: Path
) -> Tensor:
    """The class of each image, int64 ``[N]``: one for all, or several that take turns.

    ValueError where the model of that run knows no classes, or not one of these.
    """
    if restorer.num_classes is None:
        raise ValueError(
            f"digit={classes} needs a class-conditional model, and {run_dir} has none; "
            "train.py trains one with, for ten classes, model.num_classes=10"
        )
    several = list(classes) if isinstance(classes, list | tuple) and classes else [classes]
    allowed = Annotated[int, Interval(ge=0, le=restorer.num_classes - 1)]
    for label in several:
        check("digit (or label)", label, allowed)
        if not restorer.class_frequencies[label]:
            raise ValueError(f"digit={label}: {run_dir} was trained on no image of that class")
    return torch.tensor(several)[torch.arange(num_images) % len(several)]


def as_bytes(images: Tensor, pixel_range: PixelRange) -> Tensor:
    """uint8 on the CPU from floats of the model's range, clamped to it."""
    return pixel_range.to_uint8(images).cpu()


def _shown(state: State, pixel_range: PixelRange) -> State:
    x_0_hat = None if state.x_0_hat is None else as_bytes(state.x_0_hat, pixel_range)
    return State(state.t, as_bytes(state.x_t, pixel_range), x_0_hat)
