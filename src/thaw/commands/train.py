"""python train.py: one run, from a composed configuration to a finished run directory."""

import logging
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from tqdm.contrib.logging import logging_redirect_tqdm

from thaw import ranks, runs, storage
from thaw.checks import check_seed
from thaw.commands import opening, search
from thaw.commands.app import CONF
from thaw.commands.comparison import check_same, warn_of_other_data
from thaw.commands.errors import InputError, as_input_errors, one_line
from thaw.commands.keys import check_read
from thaw.commands.locks import InUseError, locked
from thaw.commands.processes import check_processes, follow, together
from thaw.commands.provenance import processor, tensorboard_command, versions
from thaw.commands.recording import reason_to_skip, recorded
from thaw.commands.replay import changes_since
from thaw.diffusion.restoration import Restoration
from thaw.training.callbacks.checkpoints import Checkpoints, StepsAreOver, StopAfterStep
from thaw.training.callbacks.ending import AfterLast, early_end
from thaw.training.callbacks.epoch_scores import EpochScores
from thaw.training.callbacks.guard import Guard
from thaw.training.callbacks.losses import LossLog
from thaw.training.callbacks.restoration import Restorations
from thaw.training.callbacks.run_files import RunFiles, read_metrics
from thaw.training.callbacks.scores import Scores
from thaw.training.callbacks.tensorboard import TensorBoardPages
from thaw.training.checkpoint_files import CheckpointFiles, newest_good, read_checkpoint
from thaw.training.compatibility import check_fits
from thaw.training.estimate import final_estimate, warn_of_misfit
from thaw.training.experiment import (
    Experiment,
    build,
    check_classes,
    compile_networks,
    fit_prior,
    labels_of,
    resolved,
)
from thaw.training.memory import check_memory
from thaw.training.nodes import check_parts, make, nodes
from thaw.training.restoration import check_restored, final_restoration
from thaw.training.stored_targets import check_training

log = logging.getLogger(__name__)
RESUME = ("auto", "never")


def main(cfg: DictConfig) -> float | None:
    """Train as configured, into Hydra's output directory; the result is the ``sweep.metric``.

    A job of a sweep is left to another process that is at it.

    Raises:
        InputError: the configuration or an input is wrong; nothing was trained.
    """
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    is_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    _quieten()
    if ranks.rank() > 0:  # the directory and its record are the first process's
        follow()
        _train(cfg, run_dir)
        return None
    try:
        with locked(run_dir), storage.trained_in(run_dir):
            with as_input_errors():
                reason = reason_to_skip(cfg, run_dir, is_sweep)
            if reason is None:
                with recorded(run_dir, cfg) as accepted:
                    _train(cfg, run_dir, accepted)
                    _say_where(run_dir)
            else:
                log.info("%s: %s", reason, run_dir)
                with as_input_errors():
                    check_same(cfg, run_dir)
    except InUseError as error:
        if not is_sweep:
            raise
        log.info("left out: %s", error)
    return search.result(cfg, run_dir)


def check(cfg: DictConfig) -> list[Path]:
    """Refuse what no run can come of, as far as that takes no data; and where the run would be.

    Raises:
        ValueError: naming what is wrong.
    """
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    if not (cfg.sweep.name and reason_to_skip(cfg, run_dir, is_sweep=True)):
        check_read(cfg)
        check_parts(cfg)
        _check_resume(cfg)
        choices = _choices(cfg)
        _make_trainer(cfg, run_dir, checked(cfg, {"config": resolved(cfg)}), choices, [])
    return [run_dir]


def _train(cfg: DictConfig, run_dir: Path, accepted: Callable[[], None] | None = None) -> None:
    """From the checkpoint, if there is one, to the last score."""
    with as_input_errors():
        experiment, trainer, checkpoint = ready(cfg, run_dir)
        if accepted is not None:
            accepted()
    place = (trainer.global_rank, trainer.world_size)
    with together(trainer, HydraConfig.get().overrides.task, run_dir):
        start = time.perf_counter()
        with logging_redirect_tqdm(), storage.writing(run_dir):
            fit(experiment, trainer, checkpoint)
        # Lightning has moved it to the CPU.
        experiment.module.to(trainer.strategy.root_device).eval()
        training_s = time.perf_counter() - start
        end = early_end(trainer, cfg.trainer)
        said = f", ended by {end}" if end else ""
        log.info("trained to epoch %d in %s%s", trainer.current_epoch, _duration(training_s), said)
        runs.update_record(run_dir, {"training_s": round(training_s, 1), "ended_by": end})
        last = (cfg.seed, trainer.current_epoch, place)
        final_estimate(experiment, cfg.metrics, run_dir, *last)
        final_restoration(experiment, cfg.metrics, run_dir, *last)


