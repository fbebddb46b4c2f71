"""The scores after training, of many images by the run's own sampler, and where they are kept."""

import logging
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from thaw import runs
from thaw.ranks import WHOLE, Portion
from thaw.training.experiment import Experiment
from thaw.training.loggers.adapter import Adapter
from thaw.training.scoring_generated import in_words, score_experiment

log = logging.getLogger(__name__)


def final_scores(
    experiment: Experiment,
    metrics: DictConfig,
    run_dir: Path,
    seed: int,
    epoch: int,
    portion: Portion = WHOLE,
    adapters: Sequence[Adapter] = (),
) -> None:
    """Score ``metrics.final_num_samples`` images; into run.json, loggers, log and screen.

    With several ``final_num_draws`` of them, means over these and their standard errors. Nothing is
    done where that number is 0, or where this epoch's scores are in run.json already. Each process
    generates its portion of the images, and the first one writes.
    """
    done = runs.read_record(run_dir).get("final_scores") or {}
    if experiment.suite is None or not metrics.final_num_samples or done.get("epoch") == epoch:
        return
    size = (metrics.final_num_samples, metrics.batch_size)
    num_draws = metrics.final_num_draws
    scores = score_experiment(experiment, *size, seed, portion, num_draws)
    if portion.rank > 0:
        return
    log.info("final scores: %s", in_words(scores))
    final = {f"final/{key}": value for key, value in scores.items()} | {"epoch": epoch}
    runs.update_record(run_dir, {"final_scores": final})
    numbers = {
        key: value
        for key, value in final.items()
        if isinstance(value, int | float) and key != "epoch"
    }
    for adapter in adapters:
        adapter.log_scores(numbers, epoch)
