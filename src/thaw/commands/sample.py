"""python sample.py: images that a run generates, or (task=restore) degraded ones restored."""

import logging
from pathlib import Path
from types import ModuleType

from omegaconf import DictConfig

from thaw import runs, storage
from thaw.commands import generate, restore
from thaw.commands.errors import as_input_errors
from thaw.commands.keys import check_read
from thaw.commands.selection import folders_of
from thaw.commands.trained import load_selected
from thaw.training.loading import LoadedRun

log = logging.getLogger(__name__)


# Each task has check_keys(cfg), to_do(cfg), prepare(run, cfg), write(run, prepared, out, cfg), and
# folder(run, cfg), where ``out`` is null.
TASKS = {"generate": generate, "restore": restore}


def main(cfg: DictConfig) -> None:
    """Sample each selected run, or restore by it, into ``out``, a folder for each of several."""
    with as_input_errors():
        task = _checked_task(cfg)
        loaded = load_selected(cfg, task.to_do(cfg))
        outs = _outs(loaded, task, cfg)
        for run, out in zip(loaded, outs, strict=True):
            storage.check_no_links(run.run_dir, out)
        selected = [(run, task.prepare(run, cfg)) for run in loaded]
    for (run, prepared), out in zip(selected, outs, strict=True):
        task.write(run, prepared, out, cfg)
        log.info("written to  %s", out)


def check(cfg: DictConfig) -> list[Path]:
    """Refuse what cannot be sampled, as far as that takes neither data nor weights.

    Returns:
        The folders that would be written into.
    """
    task = _checked_task(cfg)
    loaded = load_selected(cfg, task.to_do(cfg), for_use=False)
    if cfg.digit is not None:
        for run in loaded:
            generate.chosen_classes(run, cfg, cfg.num_samples)
    return _outs(loaded, task, cfg)


def _checked_task(cfg: DictConfig) -> ModuleType:
    check_read(cfg)
    task = TASKS[cfg.task]
    task.check_keys(cfg)
    return task


def _outs(loaded: list[LoadedRun], task: ModuleType, cfg: DictConfig) -> list[Path]:
    """The folder of each run."""
    if not cfg.out:
        return [runs.results_of(run.run_dir) / task.folder(run, cfg) for run in loaded]
    if len(loaded) == 1:
        return [Path(cfg.out)]
    return [Path(cfg.out) / name for name in folders_of([run.run_dir for run in loaded])]
