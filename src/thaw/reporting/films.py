"""What a page plays of a run: images at falling t, forwards, back by each way, and from nothing."""

import base64
import copy
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from thaw.diffusion.degradations.base import all_at
from thaw.diffusion.generation import trajectory
from thaw.diffusion.guidance import guided
from thaw.diffusion.inference import evaluating
from thaw.diffusion.restoration import Restoration, degraded, stage_title
from thaw.diffusion.samplers.base import State
from thaw.diffusion.samplers.grids import Trailing
from thaw.ranks import WHOLE
from thaw.seeding import generator
from thaw.training.experiment import labels_of
from thaw.training.loading import LoadedRun, load_run
from thaw.training.scoring_generated import affordable

MAX_IMAGES, MAX_WIDTH, MAX_CLASSES = 8, 256, 10
NUM_FRAMES = 13
SEEDS = (0, 1, 2)
GUIDANCES = (1.0, 2.0, 4.0)
ORIGINAL = "x_0, a test image"
# How well WebP keeps the pictures, 0 to 100. Without any loss noise takes three times the room.
QUALITY = 85


@dataclass(frozen=True)
class Film:
    """Named rows of images at the falling times ``ts``.

    A row is a picture as a data: URI, a frame for each t below the other. ``settings`` are what the
    film was made with, a choice for each knob of the page, such as ``seed``.
    """

    ts: list[int]
    rows: list[tuple[str, str]]
    sampler: str = ""
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Films:
    """All films of a run, by view: forward, restore, generate; of images ``width`` x ``height``.

    classes: of a class-conditional model, how many it generates one image each of; else 0.
    """

    title: str
    num_steps: int
    width: int
    height: int
    classes: int
    views: dict[str, list[Film]]


def films_of(run_dir: Path, title: str, data_root: str | None = None) -> Films:
    """The films of a run's last checkpoint; ``data_root`` is where its data is now.

    Raises:
        ValueError: there is no checkpoint that can be loaded, or its data is not at hand.
    """
    run = load_run(run_dir, data_root=data_root)
    try:
        run.experiment.data.setup()
    except (OSError, ValueError) as error:
        raise ValueError(f"its test images are not at hand: {error}") from error
    restorer = run.experiment.restorer
    with evaluating(restorer):
        views = {
            "forward": [_forward(run)],
            "restore": [_restored(run)],
            "generate": list(_generated(run)),
        }
    _, height, width = run.experiment.data.image_shape
    classes = min(restorer.num_classes or 0, MAX_CLASSES)
    return Films(title, restorer.degradation.num_steps, width, height, classes, views)


