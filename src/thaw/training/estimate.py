"""The robust estimate: many samples of the full sampler, scored once."""

import copy
import logging
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch.utils.tensorboard import SummaryWriter

from thaw import runs
from thaw.diffusion.generation import describe, generate
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Sampler
from thaw.progress import progress
from thaw.ranks import part
from thaw.reporting.numbers import plus_minus
from thaw.training import event_files
from thaw.training.experiment import Experiment

log = logging.getLogger(__name__)
MAX_STEPS_ON_CPU = 30


def final_estimate(
    experiment: Experiment,
    metrics: DictConfig,
    run_dir: Path,
    seed: int,
    epoch: int,
    place: tuple[int, int] = (0, 1),
) -> None:
    """Score ``metrics.final_num_samples`` images; into run.json, TensorBoard, log and screen.

    Nothing is done where that number is 0, or where this epoch's estimate is in run.json already.
    Of several processes, by rank and number in ``place``, each makes a share of the images and the
    first writes.
    """
    done = runs.read_record(run_dir).get("final_scores") or {}
    if experiment.suite is None or not metrics.final_num_samples or done.get("epoch") == epoch:
        return
    scores = estimate(experiment, metrics.final_num_samples, metrics.batch_size, seed, place)
    if place[0] > 0:
        return
    log.info("final estimate: %s", in_words(scores))
    final = {f"final/{key}": value for key, value in scores.items()} | {"epoch": epoch}
    runs.update_record(run_dir, {"final_scores": final})
    with SummaryWriter(str(run_dir), filename_suffix=event_files.FINAL) as writer:
        for key, value in final.items():
            if isinstance(value, int | float) and key != "epoch":
                writer.add_scalar(key, value, epoch)


def warn_of_misfit(experiment: Experiment) -> None:
    """Say it, before images are made, where the prior lacks what x_T has."""
    misfit = experiment.module.prior.misfit(experiment.restorer.degradation)
    if misfit:
        log.warning("prior=%s, but %s", experiment.module.prior.describe(), misfit)


def affordable(sampler: Sampler, restorer: Restorer) -> Sampler:
    """The sampler, where it would take all of more than 30 steps on a CPU limited to 30.

    10,000 samples in 1,000 steps would take hours there; ``sampler.num_steps=1000`` insists.
    """
    on_cpu = next(restorer.network.parameters()).device.type == "cpu"
    if sampler.num_steps is not None or not on_cpu:
        return sampler
    chosen = copy.copy(sampler)
    chosen.num_steps = min(restorer.degradation.num_steps, MAX_STEPS_ON_CPU)
    return chosen


def sampling(
    what: str,
    restorer: Restorer,
    sampler: Sampler,
    num_samples: int,
    batch_size: int,
    place: tuple[int, int] = (0, 1),
) -> AbstractContextManager[None]:
    """How far this process is with its share of so many images, said while they are made."""
    num_batches = len(range(0, num_samples, batch_size))
    mine = max(1, len(range(num_batches)[part(num_batches, *place)]))
    total = mine * sampler.num_evaluations(restorer.degradation)
    return progress(what, total, lambda: restorer.pieces.calls)


def estimate(
    experiment: Experiment,
    num_samples: int,
    batch_size: int,
    seed: int,
    place: tuple[int, int] = (0, 1),
) -> dict[str, Any]:
    """Every score of images generated from the prior, and what was measured how.

    Of several processes, by rank and number in ``place``, each makes a share of the images.
    """
    restorer, prior, suite = experiment.restorer, experiment.module.prior, experiment.suite
    assert suite is not None
    assert suite.reference is not None
    sampler = affordable(experiment.sampler, restorer)
    suite.to(next(restorer.network.parameters()).device)
    suite.reset()
    batches = generate(restorer, sampler, prior, num_samples, batch_size, seed, place=place)
    what = f"generating and scoring {num_samples:,} images"
    with torch.inference_mode(), sampling(what, restorer, sampler, num_samples, batch_size, place):
        for x_0 in batches:
            suite.update(restorer.pixel_range.to_uint8(x_0))
        scores = suite.compute()
    return scores | {
        "class_histogram": suite.class_histogram(),
        "class_histogram_real": suite.reference.class_counts.tolist(),
        "encoder": suite.name,
        "sampler": describe(restorer, sampler),
        "images": f"generated from prior {prior.describe(restorer.degradation)}",
        "seed": seed,
    }


def in_words(scores: dict[str, Any]) -> str:
    """One line: each score with its real-vs-real floor, N, the encoder, the sampler, the prior."""
    is_ = plus_minus(scores["is_mean"], scores["is_std"], ".2f", "+-")
    return (
        f"FID {scores['fid']:.2f} (floor {scores['fid_floor']:.2f})  "
        f"IS {is_} (real {scores['is_floor']:.2f})  "
        f"KID {scores['kid']:.4f} (floor {scores['kid_floor']:.4f})  "
        f"precision {scores['precision']:.3f}  recall {scores['recall']:.3f}  "
        f"class KL {scores['class_kl']:.4f}, {scores['num_classes']} classes  "
        f"N {scores['n']}, {scores['encoder']}, {scores['sampler']}, {scores['images']}"
    )
