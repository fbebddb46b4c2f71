"""python demo.py: a page in the browser to play with a run."""

import logging
import os
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from thaw.commands.choices import make_sampler
from thaw.commands.errors import InputError, as_input_errors
from thaw.commands.keys import check_read
from thaw.commands.selection import run_directory
from thaw.commands.trained import device, load_one
from thaw.demo.playing import OWN, Playground
from thaw.diffusion.samplers.base import Sampler
from thaw.provenance import install_command
from thaw.training.choices import fitting
from thaw.training.experiment import check_sampler
from thaw.training.loading import LoadedRun

log = logging.getLogger(__name__)
# What the choices for the scores of each epoch end with: the others, in few steps.
EACH_EPOCH = "_25"


def main(cfg: DictConfig) -> None:
    """Show the page of the run until Ctrl-C."""
    with as_input_errors():
        run = _checked_run(cfg)
        listening = _listen(cfg.host, cfg.port)
    # Imported here: it takes seconds.
    from thaw.demo.page import serve

    with listening:
        host, port = listening.getsockname()[:2]
        log.info("open        http://%s:%d in a browser; Ctrl-C ends it", host, port)
        serve(Playground(run, _samplers(run)), listening)


def check(cfg: DictConfig) -> list[Path]:
    """Refuse a sweep: each page would wait for the one before to be ended."""
    raise InputError("demo.py shows one run, and is no sweep: leave out -m")


def _checked_run(cfg: DictConfig) -> LoadedRun:
    check_read(cfg)
    if find_spec("gradio") is None:
        raise InputError(f"gradio is not installed: {install_command('demo')}")
    if cfg.run is None:
        raise InputError("give run=DIR, such as run=zoo/best_cold")
    run = load_one(run_directory(cfg.run), cfg, "show a page", device(cfg.device))
    if run.experiment.restorer.degradation.takes_partners:
        raise InputError(
            f"{run.run_dir} was trained on pairs: its images cannot be degraded here; "
            "sample.py task=restore images=FOLDER restores them"
        )
    return run


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port))
    except OSError as error:
        # Python adds the address to the reason, which is named here already.
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else error
        raise InputError(f"host={host} port={port}: {reason}; port=0 takes any free one") from None


def _samplers(run: LoadedRun) -> dict[str, Sampler[Any]]:
    """The run's own sampler, and all others that go with its model."""
    restorer = run.experiment.restorer
    samplers = {OWN: run.experiment.sampler}
    for choice in fitting("sampler", type(restorer.degradation)):
        name = choice.partition("=")[2]
        if name.endswith(EACH_EPOCH):
            continue
        sampler = make_sampler(run.config.sampler, name, {})
        try:
            check_sampler(sampler, restorer)
        except ValueError:  # such as a schedule that is too short for it
            continue
        samplers[name] = sampler
    return samplers