def ready(cfg: DictConfig, run_dir: Path) -> tuple[Experiment, pl.Trainer, Path | None]:
    """What the first step needs: objects, data, trainer, and the checkpoint to go on from."""
    check_read(cfg)
    choices = _choices(cfg)
    check_parts(cfg)
    check_seed("seed", cfg.seed)
    _warn_of_what_has_no_effect(cfg)
    checkpoint = _checkpoint_to_resume(cfg, run_dir)
    pl.seed_everything(cfg.seed, verbose=False)
    experiment, trainer = prepare(cfg, run_dir, choices, checkpoint)
    warn_of_misfit(experiment)
    return experiment, trainer, checkpoint


def fit(experiment: Experiment, trainer: pl.Trainer, checkpoint: Path | None) -> None:
    """Train.

    Raises:
        InputError: it failed before the end of the very first step: nothing was trained.
    """
    steps_before = read_checkpoint(checkpoint).get("global_step", 0) if checkpoint else 0
    try:
        trainer.fit(
            experiment.module, datamodule=experiment.data, ckpt_path=checkpoint, weights_only=True
        )
    except OSError:
        raise
    except Exception as error:
        progress = trainer.fit_loop.epoch_loop.batch_progress.total
        # Those of the checkpoint count as completed.
        if trainer.global_step > steps_before or (checkpoint is None and progress.completed):
            raise
        has_begun = progress.ready > progress.completed
        is_of_step = has_begun and not isinstance(error, MisconfigurationException)
        what = "the first step fails: " if is_of_step else ""
        raise InputError(f"{what}{one_line(error)}") from error


def checked(cfg: DictConfig, provenance: dict[str, Any]) -> Experiment:
    """The experiment, with everything refused that can be before its data is read."""
    experiment = build(cfg, provenance)
    restoration = Restoration(experiment.restorer, experiment.score_sampler)
    search.check_metric(cfg, restoration.stages[1:] if _is_restored(cfg, experiment) else ())
    check_classes(experiment.module.restorer, experiment.data)
    check_restored(cfg.metrics, experiment)
    check_memory(experiment.module.restorer, experiment.data)
    return experiment


