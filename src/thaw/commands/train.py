"""python train.py: one run, from a composed configuration to a finished run directory."""

import logging
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from tqdm.contrib.logging import logging_redirect_tqdm

from thaw import ranks, runs
from thaw.commands import search
from thaw.commands.app import CONF
from thaw.commands.errors import InputError, as_input_errors, one_line
from thaw.commands.processes import check_processes, follow, together
from thaw.commands.provenance import git_state, processor, tensorboard_command, versions
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.stopping import Stopped
from thaw.training.callbacks.checkpoints import Checkpoints, StopAfterStep
from thaw.training.callbacks.epoch_scores import EpochScores
from thaw.training.callbacks.guard import Guard
from thaw.training.callbacks.losses import LossLog
from thaw.training.callbacks.restoration import Restorations
from thaw.training.callbacks.run_files import RunFiles
from thaw.training.callbacks.scores import Scores
from thaw.training.callbacks.tensorboard import TensorBoardPages
from thaw.training.checkpoint_files import CheckpointFiles, newest_good
from thaw.training.estimate import final_estimate
from thaw.training.experiment import Experiment, build, check_classes, make, resolved
from thaw.training.restoration import check_restored, final_restoration

log = logging.getLogger(__name__)
RESUME = ("auto", "never")


def main(cfg: DictConfig) -> float | None:
    """Train as configured, into Hydra's output directory; the result is the ``sweep.metric``.

    Raises:
        InputError: the configuration or an input is wrong; nothing was trained.
    """
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    _quieten()
    if ranks.rank() > 0:  # the directory and its record are the first process's
        follow()
        _train(cfg, run_dir)
        return None
    if _is_finished(cfg, run_dir):
        log.info("finished already, not run again: %s", run_dir)
    else:
        with recorded(run_dir, cfg):
            _warn_of_what_has_no_effect(cfg)
            _train(cfg, run_dir)
            _say_where(run_dir)
    return search.result(cfg, run_dir)


def _train(cfg: DictConfig, run_dir: Path) -> None:
    """From the checkpoint, if there is one, to the last score."""
    checkpoint = _checkpoint_to_resume(cfg, run_dir)
    with as_input_errors():
        pl.seed_everything(cfg.seed, verbose=False)
        choices = HydraConfig.get().runtime.choices
        experiment, trainer = prepare(cfg, run_dir, choices)
    place = (trainer.global_rank, trainer.world_size)
    with together(trainer, HydraConfig.get().overrides.task, run_dir):
        start = time.perf_counter()
        with logging_redirect_tqdm():
            trainer.fit(
                experiment.module,
                datamodule=experiment.data,
                ckpt_path=checkpoint,
                weights_only=True,
            )
        # Lightning has moved it to the CPU.
        experiment.module.to(trainer.strategy.root_device).eval()
        training_s = time.perf_counter() - start
        log.info("trained to epoch %d in %s", trainer.current_epoch, _duration(training_s))
        runs.update_record(run_dir, {"training_s": round(training_s, 1)})
        last = (cfg.seed, trainer.current_epoch, place)
        final_estimate(experiment, cfg.metrics, run_dir, *last)
        final_restoration(experiment, cfg.metrics, run_dir, *last)


def prepare(
    cfg: DictConfig, run_dir: Path, choices: Mapping[str, str]
) -> tuple[Experiment, pl.Trainer]:
    """Everything that can fail before the first step: objects, data, reference, trainer."""
    provenance: dict[str, Any] = {"config": resolved(cfg), "versions": versions()}
    search.check_metric(cfg)
    experiment = build(cfg, provenance)
    data, suite = experiment.data, experiment.suite
    check_classes(experiment.module.restorer, data)
    check_restored(cfg.metrics, experiment)
    data.setup()
    restorer = experiment.module.restorer
    restorer.degradation.fit(data.train_images)
    restorer.fit_labels(data.train_labels)
    experiment.module.prior.fit(data.train_images, restorer.degradation)
    if suite is not None and suite.reference is None:
        suite.fit_reference(data.train_images, data.test_images)
    encoder = suite.name if suite else "none"
    provenance |= {"encoder": encoder, "dataset": {"name": data.name, "checksum": data.checksum}}
    trainer = _make_trainer(cfg, run_dir, experiment, choices)
    runs.update_record(
        run_dir,
        {
            "dataset": provenance["dataset"],
            "encoder": encoder,
            "config": provenance["config"],
            "choices": dict(choices),
            "cpu": processor(),
            "device": _device_name(trainer.strategy.root_device),
            "num_threads": torch.get_num_threads(),
            "num_parameters": sum(p.numel() for p in experiment.restorer.network.parameters()),
        },
    )
    return experiment, trainer


