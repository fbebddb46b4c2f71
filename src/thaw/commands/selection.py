"""The run directories that a command works on."""

import glob
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from thaw import runs
from thaw.commands.errors import InputError
from thaw.groups import CONF
from thaw.reporting.labels import in_order


def selected_runs(cfg: DictConfig) -> list[Path]:
    """The run directories of ``run=DIR`` or ``runs=GLOB`` (or a list of them).

    A folder of runs, such as a sweep's, means all runs in it.
    """
    if (cfg.run is None) == (cfg.runs is None):
        raise InputError("give either run=DIR or runs='GLOB'")
    if cfg.run is not None:
        return [run_directory(cfg.run)]
    patterns = [cfg.runs] if isinstance(cfg.runs, str) else list(cfg.runs)
    matches = sorted({match for pattern in patterns for match in glob.glob(pattern)})
    found = _in_order(run for match in matches for run in _runs_at(Path(match)))
    if not found:
        raise InputError(f"runs={cfg.runs}: no run directory there (a folder with a run.json)")
    by_place: dict[Path, Path] = {}
    for run in found:
        by_place.setdefault(run.resolve(), run)
    return list(by_place.values())


def given_for_any_run() -> list[str]:
    """The overrides of the command, without those that say which runs, or where to write."""
    left_out = ("run=", "runs=", "out=")
    return [each for each in HydraConfig.get().overrides.task if not each.startswith(left_out)]


def run_directory(run: str, key: str = "run") -> Path:
    """The directory that ``run=`` (or another key) means; InputError where no run is there."""
    run_dir = found_in_zoo(run)
    meant = in_place_of(run_dir)
    if not run_dir.is_dir():
        what = "a file, not a directory" if run_dir.exists() else "no such directory"
        what += zoo_in_words(run)
        raise InputError(f"{key}={run}: {what}{meant}")
    if meant:
        raise InputError(f"{key}={run} is not the directory of a run{meant}")
    return run_dir


def found_in_zoo(run: str) -> Path:
    """The directory of ``run=``; zoo/NAME is a model that comes with thaw, wherever one stands."""
    packaged = CONF.parent / run
    is_packaged = run.startswith(f"{runs.ZOO}/") and not Path(run).exists()
    return packaged if is_packaged and packaged.is_dir() else Path(run)


def zoo_in_words(run: str) -> str:
    """The models that come with thaw, where one is asked for that does not."""
    names = sorted(path.parent.name for path in (CONF.parent / runs.ZOO).glob(f"*/{runs.WEIGHTS}"))
    return f" (the zoo has {', '.join(names)})" if run.startswith(f"{runs.ZOO}/") else ""


def folders_of(run_dirs: Sequence[Path]) -> list[Path]:
    """A relative path for each run that no other has: its name, and folders above it if need be."""
    parts = [run_dir.resolve().parts[1:] for run_dir in run_dirs]
    depth = 1
    while len({each[-depth:] for each in parts}) < len(set(parts)):
        depth += 1
    return [Path(*each[-depth:]) for each in parts]


def _in_order(found: Iterable[Path]) -> list[Path]:
    """The runs folder by folder, those of a sweep in its order."""
    folders: dict[Path, dict[Path, dict[str, Any]]] = defaultdict(dict)
    for run in found:
        try:
            folders[run.parent][run] = runs.read_record(run)
        except ValueError:  # reported by whoever uses it
            folders[run.parent][run] = {}
    return [run for records in folders.values() for run in in_order(records)]


def in_place_of(path: Path) -> str:
    """The run directory above a path, or the runs in it, in words; empty for a run directory."""
    if (path / runs.RECORD).is_file():
        return ""
    for folder in path.parents[:2]:
        if (folder / runs.RECORD).is_file():
            return f"; the run's directory is {folder}"
    found = _runs_at(path)
    return f"; it holds runs, such as {found[0]}: runs={path} means all" if found else ""


def _runs_at(path: Path) -> list[Path]:
    if (path / runs.RECORD).is_file():
        return [path]
    return sorted(record.parent for record in path.glob(f"*/{runs.RECORD}"))
