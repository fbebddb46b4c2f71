"""python train.py: one run, from a composed configuration to a finished run directory."""

import logging
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from thaw import ranks, runs, storage
from thaw.commands import app, pruning, report, search
from thaw.commands.app import CONF
from thaw.commands.comparison import changes_since, check_same, warn_of_other_data
from thaw.commands.errors import InputError, as_input_errors
from thaw.commands.keys import check_read
from thaw.commands.processes import check_processes, follow, together
from thaw.commands.recording import InUseError, locked, reason_to_skip, recorded
from thaw.commands.selection import found_in_zoo
from thaw.provenance import sample_command, tensorboard_command
from thaw.training.callbacks.run_files import read_metrics
from thaw.training.checkpoint_files import newest_good
from thaw.training.experiment import resolved
from thaw.training.initial import Initial, read_initial
from thaw.training.nodes import members
from thaw.training.planning import plan
from thaw.training.stored_targets import check_stored
from thaw.training.training import NothingTrainedError, Training

log = logging.getLogger(__name__)


def main(cfg: DictConfig) -> float | None:
    """Train as configured, into Hydra's output directory; the result is the ``sweep.metric``.

    A job of a sweep is left to another process that is at it.
    """
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    is_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    # On a full disk each line of the log would come with a traceback of its own.
    logging.raiseExceptions = False
    threading.excepthook = _log_thread
    return run(cfg, run_dir, time.monotonic() if is_sweep else app.started_s, is_sweep)


def run(cfg: DictConfig, run_dir: Path, began: float, is_sweep: bool = False) -> float | None:
    """As :func:`main`, for a job of Hydra's whose directory is there; ``began`` as in ready."""
    _quieten()
    _keep_plan(cfg, run_dir)
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
                    _train(cfg, run_dir, accepted, began)
                if cfg.report:
                    report.write([run_dir], run_dir / "report", title=run_dir.name)
                _say_where(cfg, run_dir)
            else:
                log.info("%s: %s", reason, run_dir)
                with as_input_errors():
                    check_same(cfg, run_dir)
                    pruning.of_trial(cfg, run_dir)  # a search is told of the epochs
    except InUseError as error:
        if not is_sweep or pruning.is_trial():
            raise
        log.info("left out: %s", error)
    return search.result(cfg, run_dir)


def check(cfg: DictConfig) -> list[Path]:
    """Refuse what no run can come of, as far as that takes no data; and where the run would be."""
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    _keep_plan(cfg, run_dir)
    if not (cfg.sweep.name and reason_to_skip(cfg, run_dir, is_sweep=True)):
        _composed(cfg, run_dir)
        if cfg.init_from and (cfg.resume == "never" or newest_good(run_dir)[0] is None):
            _initial(cfg)
    return [run_dir]


def _train(
    cfg: DictConfig,
    run_dir: Path,
    accepted: Callable[[], None] | None = None,
    began: float | None = None,
) -> None:
    """From the checkpoint, if there is one, to the last score; ``began`` by the monotonic clock."""
    with as_input_errors():
        training = ready(cfg, run_dir, began)
        if accepted is not None:
            accepted()
    with together(training.trainer, HydraConfig.get().overrides.task, run_dir):
        try:
            training.fit()
            training.score()
        except BaseException as error:
            training.close(failed=True)
            if isinstance(error, NothingTrainedError):
                raise InputError(str(error)) from error.__cause__
            raise


def ready(cfg: DictConfig, run_dir: Path, began: float | None = None) -> Training:
    """A training whose data is read, with nothing left to do before the first step.

    ``began`` is when its ``minutes`` began, by the monotonic clock; None is now.

    Raises:
        ValueError: the configuration, the data or the checkpoint to go on from is not valid.
    """
    training = _composed(cfg, run_dir)
    checkpoint = _checkpoint_to_resume(cfg, run_dir)
    initial = _initial(cfg) if checkpoint is None else None
    training.read_data()
    _warn_of_what_has_no_effect(cfg)
    warn_of_other_data(cfg, training.experiment.data.identity)
    training.prepare(checkpoint, initial)
    if cfg.minutes is not None:
        _plan(training, time.monotonic() if began is None else began)
    return training