def _make_trainer(
    cfg: DictConfig, run_dir: Path, experiment: Experiment, choices: Mapping[str, str]
) -> pl.Trainer:
    scores = _make_scores(cfg, experiment)
    context = {
        "run_dir": run_dir,
        "sampler": experiment.sampler,
        "data": experiment.data,
        "seed": cfg.seed,
    }
    chosen = {name: make(node, **context) for name, node in cfg.callbacks.items() if node}
    if not cfg.trainer.enable_progress_bar:
        chosen.pop("progress", None)
    loggers = [make(node) for node in cfg.logger.values() if node]
    pages = TensorBoardPages(
        experiment.module.provenance["config"],
        choices,
        experiment.suite.name if experiment.suite else "none",
    )
    # Scores before what shows them; RunFiles last of all that read logged values.
    callbacks = [Guard(run_dir, experiment.data), LossLog(), *scores, pages, *chosen.values()]
    checkpoints = Checkpoints(run_dir, cfg.checkpoint.every_n_steps)
    trainer: pl.Trainer = make(
        cfg.trainer,
        callbacks=[*callbacks, RunFiles(run_dir, scores), StopAfterStep(checkpoints), checkpoints],
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
    # Noise leaves nothing of the image to be restored.
    is_noise = isinstance(experiment.restorer.degradation, Gaussian)
    if metrics.num_restored_each_epoch > 0 and not is_noise:
        images = experiment.data.val_images[: metrics.num_restored_each_epoch]
        scores.append(Restorations(images, sampler, suite, *shared))
    return scores


@contextmanager
def recorded(run_dir: Path, cfg: DictConfig) -> Iterator[None]:
    """Keep run.json true from the first moment to the last, however the run ends."""
    start = datetime.now(UTC)
    previous = runs.read_record(run_dir)
    runs.update_record(
        run_dir,
        {
            "status": "running",
            "name": cfg.name or run_dir.name,
            "overrides": list(HydraConfig.get().overrides.task),
            "seed": cfg.seed,
            "versions": versions(),
            "git": git_state(CONF.parent),
            "start": previous.get("start") or start.isoformat(timespec="seconds"),
            "error": None,
        },
    )
    status, error = "failed", None
    try:
        yield
        status = "completed"
    except Stopped:
        status = "interrupted"
        raise
    except InputError as problem:
        error = one_line(problem)
        _log_to_files(error)
        raise
    except BaseException as problem:
        error = one_line(problem)
        log.exception("the run failed")
        raise
    finally:
        end = datetime.now(UTC)
        wall = previous.get("wall_time_s", 0) + (end - start).total_seconds()
        changes = {"end": end.isoformat(timespec="seconds"), "wall_time_s": round(wall, 1)}
        runs.update_record(run_dir, {"status": status, "error": error} | changes)


def _log_to_files(message: str) -> None:
    """Into train.log only: the screen shows the same line at the very end."""
    record = log.makeRecord(log.name, logging.ERROR, __file__, 0, message, (), None)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)


def _is_finished(cfg: DictConfig, run_dir: Path) -> bool:
    """Whether the run in this directory ended well, of this very configuration."""
    if cfg.resume != "auto":
        return False
    record = runs.read_record(run_dir)
    return record.get("status") == "completed" and record.get("config") == resolved(cfg)


def _checkpoint_to_resume(cfg: DictConfig, run_dir: Path) -> Path | None:
    if cfg.resume not in RESUME:
        raise InputError(f"resume must be auto, never or a run directory, not {cfg.resume!r}")
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
    log.info("continuing from %s", path)
    return path


def _warn_of_what_has_no_effect(cfg: DictConfig) -> None:
    changed = [key for key in HydraConfig.get().overrides.task if key.startswith("schedule")]
    if changed and "schedule" not in cfg.degradation:
        log.warning("%s has no effect: this degradation takes no schedule", " ".join(changed))


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _quieten() -> None:
    """Lightning's advice on things that are so on purpose, and its notes on itself."""
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
    try:
        shown = run_dir.relative_to(Path.cwd())
    except ValueError:
        shown = run_dir
    log.info("samples     %s", shown / runs.SAMPLES)
    log.info("scores      %s and %s beside it", shown / runs.METRICS, runs.RECORD)
    log.info("dashboards  %s", tensorboard_command(shown))
