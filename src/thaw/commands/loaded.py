"""The runs that a command works on with their models, on the device that is asked for."""

import logging

import torch
from omegaconf import DictConfig

from thaw import runs
from thaw.commands.errors import InputError
from thaw.commands.opening import device_in_words, say_loaded
from thaw.commands.selection import selected_runs
from thaw.training.experiment import compile_networks
from thaw.training.loading import LoadedRun, fit_prior, load_run

log = logging.getLogger(__name__)


def load_all(cfg: DictConfig, to_do: str) -> list[LoadedRun]:
    """The selected runs; with several, those that cannot be loaded are named and left out.

    Of each it is said what it is and what is ``to_do``, before a prior is fitted.

    Raises:
        InputError: none could be loaded, or there is no such device.
        ValueError: compile=true, and nothing can be compiled here.
    """
    where = device(cfg.device)
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
            say_loaded(run, runs.read_record(directory), device_in_words(where), to_do)
            if run.prior:
                fit_prior(run.experiment)
        except ValueError as error:
            if len(directories) == 1:
                raise InputError(str(error)) from error
            log.warning("left out: %s: %s", directory, error)
            continue
        run.experiment.module.to(where)
        if cfg.compile:
            compile_networks(run.experiment, where)
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
