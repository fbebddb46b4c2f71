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
        run_dir = Path(cfg.run)
        meant = in_place_of(run_dir)
        if not run_dir.is_dir():
            what = "a file, no directory" if run_dir.exists() else "no such directory"
            file = f", the file is for checkpoint={run_dir}" if run_dir.suffix == ".ckpt" else ""
            raise InputError(f"run={cfg.run}: {what}{meant}{file if 'checkpoint' in cfg else ''}")
        if meant:
            several = f", and runs={cfg.run} means all of them" if _runs_at(run_dir) else ""
            raise InputError(f"run={cfg.run} is no run's directory{meant}{several}")
        return [run_dir]
    patterns = [cfg.runs] if isinstance(cfg.runs, str) else list(cfg.runs)
    matches = sorted({match for pattern in patterns for match in glob.glob(pattern)})
    found = list(dict.fromkeys(run for match in matches for run in _runs_at(Path(match))))
    if not found:
        raise InputError(f"runs={cfg.runs}: no run directory there (a folder with a run.json)")
    return found


def in_place_of(path: Path) -> str:
    """The run's directory that is meant by a path that is none, or the runs in it; else empty."""
    if (path / runs.RECORD).is_file():
        return ""
    for folder in path.parents[:2]:
        if (folder / runs.RECORD).is_file():
            return f"; the run's directory is {folder}"
    found = _runs_at(path)
    return f"; it holds runs, such as {found[0]}" if found else ""


def _runs_at(path: Path) -> list[Path]:
    if (path / runs.RECORD).is_file():
        return [path]
    return sorted(record.parent for record in path.glob(f"*/{runs.RECORD}"))
