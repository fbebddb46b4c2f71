"""The trained runs that a command works on, on the device that is asked for."""

import logging
from pathlib import Path

import torch
from omegaconf import DictConfig

from thaw import runs
from thaw.commands.errors import InputError, one_line
from thaw.commands.selection import selected_runs
from thaw.training.experiment import compile_networks
from thaw.training.loading import LoadedRun, fit_other_prior, load_run
from thaw.training.opening import device_in_words, say_loaded

log = logging.getLogger(__name__)


def load_selected(cfg: DictConfig, to_do: str, for_use: bool = True) -> list[LoadedRun]:
    """The selected runs; with several, those that cannot be loaded are named and left out.

    What is ``to_do`` with each is logged before a prior is fitted. ``for_use=False`` finds errors
    at little cost, and loads no weights.
    """
    where = device(cfg.device)
    directories = selected_runs(cfg)
    loaded = []
    for directory in directories:
        try:
            loaded.append(load_one(directory, cfg, to_do, where, for_use))
        except ValueError as error:
            if len(directories) == 1:
                raise InputError(str(error)) from error
            log.warning("left out: %s: %s", directory, error)
    if not loaded:
        raise InputError("none of the runs could be loaded")
    return loaded


def load_one(
    directory: Path, cfg: DictConfig, to_do: str, where: torch.device, for_use: bool = True
) -> LoadedRun:
    """One run on its device, as :func:`load_selected`."""
    chosen = (cfg.checkpoint, cfg.sampler, cfg.trusted, cfg.data.root, cfg.weights, cfg.prior)
    run = load_run(directory, *chosen, for_use)
    if for_use:
        say_loaded(run, runs.read_record(directory), device_in_words(where), to_do)
        fit_other_prior(run)
        run.experiment.module.to(where)
        if cfg.compile:
            compile_networks(run.experiment, where)
    return run


def device(name: str) -> torch.device:
    """The device called ``name``; ``auto`` is a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        where = torch.device(name)
        torch.zeros(1, device=where).item()
    except Exception as error:  # each kind of device has errors of its own
        raise InputError(
            f"device must be auto, cpu or another that is here, got {name}: {one_line(error)}"
        ) from None
    return where
