"""The robust estimate: many samples of the full sampler, scored once."""

import copy
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from thaw import runs
from thaw.checks import check_whole
from thaw.diffusion.generation import generate
from thaw.diffusion.priors import Prior
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Sampler
from thaw.metrics.suite import ScoreSuite
from thaw.training.experiment import Experiment

log = logging.getLogger(__name__)
MAX_STEPS_ON_CPU = 50


def final_estimate(
    experiment: Experiment, metrics: DictConfig, run_dir: Path, seed: int, epoch: int
) -> None:
    """Score ``metrics.final_num_samples`` images; into run.json, TensorBoard, log and screen.

    Nothing is done where that number is 0, or where this epoch's estimate is in run.json already.
    """
    done = runs.read_record(run_dir).get("final_scores") or {}
    if experiment.suite is None or not metrics.final_num_samples or done.get("epoch") == epoch:
        return
    sampler = with_steps(experiment.sampler, metrics.final_num_steps, experiment.restorer)
    scores = estimate(
        experiment.restorer,
        sampler,
        experiment.module.prior,
        experiment.suite,
        metrics.final_num_samples,
        metrics.batch_size,
        seed,
    )
    log.info("final estimate: %s", in_words(scores))
    final = {f"final/{key}": value for key, value in scores.items()} | {"epoch": epoch}
    runs.update_record(run_dir, {"final_scores": final})
    with SummaryWriter(str(run_dir)) as writer:
        for key, value in final.items():
            if isinstance(value, int | float) and key != "epoch":
                writer.add_scalar(key, value, epoch)


def with_steps(sampler: Sampler, num_steps: int | str | None, restorer: Restorer) -> Sampler:
    """The sampler with its number of steps: a number, None (its own), or ``auto``.

    ``auto`` is the sampler's own where there is an accelerator, and at most 50 on a CPU, where
    10,000 samples in 1,000 steps would take hours.

    Raises:
        ValueError: num_steps is none of these, or more than the degradation has.
    """
    chosen = copy.copy(sampler)
    if num_steps == "auto":
        own = sampler.num_steps or restorer.degradation.num_steps
        on_cpu = next(restorer.network.parameters()).device.type == "cpu"
        chosen.num_steps = min(own, MAX_STEPS_ON_CPU) if on_cpu else sampler.num_steps
    elif num_steps is not None:
        check_whole("metrics.final_num_steps (or auto, null)", num_steps)
        assert isinstance(num_steps, int)
        chosen.num_steps = num_steps
    chosen.check(restorer.degradation)
    return chosen


def estimate(
    restorer: Restorer,
    sampler: Sampler,
    prior: Prior,
    suite: ScoreSuite,
    num_samples: int,
    batch_size: int,
    seed: int,
) -> dict[str, Any]:
    """Every score of images generated from the prior, and what was measured how."""
    suite.to(next(restorer.network.parameters()).device)
    suite.reset()
    batches = generate(restorer, sampler, prior, num_samples, batch_size, seed)
    with torch.inference_mode():
        for x_0 in _with_bar(batches, num_samples):
            suite.update(restorer.pixel_range.to_uint8(x_0))
    return suite.compute() | {
        "class_histogram": suite.class_histogram(),
        "encoder": suite.name,
        "sampler": sampler.describe(restorer.degradation),
        "images": f"generated from prior {type(prior).__name__}",
        "seed": seed,
    }


def in_words(scores: dict[str, Any]) -> str:
    """One line: each score with its real-vs-real floor, N, the encoder and the sampler."""
    return (
        f"FID {scores['fid']:.2f} (floor {scores['fid_floor']:.2f})  "
        f"IS {scores['is_mean']:.2f} +- {scores['is_std']:.2f} (real {scores['is_floor']:.2f})  "
        f"KID {scores['kid']:.4f} (floor {scores['kid_floor']:.4f})  "
        f"precision {scores['precision']:.3f}  recall {scores['recall']:.3f}  "
        f"class KL {scores['class_kl']:.4f}, {scores['num_classes']} classes  "
        f"N {scores['n']}, {scores['encoder']}, {scores['sampler']}"
    )


def _with_bar(batches: Iterator[torch.Tensor], num_samples: int) -> Iterator[torch.Tensor]:
    with tqdm(total=num_samples, desc="final estimate", unit="image", disable=None) as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch))
