"""python evaluate.py: the robust estimate of any checkpoint, and how well it restores."""

import json
import logging
import re
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from thaw import runs
from thaw.checks import check_whole
from thaw.commands.errors import InputError, as_input_errors
from thaw.commands.selection import load_all
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.training.estimate import estimate, in_words
from thaw.training.loading import LoadedRun
from thaw.training.restoration import in_lines, restoration_scores

log = logging.getLogger(__name__)


def main(cfg: DictConfig) -> None:
    """Score each selected run, print its scores and write them under its ``evaluations/``.

    Raises:
        InputError: the configuration or a run is not what it should be.
    """
    with as_input_errors():
        check_whole("num_samples", cfg.num_samples, 2)
        check_whole("num_restored", cfg.num_restored, 0)
        check_whole("batch_size", cfg.batch_size)
        selected = load_all(cfg)
    for run in selected:
        result = evaluate(run, cfg)
        path = run.run_dir / "evaluations" / f"{_file_name(run, result)}.json"
        runs.write_text_atomically(path, json.dumps(result, indent=2) + "\n")
        log.info("written to %s", path)


def evaluate(run: LoadedRun, cfg: DictConfig) -> dict[str, Any]:
    """Scores of images generated from the prior, and of test images restored."""
    experiment = run.experiment
    if experiment.suite is None:
        raise InputError(f"{run.run_dir} was configured with metrics=none: it has no encoder")
    _prepare_suite(run)
    log.info("%s, %s of epoch %d", run.run_dir, run.checkpoint.name, run.epoch)
    scores = estimate(experiment, cfg.num_samples, cfg.batch_size, cfg.seed)
    log.info("generated: %s", in_words(scores))
    result = {"checkpoint": run.checkpoint.name, "epoch": run.epoch, "generated": scores}
    if cfg.num_restored and not isinstance(experiment.restorer.degradation, Gaussian):
        result["restored"] = _restore(run, cfg)
    return result


def _restore(run: LoadedRun, cfg: DictConfig) -> dict[str, Any] | str:
    experiment = run.experiment
    try:
        experiment.data.setup()
    except (OSError, ValueError) as error:
        log.warning("restoration scores left out, they need the test images: %s", error)
        return f"left out: {error}"
    images = experiment.data.test_images[: cfg.num_restored]
    scores = restoration_scores(
        experiment.restorer, experiment.sampler, images, cfg.batch_size, cfg.seed
    )
    for line in in_lines(scores):
        log.info(line)
    return scores


def _prepare_suite(run: LoadedRun) -> None:
    experiment = run.experiment
    assert experiment.suite is not None
    if experiment.suite.reference is None:
        with as_input_errors():
            experiment.data.setup()
            experiment.suite.fit_reference(
                experiment.data.train_images, experiment.data.test_images
            )


def _file_name(run: LoadedRun, result: dict[str, Any]) -> str:
    scores = result["generated"]
    name = f"{Path(run.checkpoint).stem}_{scores['sampler']}_n{scores['n']}_seed{scores['seed']}"
    return re.sub(r"[^\w.=-]+", "-", name)
