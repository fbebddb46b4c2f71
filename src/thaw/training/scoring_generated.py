"""Scores of generated images; the final ones are of many images by the run's own sampler."""

import logging
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from torch.utils.tensorboard import SummaryWriter

from thaw import runs
from thaw.diffusion.generation import generate
from thaw.diffusion.priors.base import Prior
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Sampler
from thaw.metrics import table
from thaw.metrics.suite import ScoreSuite
from thaw.progress import progress
from thaw.ranks import WHOLE, Portion
from thaw.reporting.numbers import scores_in_words
from thaw.training import event_files
from thaw.training.experiment import Experiment

log = logging.getLogger(__name__)
MAX_STEPS_ON_CPU = 30


def final_scores(
    experiment: Experiment,
    metrics: DictConfig,
    run_dir: Path,
    seed: int,
    epoch: int,
    portion: Portion = WHOLE,
) -> None:
    """Score ``metrics.final_num_samples`` images; into run.json, TensorBoard, log and screen.

    Nothing is done where that number is 0, or where this epoch's scores are in run.json already.
    Each process generates its portion of the images, and the first one writes.
    """
    done = runs.read_record(run_dir).get("final_scores") or {}
    if experiment.suite is None or not metrics.final_num_samples or done.get("epoch") == epoch:
        return
    size = (metrics.final_num_samples, metrics.batch_size)
    scores = score_experiment(experiment, *size, seed, portion)
    if portion.rank > 0:
        return
    log.info("final scores: %s", in_words(scores))
    final = {f"final/{key}": value for key, value in scores.items()} | {"epoch": epoch}
    runs.update_record(run_dir, {"final_scores": final})
    with SummaryWriter(str(run_dir), filename_suffix=event_files.FINAL) as writer:
        for key, value in final.items():
            if isinstance(value, int | float) and key != "epoch":
                writer.add_scalar(key, value, epoch)


def warn_of_misfit(experiment: Experiment) -> None:
    """Warn, before images are generated, where the prior lacks what x_T has."""
    prior = experiment.module.prior
    if misfit := prior.misfit(experiment.restorer.degradation):
        advice = "use schedule.rescale=true or prior=gaussian"
        log.warning("prior=%s, but %s: %s", prior.describe(), misfit, advice)


def affordable(sampler: Sampler, restorer: Restorer) -> Sampler:
    """The sampler, limited to 30 steps where it would take more on a CPU and none were chosen.

    10,000 samples in 1,000 steps would take hours there; ``sampler.num_steps=1000`` insists.
    """
    if sampler.num_steps is not None or restorer.device.type != "cpu":
        return sampler
    return sampler.at_most(min(restorer.degradation.num_steps, MAX_STEPS_ON_CPU))


def sampling(
    what: str,
    restorer: Restorer,
    sampler: Sampler,
    num_samples: int,
    batch_size: int,
    portion: Portion = WHOLE,
) -> AbstractContextManager[None]:
    """A progress bar for this process's portion of the images, which says ``what`` they are."""
    num_batches = len(portion.batches(num_samples, batch_size))
    total = num_batches * sampler.num_evaluations(restorer.degradation)
    return progress(what, total, lambda: restorer.chunked.calls)


def score_generated(
    what: str,
    restorer: Restorer,
    sampler: Sampler,
    prior: Prior,
    suite: ScoreSuite,
    num_samples: int,
    batch_size: int,
    seed: int,
    portion: Portion = WHOLE,
) -> dict[str, Any]:
    """Every score of images generated from the prior, over all processes.

    Arguments as :func:`sampling` and :func:`~thaw.diffusion.generation.generate`.
    """
    suite.to(restorer.device)
    suite.reset()
    size = (num_samples, batch_size)
    with sampling(what, restorer, sampler, *size, portion):
        for x_0 in generate(restorer, sampler, prior, *size, seed, portion=portion):
            suite.update(restorer.pixel_range.to_uint8(x_0))
        return suite.compute()


def score_experiment(
    experiment: Experiment, num_samples: int, batch_size: int, seed: int, portion: Portion = WHOLE
) -> dict[str, Any]:
    """Every score of images generated from the prior, and what was measured how."""
    restorer, prior, suite = experiment.restorer, experiment.module.prior, experiment.suite
    assert suite is not None
    assert suite.reference is not None
    sampler = affordable(experiment.sampler, restorer)
    what = f"generating and scoring {num_samples:,} images"
    size = (num_samples, batch_size)
    scores = score_generated(what, restorer, sampler, prior, suite, *size, seed, portion)
    return scores | {
        "class_histogram": suite.class_histogram(),
        "class_histogram_real": suite.reference.class_counts.tolist(),
        "encoder": suite.encoder.name,
        "sampler": sampler.describe(restorer.degradation),
        "images": f"generated from prior {prior.describe(restorer.degradation)}",
        "seed": seed,
    }


def in_words(scores: dict[str, Any]) -> str:
    """One line: each score with its floor, N, the encoder, the sampler, the prior."""
    return (
        f"{scores_in_words(table.GENERATED, scores)}  "
        f"N {scores['n']}, {scores['encoder']}, {scores['sampler']}, {scores['images']}"
    )
