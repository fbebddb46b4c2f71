"""Keeps a run directory true: run.json from the first moment to the last, and what is run there."""

import json
import logging
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from thaw import runs, storage
from thaw.commands.app import CONF
from thaw.commands.errors import LOGGED, InputError, ProcessEndedError, as_input_errors, one_line
from thaw.commands.replay import OF_THE_COMMAND
from thaw.commands.sweeps import write_summaries
from thaw.provenance import git_state, requirements, versions
from thaw.stopping import Stopped
from thaw.training.experiment import resolved

log = logging.getLogger(__name__)


@contextmanager
def recorded(run_dir: Path, cfg: DictConfig) -> Iterator[Callable[[], None]]:
    """Keep run.json true, however the run ends.

    What it yields is to be called when the input is accepted, before training begins. A run that
    had begun before is left as it was where it is not, or where the first step is refused.
    """
    recording = _Recording(run_dir, cfg)
    try:
        recording.begin()
        yield recording.accept
        recording.end["status"] = "completed"
    except BaseException as problem:
        recording.note(problem)
        raise
    finally:
        recording.close()


class _Recording:
    """What was in a run directory before, and how the run in it ends."""

    def __init__(self, run_dir: Path, cfg: DictConfig) -> None:
        self.run_dir = run_dir
        self.cfg = cfg
        self.start = datetime.now(UTC)
        self.previous = runs.read_record(run_dir)
        self.had_begun = "dataset" in self.previous
        paths = _origin(run_dir)
        self.before = {path: path.read_bytes() if path.is_file() else b"" for path in paths}
        self.is_accepted = False
        self.end: dict[str, Any] = {"status": "failed", "error": None, runs.SIGNAL: None}

    def begin(self) -> None:
        start = self.previous.get("start") or self.start.isoformat(timespec="seconds")
        here = {"status": "running", "host": platform.node(), "start": start}
        runs.update_record(self.run_dir, here | {"error": None, runs.SIGNAL: None})
        if not self.had_begun:
            with as_input_errors():
                record_origin(self.run_dir, self.cfg)
        write_summaries()

    def accept(self) -> None:
        record_origin(self.run_dir, self.cfg)
        self.is_accepted = True

    def note(self, problem: BaseException) -> None:
        """Why the run has ended; a fault goes into the log with its traceback."""
        if isinstance(problem, Stopped):
            self.end["status"] = "interrupted"
        elif isinstance(problem, InputError):
            self.is_accepted = False
            self.end["error"] = one_line(problem)
            # That of a sweep's job is logged for all to see.
            if HydraConfig.get().mode == RunMode.RUN:
                _log_to_files(self.end["error"])
        elif not isinstance(problem, storage.GoneError):
            self.end["error"] = one_line(problem)
            if isinstance(problem, ProcessEndedError):
                self.end[runs.SIGNAL] = problem.signal_number
            log.exception("the run failed")
            problem.add_note(LOGGED)

    def close(self) -> None:
        now = datetime.now(UTC)
        wall = self.previous.get("wall_time_s", 0) + (now - self.start).total_seconds()
        times = {"end": now.isoformat(timespec="seconds"), "wall_time_s": round(wall, 1)}
        try:
            if self.had_begun and not self.is_accepted:
                for path, contents in self.before.items():
                    storage.write_if_changed(path, contents)
            else:
                runs.update_record(self.run_dir, self.end | times)
        except (storage.WriteError, storage.GoneError) as problem:
            # What ended the run is said first.
            if self.end["status"] == "completed":
                raise
            if isinstance(problem, storage.WriteError):
                log.exception("run.json could only be marked")


def _origin(run_dir: Path) -> list[Path]:
    """The files that :func:`record_origin` writes."""
    names = (
        runs.RECORD, runs.CONFIG, runs.HYDRA, runs.OVERRIDES, runs.GIT_DIFF, runs.REQUIREMENTS
    )  # fmt: skip
    return [run_dir / name for name in names]


def record_origin(run_dir: Path, cfg: DictConfig) -> None:
    """Say in a run directory what is run there: the configuration, its overrides, the code.

    Hydra would write ``.hydra`` itself, but before anything is checked: what is refused would be
    taken up by the next ``resume=``.
    """
    config = resolved(cfg)  # first: where a reference leads nowhere its error has the key
    git, patch = git_state(CONF.parent)
    # What is run again is the same run.
    overrides = [
        override
        for override in HydraConfig.get().overrides.task
        if not override.startswith("sweep.retry_failed=")
    ]
    # The number of a sweep's job, by which its table is sorted.
    is_job = HydraConfig.get().mode == RunMode.MULTIRUN
    job = {"job_number": HydraConfig.get().job.num} if is_job else {}
    runs.update_record(
        run_dir,
        job
        | {
            "name": cfg.name or run_dir.name,
            "overrides": overrides,
            "seed": cfg.seed,
            "versions": versions(),
            "git": git,
            "config": config,
        },
    )
    for name, contents in (
        (runs.CONFIG, OmegaConf.to_yaml(cfg)),
        (runs.HYDRA, OmegaConf.to_yaml({"hydra": HydraConfig.get()})),
        (runs.OVERRIDES, OmegaConf.to_yaml(overrides)),
    ):
        storage.write_if_changed(run_dir / name, contents.encode())
    storage.write_if_changed(run_dir / runs.GIT_DIFF, patch)
    storage.write_if_changed(run_dir / runs.REQUIREMENTS, requirements().encode())


def reason_to_skip(cfg: DictConfig, run_dir: Path, is_sweep: bool) -> str | None:
    """Why the run in this directory is not run again by this very configuration, if so.

    One that is finished is not; in a sweep one that failed by itself is not, unless it is asked
    for.
    """
    if cfg.resume != "auto":
        return None
    record = runs.read_record(run_dir)
    status = record.get("status")
    if status not in ("completed", "failed") or not _is_of(record.get("config"), cfg):
        return None
    if status == "completed":
        return "finished already, not run again"
    if is_sweep and not cfg.sweep.retry_failed and not record.get(runs.SIGNAL):
        return f"failed before ({record.get('error')}), sweep.retry_failed=true runs it again"
    return None


def _is_of(config: Any, cfg: DictConfig) -> bool:
    """Whether a stored configuration trains what ``cfg`` does."""
    if not isinstance(config, dict):
        return False
    # As it comes back from run.json, in which keys are text and some numbers have no word.
    current = json.loads(json.dumps(runs.finite(resolved(cfg))))
    return all(
        config.get(key) == current.get(key)
        for key in (config.keys() | current.keys()) - set(OF_THE_COMMAND)
    )


def _log_to_files(message: str) -> None:
    """Into train.log only: the screen shows the same line at the very end."""
    record = log.makeRecord(log.name, logging.ERROR, __file__, 0, message, (), None)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)
