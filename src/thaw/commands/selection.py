"""Which runs a command works on, and on which device."""

import glob
import logging
from pathlib import Path

import torch
from omegaconf import DictConfig

from thaw import runs
from thaw.commands.errors import InputError
from thaw.training.loading import LoadedRun, load_run

log = logging.getLogger(__name__)


def selected_runs(cfg: DictConfig) -> list[Path]:
    """The run directories that ``run=DIR`` or ``runs=GLOB`` (or a list of them) means.

    A folder of runs, such as a sweep's, means all runs in it.

    Raises:
        InputError: neither or both are given, or nothing is there.
    """
    if (cfg.run is None) == (cfg.runs is None):
        raise InputError("give either run=DIR or runs='GLOB'")
    if cfg.run is not None:
        if not Path(cfg.run).is_dir():
            raise InputError(f"run={cfg.run}: no such directory")
        return [Path(cfg.run)]
    patterns = [cfg.runs] if isinstance(cfg.runs, str) else list(cfg.runs)
    matches = sorted({match for pattern in patterns for match in glob.glob(pattern)})
    found = list(dict.fromkeys(run for match in matches for run in _runs_at(Path(match))))
    if not found:
        raise InputError(f"runs={cfg.runs}: no run directory there (a folder with a run.json)")
    return found


def _runs_at(path: Path) -> list[Path]:
    if (path / runs.RECORD).is_file():
        return [path]
    return sorted(record.parent for record in path.glob(f"*/{runs.RECORD}"))


def load_all(cfg: DictConfig) -> list[LoadedRun]:
    """The selected runs; with several, those that cannot be loaded are named and left out.

    Raises:
        InputError: none could be loaded.
    """
    directories = selected_runs(cfg)
    loaded = []
    for directory in directories:
        try:
            run = load_run(
                directory,
                cfg.checkpoint,
                cfg.sampler,
                cfg.trusted,
                cfg.data.root,
                cfg.weights,
                cfg.prior,
            )
        except ValueError as error:
            if len(directories) == 1:
                raise InputError(str(error)) from error
            log.warning("left out: %s: %s", directory, error)
            continue
        run.experiment.module.to(device(cfg.device))
        loaded.append(run)
    if not loaded:
        raise InputError("none of the runs could be loaded")
    return loaded


def device(name: str) -> torch.device:
    """The device called ``name``; ``auto`` is a GPU where there is one.

    Raises:
        InputError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(name)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device={name}: {str(error).splitlines()[0]}") from error
    return chosen
