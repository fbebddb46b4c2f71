"""Keeps a run directory one process's, and true: run.json from first to last, what is run there."""

import json
import logging
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from thaw import runs, storage
from thaw.commands.app import CONF
from thaw.commands.errors import LOGGED, InputError, ProcessEndedError, as_input_errors, one_line
from thaw.commands.pruning import is_trial
from thaw.commands.stored import OF_THE_COMMAND
from thaw.commands.sweeps import write_summaries
from thaw.provenance import git_state, requirements, versions
from thaw.stopping import Stopped
from thaw.training.experiment import resolved

log = logging.getLogger(__name__)


# runs.is_held takes the lock for a moment.
MOMENT_S = 0.2


class InUseError(InputError):
    """Another process is training in the run directory."""


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Lock a run directory for this process.

    The operating system holds the lock: it ends with the process, however that ends, and the file
    that is left locks nothing.
    """
    lock = FileLock(run_dir / storage.LOCK, timeout=MOMENT_S)
    try:
        lock.acquire()
    except Timeout:
        raise InUseError(f"{run_dir} is in use: another process is training there") from None
    try:
        yield
    finally:
        lock.release()


# The files that :func:`record_origin` writes.
ORIGIN = (
    runs.RECORD, runs.CONFIG, runs.HYDRA, runs.OVERRIDES, runs.GIT_DIFF, runs.REQUIREMENTS
)  # fmt: skip


@contextmanager
def recorded(run_dir: Path, cfg: DictConfig) -> Iterator[Callable[[], None]]:
    """Keep run.json true, however the run ends.

    What it yields is to be called when the input is accepted, before training begins. A run that
    had begun before is left as it was where it is not, or where the first step is refused.
    """
    begin, previous = datetime.now(UTC), runs.read_record(run_dir)
    files = [run_dir / name for name in ORIGIN] if "dataset" in previous else []
    before = {path: path.read_bytes() if path.is_file() else b"" for path in files}
    is_left = bool(before)
    end: dict[str, Any] = {"status": "completed", "error": None, runs.SIGNAL: None}

    def accept() -> None:
        nonlocal is_left
        record_origin(run_dir, cfg)
        is_left = False

    try:
        start = previous.get("start") or begin.isoformat(timespec="seconds")
        here = {"status": "running", "host": platform.node(), "start": start, runs.ENDED_BY: None}
        runs.update_record(run_dir, end | here)
        if not before:
            with as_input_errors():
                record_origin(run_dir, cfg)
        write_summaries()
        yield accept
    except BaseException as problem:
        is_left = is_left or (bool(before) and isinstance(problem, InputError))
        end |= _end_by(problem)
        raise
    finally:
        now = datetime.now(UTC)
        wall = previous.get("wall_time_s", 0) + (now - begin).total_seconds()
        end |= {"end": now.isoformat(timespec="seconds"), "wall_time_s": round(wall, 1)}
        try:
            if is_left:
                for path, contents in before.items():
                    storage.write_if_changed(path, contents)
            else:
                runs.update_record(run_dir, end)
        except storage.GoneError:
            if end["status"] == "completed":  # otherwise what ended the run is said first
                raise
        except storage.WriteError:
            if end["status"] == "completed":
                raise
            log.exception("run.json could only be marked")


def _end_by(problem: BaseException) -> dict[str, Any]:
    """What run.json says of a run that this has ended; a fault is logged with its traceback."""
    if isinstance(problem, Stopped):
        return {"status": "interrupted"}
    if not isinstance(problem, InputError | storage.GoneError):
        log.exception("the run failed")
        problem.add_note(LOGGED)
    number = problem.signal_number if isinstance(problem, ProcessEndedError) else None
    return {"status": "failed", "error": one_line(problem), runs.SIGNAL: number}


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
        (runs.CONFIG, OmegaConf.to_yaml(cfg).encode()),
        (runs.HYDRA, OmegaConf.to_yaml({"hydra": HydraConfig.get()}).encode()),
        (runs.OVERRIDES, OmegaConf.to_yaml(overrides).encode()),
        (runs.GIT_DIFF, patch),
        (runs.REQUIREMENTS, requirements().encode()),
    ):
        storage.write_if_changed(run_dir / name, contents)


def reason_to_skip(cfg: DictConfig, run_dir: Path, is_sweep: bool) -> str | None:
    """Why the run in this directory is not run again by this very configuration, if so.

    One that is finished is not; in a sweep one that failed by itself is not, unless it is asked
    for. One that a search has ended early is finished for a search alone.
    """
    if cfg.resume != "auto":
        return None
    record = runs.read_record(run_dir)
    status = record.get("status")
    if status not in ("completed", "failed") or not _is_of(record.get("config"), cfg):
        return None
    if runs.is_pruned(record) and not is_trial():
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
