"""The scores after training, of many images by the run's own sampler, and where they are kept."""

import logging
from pathlib import Path

from omegaconf import DictConfig
from torch.utils.tensorboard import SummaryWriter

from thaw import runs
from thaw.ranks import WHOLE, Portion
from thaw.training import event_files
from thaw.training.experiment import Experiment
from thaw.training.scoring_generated import in_words, score_experiment

log = logging.getLogger(__name__)


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