def _plan(training: Training, began: float) -> None:
    """Set the number of epochs to what ``minutes`` allow."""
    cfg = training.cfg
    epochs = plan(training, 60 * cfg.minutes - (time.monotonic() - began))
    training.end_after(epochs)
    threads = {"num_threads": torch.get_num_threads()}
    planned = {"minutes": cfg.minutes, "epochs": epochs} | threads
    runs.update_record(training.run_dir, threads | {"planned": planned})


def _keep_plan(cfg: DictConfig, run_dir: Path) -> None:
    """Take the numbers of epochs and threads that the run in this directory was planned with."""
    planned = runs.read_record(run_dir).get("planned") or {}
    if cfg.minutes is not None and cfg.resume == "auto" and planned.get("minutes") == cfg.minutes:
        cfg.trainer.max_epochs, cfg.minutes = planned["epochs"], None
        torch.set_num_threads(planned["num_threads"])


def _composed(cfg: DictConfig, run_dir: Path) -> Training:
    """The training of a configuration, with everything refused that can be before data is read."""
    check_read(cfg)
    training = Training(cfg, run_dir, _choices(cfg), pruning.of_trial(cfg, run_dir))
    search.check_metric(cfg, training.restored_stages)
    check_processes(training.trainer, training.experiment.data.batch_size)
    if cfg.minutes is not None and training.trainer.world_size > 1:
        raise InputError("minutes plans a run on one device: give trainer.max_epochs for several")
    return training


def _choices(cfg: DictConfig) -> dict[str, Any]:
    """What was chosen from each group; of a stored run what it had chosen, if it may be run."""
    if cfg.replay is None:
        # Hydra names no choice where several are by default.
        loggers = ",".join(members(cfg, "logger")) or "none"
        return {"logger": loggers} | dict(HydraConfig.get().runtime.choices)
    stored = Path(cfg.replay)
    check_stored(resolved(cfg), cfg.trusted)
    for line in changes_since(stored, CONF.parent):
        log.warning("%s", line)
    choices: dict[str, Any] = runs.read_record(stored).get("choices") or {}
    return choices


def _checkpoint_to_resume(cfg: DictConfig, run_dir: Path) -> Path | None:
    if cfg.resume == "never":
        return None
    path, problems = newest_good(run_dir)
    if path is None:
        if problems:
            raise InputError(f"{'; '.join(problems)}; resume=never starts the run again")
        return None
    for problem in problems:
        log.warning("%s; going on from %s", problem, path.name)
    read_metrics(run_dir)
    if cfg.minutes is not None:
        raise InputError(
            f"minutes plans a run before its first step, and {run_dir} has one: give "
            "trainer.max_epochs, or resume=never to start again"
        )
    log.info("continuing from %s", path)
    for line in changes_since(run_dir, CONF.parent):
        log.warning("%s", line)
    return path


def _initial(cfg: DictConfig) -> Initial | None:
    return read_initial(found_in_zoo(cfg.init_from)) if cfg.init_from else None


def _warn_of_what_has_no_effect(cfg: DictConfig) -> None:
    overrides = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    assert isinstance(overrides, list)
    changed = [override for override in overrides if override.startswith("schedule")]
    if changed and "${schedule}" not in OmegaConf.to_yaml(cfg.degradation):
        log.warning("%s has no effect: this degradation takes no schedule", " ".join(changed))


def _log_thread(arguments: threading.ExceptHookArgs) -> None:
    """What ends a thread, such as TensorBoard's on a full disk; whoever waits for it fails too."""
    found = (arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
    log.error("%s failed", arguments.thread, exc_info=found)  # type: ignore[arg-type]


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


def _say_where(cfg: DictConfig, run_dir: Path) -> None:
    shown = runs.shown(run_dir)
    log.info("samples     %s", shown / runs.SAMPLES)
    log.info("scores      %s and %s beside it", shown / runs.METRICS, runs.RECORD)
    log.info("next        %s", sample_command(shown, "num_samples=64"))
    log.info("            %s", sample_command(shown, "task=restore", "num_samples=8"))
    if "tensorboard" in members(cfg, "logger"):
        log.info("            %s", tensorboard_command(shown))