def prepare(
    cfg: DictConfig, run_dir: Path, choices: Mapping[str, str], checkpoint: Path | None = None
) -> tuple[Experiment, pl.Trainer]:
    """Everything that can fail before the first step: objects, data, reference, trainer.

    Raises:
        ValueError: a part of it fails, or does not fit the checkpoint to go on from.
    """
    provenance: dict[str, Any] = {"config": resolved(cfg), "versions": versions()}
    experiment = checked(cfg, provenance)
    data, suite = experiment.data, experiment.suite
    make(cfg.trainer, logger=False)  # what it refuses, it refuses before any work
    data.setup()
    trainer = _make_trainer(cfg, run_dir, experiment, choices, _make_scores(cfg, experiment))
    restorer, device = experiment.module.restorer, trainer.strategy.root_device
    opening.say(
        runs.shown(run_dir),
        opening.data_in_words(data, counts := opening.num_images(data)),
        opening.model_in_words(restorer),
        opening.device_in_words(device, trainer.world_size),
        opening.training_in_words(cfg),
    )
    provenance["dataset"] = data.identity
    if checkpoint is not None and (earlier := check_fits(checkpoint, experiment.module)):
        provenance["dataset"]["earlier"] = earlier
    warn_of_other_data(cfg, data.identity)
    search.check_validated(cfg, trainer, len(data.train_labels) // data.batch_size)
    restorer.degradation.fit(data.train_images)
    restorer.fit_labels(data.train_labels)
    fit_prior(experiment)
    if suite is not None and suite.reference is None:
        suite.fit_reference(data.train_images, data.test_images)
    encoder = suite.name if suite else "none"
    provenance["encoder"] = encoder
    # Lightning would do so after loading a checkpoint, whose doubles it would round.
    trainer.precision_plugin.convert_module(experiment.module)
    if cfg.compile:
        compile_networks(experiment, device, trainer.accumulate_grad_batches > 1)
    runs.update_record(
        run_dir,
        {
            "dataset": provenance["dataset"],
            "num_images": counts,
            "encoder": encoder,
            "choices": dict(choices),
            "cpu": processor(),
            "device": _device_name(device),
            "num_threads": torch.get_num_threads(),
            "num_parameters": sum(p.numel() for p in experiment.restorer.network.parameters()),
        },
    )
    return experiment, trainer


def _make_trainer(
    cfg: DictConfig,
    run_dir: Path,
    experiment: Experiment,
    choices: Mapping[str, str],
    scores: list[EpochScores],
) -> pl.Trainer:
    context = {
        "run_dir": run_dir,
        "sampler": experiment.sampler,
        "data": experiment.data,
        "seed": cfg.seed,
    }
    chosen = {name: make(node, **context) for name, node in nodes(cfg, "callbacks").items()}
    if not cfg.trainer.get("enable_progress_bar", True):
        chosen.pop("progress", None)
    loggers = [make(node) for node in nodes(cfg, "logger").values()]
    pages = TensorBoardPages(
        experiment.module.provenance["config"],
        choices,
        experiment.suite.name if experiment.suite else "none",
    )
    # Scores before what shows them; RunFiles last of all that read logged values.
    first = [StepsAreOver(), Guard(run_dir, experiment.data), LossLog(), *scores, pages]
    checkpoints = Checkpoints(run_dir, cfg.checkpoint.every_n_steps)
    last = [AfterLast(), RunFiles(run_dir, scores), StopAfterStep(checkpoints), checkpoints]
    trainer: pl.Trainer = make(
        cfg.trainer,
        callbacks=[*first, *chosen.values(), *last],
        plugins=[CheckpointFiles()],
        logger=loggers or False,
        default_root_dir=run_dir,
    )
    check_processes(trainer, experiment.data.batch_size)
    return trainer


def _make_scores(cfg: DictConfig, experiment: Experiment) -> list[EpochScores]:
    metrics, suite, sampler = cfg.metrics, experiment.suite, experiment.score_sampler
    shared = (metrics.every_n_epochs, metrics.batch_size, cfg.seed)
    scores: list[EpochScores] = []
    if suite is not None and metrics.num_samples > 0:
        scores.append(Scores(suite, sampler, metrics.num_samples, *shared))
    if _is_restored(cfg, experiment):
        images = experiment.data.val_images[: metrics.num_restored_each_epoch]
        labels = labels_of(experiment, "val", metrics.num_restored_each_epoch)
        scores.append(Restorations(images, sampler, suite, *shared, labels))
    return scores


def _is_restored(cfg: DictConfig, experiment: Experiment) -> bool:
    """Whether epochs score restorations: where x_T shows something of the image."""
    is_asked = bool(cfg.metrics.num_restored_each_epoch > 0)
    return is_asked and not experiment.restorer.degradation.leaves_nothing


def _choices(cfg: DictConfig) -> dict[str, Any]:
    """What was chosen from each group; of a stored run what it had chosen, if it may be run.

    Raises:
        ValueError: its configuration names a class outside the packages that are trusted.
    """
    if cfg.replay is None:
        return dict(HydraConfig.get().runtime.choices)
    stored = Path(cfg.replay)
    check_training(resolved(cfg), cfg.trusted)
    for line in changes_since(stored, CONF.parent):
        log.warning("%s", line)
    choices: dict[str, Any] = runs.read_record(stored).get("choices") or {}
    return choices


def _check_resume(cfg: DictConfig) -> None:
    if cfg.resume not in RESUME:
        raise InputError(f"resume must be auto, never or a run directory, got {cfg.resume!r}")


def _checkpoint_to_resume(cfg: DictConfig, run_dir: Path) -> Path | None:
    _check_resume(cfg)
    if cfg.resume == "never":
        return None
    path, problems = newest_good(run_dir)
    if path is None:
        if problems:
            raise InputError(f"{'; '.join(problems)}; resume=never starts the run again")
        return None
    for problem in problems:
        log.warning("%s; going on from %s", problem, path.name)
    kept = bool((runs.read_record(run_dir).get("config") or {}).get("ema"))
    if kept != bool(cfg.ema):
        had = "an average" if kept else "no average"
        raise InputError(
            f"{path} holds {had} of the weights: go on with the same ema=, or resume=never"
        )
    read_metrics(run_dir)
    log.info("continuing from %s", path)
    for line in changes_since(run_dir, CONF.parent):
        log.warning("%s", line)
    return path


def _warn_of_what_has_no_effect(cfg: DictConfig) -> None:
    overrides = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    assert isinstance(overrides, list)
    changed = [override for override in overrides if override.startswith("schedule")]
    if changed and "schedule" not in cfg.degradation:
        log.warning("%s has no effect: this degradation takes no schedule", " ".join(changed))


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _log_thread(arguments: threading.ExceptHookArgs) -> None:
    """What ends a thread, such as TensorBoard's on a full disk; whoever waits for it fails too."""
    found = (arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
    log.error("%s failed", arguments.thread, exc_info=found)  # type: ignore[arg-type]


def _quieten() -> None:
    """Lightning's advice on things that are so on purpose, and its notes on itself."""
    # On a full disk each line of the log would come with a traceback of its own.
    logging.raiseExceptions = False
    threading.excepthook = _log_thread
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*log_every_n_steps.*",
        ".*LeafSpec.*",
        ".*eval mode at the start.*",
        ".*sync_dist=True.*",  # scores are of all processes already
        ".*broadcast_buffers.*",  # its successor is not in all versions of torch
    ):
        warnings.filterwarnings("ignore", message)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _say_where(run_dir: Path) -> None:
    shown = runs.shown(run_dir)
    log.info("samples     %s", shown / runs.SAMPLES)
    log.info("scores      %s and %s beside it", shown / runs.METRICS, runs.RECORD)
    log.info("dashboards  %s", tensorboard_command(shown))
