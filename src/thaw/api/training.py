"""``thaw.train``: what train.py does, in a process that goes on afterwards."""

import copy
import logging
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from thaw import ranks, runs
from thaw.api.composing import as_arguments
from thaw.api.errors import as_value_errors
from thaw.api.loading import load
from thaw.api.run import Run
from thaw.commands import directories
from thaw.commands import train as command
from thaw.commands.composing import composed
from thaw.commands.malloc import keep_freed_memory
from thaw.stopping import Stopped, listening


def train(*overrides: str, **keys: object) -> Run:
    """Train as ``python train.py OVERRIDES`` does, into the same kind of run directory.

        run = thaw.train("degradation=column_random", "trainer.max_epochs=1")
        run = thaw.train("degradation=column_random", minutes=10)
        run = thaw.train(resume=run.directory)

    The log goes to standard output and to ``train.log``. An interrupted run (the stop button,
    Ctrl-C) ends after the step under way, saved, and ``resume=`` goes on with it.

    Args:
        overrides: ``KEY=VALUE`` and ``GROUP=CHOICE``, as on the command line.
        keys: the same for keys without a dot, such as ``minutes=10`` or ``resume=DIRECTORY``.

    Returns:
        The finished run.

    Raises:
        ValueError: what the command would refuse, in its one line.
        KeyboardInterrupt: the run was interrupted; the message has the call that resumes it.
    """
    began = time.monotonic()
    arguments = as_arguments(overrides, keys)
    with as_value_errors(arguments), _as_before(), _job(arguments) as (cfg, run_dir):
        packages = sorted(_packages(OmegaConf.to_container(cfg)) | set(cfg.trusted))
        try:
            with listening(), _logged():
                command.run(cfg, run_dir, began)
        except Stopped as stop:
            if stop.number != signal.SIGINT:
                signal.raise_signal(stop.number)
            hint = f"thaw.train(resume={str(runs.shown(run_dir))!r}) goes on"
            raise KeyboardInterrupt(hint) from None
    return load(run_dir, trusted=packages)


@contextmanager
def _job(arguments: list[str]) -> Iterator[tuple[DictConfig, Path]]:
    """What Hydra does for a job: the configuration, its own beside it, and the directory."""
    ranks.forget_left_over()
    keep_freed_memory()
    directories.release_directories()
    whole = composed("train", arguments)
    run_dir = Path(str(whole.hydra.run.dir)).absolute()
    run_dir.mkdir(parents=True, exist_ok=True)
    with read_write(whole.hydra.runtime), open_dict(whole.hydra.runtime):
        whole.hydra.runtime.output_dir = str(run_dir)
    cfg = copy.deepcopy(whole)
    with open_dict(cfg):
        del cfg["hydra"]
    instance = HydraConfig.instance()
    before = instance.cfg
    try:
        instance.set_config(whole)
        yield cfg, run_dir
    finally:
        instance.cfg = before


@contextmanager
def _as_before() -> Iterator[None]:
    """Leave the process with its own number of threads and its own warnings."""
    num_threads = torch.get_num_threads()
    try:
        with warnings.catch_warnings():
            # tqdm asks for widgets, for bars that are not shown.
            warnings.filterwarnings("ignore", "IProgress not found")
            yield
    finally:
        torch.set_num_threads(num_threads)


@contextmanager
def _logged() -> Iterator[None]:
    """Log to standard output and to the run's file, as Hydra's configuration for a job says."""
    job_logging: Any = HydraConfig.get().job_logging
    simple = job_logging.formatters.simple
    formatter = logging.Formatter(simple.format, simple.datefmt)
    root = logging.getLogger()
    level = root.level
    file = logging.FileHandler(job_logging.handlers.file.filename)
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout), file]
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.setLevel(level)
        for handler in handlers:
            root.removeHandler(handler)
        file.close()


def _packages(value: Any) -> set[str]:
    """The packages of the classes that a configuration names: their owner has just trained them."""
    if isinstance(value, dict):
        own = {str(value["_target_"]).partition(".")[0]} if "_target_" in value else set()
        return own.union(*map(_packages, value.values()))
    return set().union(*map(_packages, value)) if isinstance(value, list) else set()
