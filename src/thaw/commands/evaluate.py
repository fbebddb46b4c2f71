"""python evaluate.py: the robust estimate of any checkpoint, and how well it restores."""

import json
import logging
import re
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from thaw import runs, storage
from thaw.checks import check_whole
from thaw.commands.errors import InputError, as_input_errors
from thaw.commands.loaded import load_all
from thaw.diffusion.guidance import told
from thaw.diffusion.likelihood import bits_per_dimension
from thaw.diffusion.predictions import require_gaussian
from thaw.diffusion.restoration import Restoration
from thaw.diffusion.samplers.gaussian import VARIANCES
from thaw.progress import progress
from thaw.reporting.numbers import plus_minus
from thaw.training.estimate import affordable, estimate, in_words, warn_of_misfit
from thaw.training.experiment import labels_of, resolved
from thaw.training.loading import LoadedRun
from thaw.training.restoration import in_lines, restoration_scores

log = logging.getLogger(__name__)


def main(cfg: DictConfig) -> None:
    """Score each selected run, print its scores and write them under its ``evaluations/``.

    Raises:
        InputError: the configuration or a run is not what it should be.
    """
    with as_input_errors():
        _check_keys(cfg)
        selected = load_all(cfg, _to_do(cfg))
        for run in selected:
            storage.check_no_links(run.run_dir, run.run_dir / runs.EVALUATIONS)
        if cfg.num_likelihood_images:
            for run in selected:
                _prepare_likelihood(run, cfg.num_likelihood_images)
    for run in selected:
        result = evaluate(run, cfg) | {"settings": _settings(cfg)}
        path = _path(run, result)
        storage.write_atomically(path, json.dumps(result, indent=2) + "\n")
        log.info("written to %s", path)


def check(cfg: DictConfig) -> list[Path]:
    """Refuse what cannot be evaluated, as far as that takes neither data nor weights.

    Each evaluation has a file of its own, so there is none to be claimed.

    Raises:
        ValueError: naming what is wrong.
    """
    _check_keys(cfg)
    loaded = load_all(cfg, _to_do(cfg), for_use=False)
    if cfg.num_likelihood_images:
        for run in loaded:
            _check_likelihood(run, cfg.num_likelihood_images)
    return []


def _check_keys(cfg: DictConfig) -> None:
    check_whole("num_samples", cfg.num_samples, 2)
    check_whole("num_restored", cfg.num_restored, 0)
    check_whole("num_likelihood_images", cfg.num_likelihood_images, 0)
    check_whole("batch_size", cfg.batch_size)


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
    _prepare_suite(run)
    described = {"checkpoint": run.checkpoint.name, "epoch": run.epoch, "weights": run.weights}
    warn_of_misfit(experiment)
    scores = estimate(experiment, cfg.num_samples, cfg.batch_size, cfg.seed)
    log.info("generated: %s", in_words(scores))
    result: dict[str, Any] = described | {"generated": scores}
    if cfg.num_restored and not experiment.restorer.degradation.leaves_nothing:
        result["restored"] = _restore(run, cfg)
    if cfg.num_likelihood_images:
        result["likelihood"] = _likelihood(run, cfg)
    return result


def _prepare_likelihood(run: LoadedRun, num_images: int) -> None:
    """Refuse, before any work, what has no likelihood or no test images."""
    _check_likelihood(run, num_images)
    run.experiment.data.setup()


def _check_likelihood(run: LoadedRun, num_images: int) -> None:
    what = f"{run.run_dir}: num_likelihood_images={num_images}"
    if num_images == 1:
        raise InputError(f"{what}: give 0 for none, or 2 or more for a standard error")
    require_gaussian(run.experiment.restorer.degradation, what, "num_likelihood_images=0")


def _likelihood(run: LoadedRun, cfg: DictConfig) -> dict[str, Any]:
    experiment = run.experiment
    restorer, num_images = experiment.restorer, cfg.num_likelihood_images
    images = experiment.data.test_images[:num_images]
    guidance = experiment.sampler.guidance
    labels = labels_of(experiment, "test", num_images) if guidance else None
    num_steps = restorer.degradation.num_steps
    what = f"test images {told(restorer, guidance)}".rstrip()
    log.info("likelihood of %d %s, %d evaluations each", len(images), what, num_steps)
    total = len(images.split(cfg.batch_size)) * num_steps
    with progress(f"likelihood of {len(images):,} images", total, lambda: restorer.pieces.calls):
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
    restoration = Restoration(
        experiment.restorer, affordable(experiment.sampler, experiment.restorer)
    )
    labels = labels_of(experiment, "test", cfg.num_restored)
    scores = restoration_scores(
        restoration, images, cfg.batch_size, cfg.seed, experiment.suite, labels=labels
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


def _settings(cfg: DictConfig) -> dict[str, Any]:
    """What was asked for, but of which runs and where."""
    aside = ("run", "runs", "device", "compile", "trusted", "data")
    return {key: value for key, value in resolved(cfg).items() if key not in aside}


def _path(run: LoadedRun, result: dict[str, Any]) -> Path:
    """The file that says what was measured and how; numbered where it is another evaluation's."""
    stem = run.run_dir / runs.EVALUATIONS / _file_name(run, result)
    paths = (Path(f"{stem}{suffix}.json") for suffix in ("", *(f"_{k}" for k in range(2, 10_000))))
    return next(path for path in paths if not path.exists() or _is_of(path, result["settings"]))


def _is_of(path: Path, settings: dict[str, Any]) -> bool:
    try:  # a file of earlier versions has none
        return bool(storage.read_json(path).get("settings", settings) == settings)
    except ValueError:
        return False


def _file_name(run: LoadedRun, result: dict[str, Any]) -> str:
    scores = result["generated"]
    name = Path(run.checkpoint).stem + ("_ema" if run.weights == "ema" else "")
    name += f"_{run.prior}" if run.prior else ""
    name += f"_{scores['sampler']}_n{scores['n']}_seed{scores['seed']}"
    return re.sub(r"[^\w.=-]+", "-", name)