def _count(run: LoadedRun) -> int:
    """How many images a frame has: eight, and fewer where they are wide."""
    *_, width = run.experiment.data.image_shape
    return max(1, min(MAX_IMAGES, MAX_WIDTH // width))


def _sampler(run: LoadedRun) -> Any:
    return affordable(run.experiment.sampler, run.experiment.restorer)


def _start(run: LoadedRun) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Test images x_0, their x_T and its noise, and their labels."""
    experiment = run.experiment
    images = experiment.data.test_images[: _count(run)]
    (batch,) = WHOLE.batches(len(images), len(images))
    num_steps = experiment.restorer.degradation.num_steps
    x_0, x_T, noise, _ = degraded(experiment.restorer, images, num_steps, batch, seed=0)
    return x_0, x_T, noise, labels_of(experiment, "test", len(images))


def _forward(run: LoadedRun) -> Film:
    """x_t of test images with one noise, and what the network makes of each at once."""
    restorer = run.experiment.restorer
    degradation = restorer.degradation
    x_0, _, noise, labels = _start(run)
    steps = min(NUM_FRAMES - 1, degradation.num_steps)
    ts = Trailing().times(degradation.num_steps, steps)
    x_ts = [degradation(x_0, all_at(t, x_0), noise) if t else x_0 for t in ts]
    guidance = run.experiment.sampler.guidance
    x_0_hats = [
        guided(restorer, x_t, all_at(t, x_t), noise, labels, guidance) if t else x_0
        for t, x_t in zip(ts, x_ts, strict=True)
    ]
    rows = {ORIGINAL: [x_0] * len(ts), "x_t": x_ts, "x_0_hat, the network's guess": x_0_hats}
    return _film(run, ts, rows)


def _restored(run: LoadedRun) -> Film:
    """Every way back from the same x_T."""
    restorer = run.experiment.restorer
    x_0, x_T, noise, labels = _start(run)
    restoration = Restoration(restorer, _sampler(run))
    noise = restoration.known(noise, x_T)
    rows, ts = {}, []
    for name, way in restoration.ways.items():
        draws = generator(0, "film", name, device=restorer.device)
        told = labels if restoration.needs_labels else None
        states = _chosen(list(way.trajectory(restorer, x_T, noise, draws, labels=told)))
        ts = [state.t for state in states]
        title = stage_title(name)
        rows[f"{title}: x_t"] = [state.x_t for state in states]
        rows[f"{title}: x_0_hat"] = [_guess(state) for state in states]
    return _film(run, ts, rows | {ORIGINAL: [x_0] * len(ts)}, restoration.describe())


def _generated(run: LoadedRun) -> Iterator[Film]:
    """From nothing: by seed, and by guidance where the model is told classes, one image of each."""
    restorer, prior = run.experiment.restorer, run.experiment.module.prior
    labels, scales = None, [run.experiment.sampler.guidance]
    if restorer.num_classes is not None:
        labels = torch.arange(min(restorer.num_classes, MAX_CLASSES))
        scales = list(GUIDANCES) if restorer.label_dropout else [1.0]
    count = _count(run) if labels is None else len(labels)
    for seed in SEEDS:
        for scale in scales:
            sampler = copy.copy(_sampler(run))
            sampler.guidance = scale
            draws = generator(seed, "film", device=restorer.device)
            states = list(trajectory(restorer, sampler, prior, count, draws, labels))
            chosen = _chosen(states)
            settings = {"seed": f"{seed}"}
            if labels is not None:
                settings["guidance"] = f"{scale:g}"
            rows = {"x_t": [s.x_t for s in chosen], "x_0_hat": [_guess(s) for s in chosen]}
            by = sampler.describe(restorer.degradation)
            yield _film(run, [state.t for state in chosen], rows, by, settings)


def _chosen(states: Sequence[State]) -> list[State]:
    """At most 13 states, evenly, the first and the last among them, each with its own x_0_hat."""
    own = [state._replace(x_0_hat=after.x_0_hat) for state, after in pairwise(states)]
    last = states[-1]
    own.append(last._replace(x_0_hat=last.x_t))
    count = min(NUM_FRAMES, len(own))
    return [own[round(k * (len(own) - 1) / (count - 1))] for k in range(count)]


def _guess(state: State) -> Tensor:
    assert state.x_0_hat is not None
    return state.x_0_hat


def _film(
    run: LoadedRun,
    ts: list[int],
    rows: dict[str, list[Tensor]],
    sampler: str = "",
    settings: dict[str, str] | None = None,
) -> Film:
    """Each row's images ``[B, C, H, W]`` for each of ``ts`` as one picture."""
    pixel_range = run.experiment.restorer.pixel_range
    pictures = [
        (name, _uri(torch.stack([pixel_range.to_uint8(images).cpu() for images in frames])))
        for name, frames in rows.items()
    ]
    return Film(ts, pictures, sampler, settings or {})


def _uri(frames: Tensor) -> str:
    """uint8 ``[T, B, C, H, W]`` as a WebP picture of T rows and B columns, a data: URI."""
    picture = frames.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1).numpy()
    image = Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture)
    file = io.BytesIO()
    image.convert("RGB").save(file, "WEBP", quality=QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
