"""Which runs a command works on."""

import glob
from pathlib import Path

from omegaconf import DictConfig

from thaw import runs
from thaw.commands.errors import InputError


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
