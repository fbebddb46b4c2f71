"""Scores of generated images."""

import logging
import statistics
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from thaw.diffusion.generation import generate
from thaw.diffusion.priors.base import Prior
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Sampler
from thaw.metrics import table
from thaw.metrics.suite import ScoreSuite
from thaw.progress import progress
from thaw.ranks import WHOLE, Portion
from thaw.reporting.numbers import scores_in_words
from thaw.training.experiment import Experiment

log = logging.getLogger(__name__)
MAX_STEPS_ON_CPU = 30


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
    experiment: Experiment,
    num_samples: int,
    batch_size: int,
    seed: int,
    portion: Portion = WHOLE,
    num_draws: int = 1,
) -> dict[str, Any]:
    """Every score of images generated from the prior, and what was measured how.

    With several draws of ``num_samples`` images, of the seeds ``seed``, ``seed + 1``, ..., a score
    is their mean and has the standard error of that mean; ``draws`` has the scores of each.
    """
    restorer, prior, suite = experiment.restorer, experiment.module.prior, experiment.suite
    assert suite is not None
    assert suite.reference is not None
    sampler = affordable(experiment.sampler, restorer)
    what = f"generating and scoring {num_samples:,} images"
    draws, histograms = [], []
    for draw in range(num_draws):
        of = f", draw {draw + 1} of {num_draws}" if num_draws > 1 else ""
        size = (num_samples, batch_size, seed + draw)
        draws.append(
            score_generated(f"{what}{of}", restorer, sampler, prior, suite, *size, portion)
        )
        histograms.append(suite.class_histogram())
    return over_draws(draws) | {
        "class_histogram": [sum(counts) for counts in zip(*histograms, strict=True)],
        "class_histogram_real": suite.reference.class_counts.tolist(),
        "encoder": suite.encoder.name,
        "sampler": sampler.describe(restorer.degradation),
        "images": f"generated from prior {prior.describe(restorer.degradation)}",
        "seed": seed,
    }


def over_draws(draws: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means of the scores of independent draws, with their standard errors; of one, its scores."""
    if len(draws) == 1:
        return dict(draws[0])
    means = {name: statistics.fmean(draw[name] for draw in draws) for name in draws[0]}
    errors = {
        row.error: statistics.stdev(draw[row.name] for draw in draws) / len(draws) ** 0.5
        for row in table.GENERATED
    }
    counts = {"n": draws[0]["n"], "num_draws": len(draws), "draws": list(draws)}
    return means | errors | counts


def in_words(scores: dict[str, Any]) -> str:
    """One line: each score with its floor, N, the encoder, the sampler, the prior."""
    draws = f"{scores['num_draws']} draws of " if "num_draws" in scores else ""
    return (
        f"{scores_in_words(table.GENERATED, scores)}  "
        f"{draws}N {scores['n']}, {scores['encoder']}, {scores['sampler']}, {scores['images']}"
    )
