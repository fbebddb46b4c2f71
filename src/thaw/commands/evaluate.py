"""python evaluate.py: the scores of any checkpoint, and how well it restores."""

import json
import logging
import re
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from thaw import runs
from thaw.commands.errors import InputError, as_input_errors
from thaw.commands.keys import check_read
from thaw.commands.trained import load_selected
from thaw.diffusion.guidance import labels_in_words
from thaw.diffusion.likelihood import Bound, bits_per_dimension
from thaw.diffusion.restoration import Restoration
from thaw.diffusion.samplers.gaussian import VARIANCES
from thaw.progress import progress
from thaw.reporting.numbers import plus_minus
from thaw.training.experiment import labels_of, resolved
from thaw.training.loading import LoadedRun, suite_with_reference
from thaw.training.scoring_generated import (
    affordable,
    in_words,
    score_experiment,
    warn_of_misfit,
)
from thaw.training.scoring_restored import in_lines, score_restored

log = logging.getLogger(__name__)


def main(cfg: DictConfig) -> None:
    """Score each selected run, print its scores and write them under its ``evaluations/``.

    Raises:
        InputError: the configuration or a run is not valid.
    """
    with as_input_errors():
        check_read(cfg)
        selected = load_selected(cfg, _to_do(cfg))
        for run in selected:
            runs.check_no_links(run.run_dir, run.run_dir / runs.EVALUATIONS)
            if cfg.num_likelihood_images:
                _check_likelihood(run)
                run.experiment.data.setup()
    for run in selected:
        result = evaluate(run, cfg) | {"settings": _settings(cfg)}
        path = _path(run, result)
        runs.write_text_atomically(path, json.dumps(result, indent=2) + "\n")
        log.info("written to %s", path)


def check(cfg: DictConfig) -> list[Path]:
    """Refuse what cannot be evaluated, as far as that takes neither data nor weights.

    Each evaluation has a file of its own, so that no path is reserved.

    Raises:
        ValueError: naming what is wrong.
    """
    check_read(cfg)
    for run in load_selected(cfg, _to_do(cfg), for_use=False):
        if cfg.num_likelihood_images:
            _check_likelihood(run)
    return []


def _to_do(cfg: DictConfig) -> str:
    parts = [f"generate and score {cfg.num_samples:,} images"]
    if cfg.num_restored:
        parts.append(f"restore {cfg.num_restored:,} where the degradation is not noise")
    if cfg.num_likelihood_images:
        parts.append(f"likelihood of {cfg.num_likelihood_images:,}")
    return ", ".join(parts)


def evaluate(run: LoadedRun, cfg: DictConfig) -> dict[str, Any]:
    """Scores of images generated from the prior, of test images restored, and their likelihood."""
    experiment = run.experiment
    if experiment.suite is None:
        raise InputError(f"{run.run_dir} was configured with metrics=none: it has no encoder")
    with as_input_errors():
        suite_with_reference(run)
    warn_of_misfit(experiment)
    scores = score_experiment(experiment, cfg.num_samples, cfg.batch_size, cfg.seed)
    log.info("generated: %s", in_words(scores))
    result: dict[str, Any] = run.source | {"generated": scores}
    if cfg.num_restored and not experiment.restorer.degradation.leaves_nothing:
        result["restored"] = _restore(run, cfg)
    if cfg.num_likelihood_images:
        result["likelihood"] = _likelihood(run, cfg)
    return result


def _check_likelihood(run: LoadedRun) -> None:
    """Refuse, before any work, a model that has no likelihood."""
    try:
        Bound(run.experiment.restorer)
    except ValueError as error:
        raise InputError(f"{run.run_dir}: {error}; use num_likelihood_images=0") from error


def _likelihood(run: LoadedRun, cfg: DictConfig) -> dict[str, Any]:
    experiment = run.experiment
    restorer, num_images = experiment.restorer, cfg.num_likelihood_images
    images = experiment.data.test_images[:num_images]
    guidance = experiment.sampler.guidance
    labels = labels_of(experiment, "test", num_images) if guidance else None
    num_steps = restorer.degradation.num_steps
    what = f"test images {labels_in_words(restorer, guidance)}".rstrip()
    log.info("likelihood of %d %s, %d evaluations each", len(images), what, num_steps)
    total = len(images.split(cfg.batch_size)) * num_steps
    with progress(f"likelihood of {len(images):,} images", total, lambda: restorer.chunked.calls):
        result = bits_per_dimension(
            restorer, images, cfg.batch_size, cfg.seed, experiment.sampler.clip, labels
        )
    for name in VARIANCES:
        log.info("%s variance: %s  N %d %s", name, _bound(result[name]), result["n"], what)
    return result | {"images": what}


def _bound(parts: dict[str, float]) -> str:
    bound = plus_minus(parts["bits_per_dim"], parts["standard_error"], ".3f", "+-")
    return (
        f"at most {bound} bits per dimension "
        f"(prior {parts['prior']:.4f}, steps {parts['steps']:.3f}, decoder {parts['decoder']:.3f})"
    )


def _restore(run: LoadedRun, cfg: DictConfig) -> dict[str, Any] | str:
    experiment = run.experiment
    try:
        experiment.data.setup()
    except (OSError, ValueError) as error:
        log.warning("restoration scores left out, they need the test images: %s", error)
        return f"left out: {error}"
    images = experiment.data.test_images[: cfg.num_restored]
    restorer = experiment.restorer
    restoration = Restoration(restorer, affordable(experiment.sampler, restorer))
    labels = labels_of(experiment, "test", cfg.num_restored)
    scores = score_restored(
        restoration, images, cfg.batch_size, cfg.seed, experiment.suite, labels=labels
    )
    for line in in_lines(scores):
        log.info(line)
    return scores


def _settings(cfg: DictConfig) -> dict[str, Any]:
    """The command's configuration, without the runs and the machine."""
    left_out = ("run", "runs", "device", "compile", "trusted", "data")
    return {key: value for key, value in resolved(cfg).items() if key not in left_out}


def _path(run: LoadedRun, result: dict[str, Any]) -> Path:
    """The file of an evaluation; numbered where another evaluation has that name."""
    stem = run.run_dir / runs.EVALUATIONS / _file_name(run, result)
    paths = (Path(f"{stem}{suffix}.json") for suffix in ("", *(f"_{k}" for k in range(2, 10_000))))
    return next(path for path in paths if not path.exists() or _is_of(path, result["settings"]))


def _is_of(path: Path, settings: dict[str, Any]) -> bool:
    try:
        return bool(runs.read_json(path).get("settings") == settings)
    except ValueError:
        return False


def _file_name(run: LoadedRun, result: dict[str, Any]) -> str:
    scores = result["generated"]
    name = Path(run.checkpoint).stem + ("_ema" if run.weights == "ema" else "")
    name += f"_{run.prior}" if run.prior else ""
    name += f"_{scores['sampler']}_n{scores['n']}_seed{scores['seed']}"
    return re.sub(r"[^\w.=-]+", "-", name)
