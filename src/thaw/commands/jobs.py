"""A job: what Hydra calls for a run, in this process or in one that a launcher has started."""

import importlib
import logging
import os
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from thaw import ranks, runs, stopping
from thaw.commands import config
from thaw.commands.errors import Escaped, InputError, one_line
from thaw.commands.malloc import keep_freed_memory
from thaw.provenance import install_command

log = logging.getLogger(__name__)
# What each plugin of Hydra needs that conf/hydra/ has a file for, and the extra that installs it.
# thaw's own plugins are named after those that they use.
EXTRAS = {
    "hydra_joblib_launcher": ("hydra_plugins.hydra_joblib_launcher", "joblib"),
    "hydra_submitit_launcher": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
    "hydra_ray_launcher": ("hydra_plugins.hydra_ray_launcher", "ray"),
    "optuna_sweeper": ("optuna.storages.journal", "optuna"),  # which Optuna 2 lacks
}


class Job:
    """Calls ``thaw.commands.<command>.main``; an object, so that launchers can pickle it."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __setstate__(self, state: dict[str, Any]) -> None:
        # In another process: what app.run does here, before the configuration is composed there.
        self.__dict__.update(state)
        config.register()

    def __call__(self, cfg: DictConfig) -> Any:
        """The command's result.

        Raises:
            Escaped: in a single run, whatever the command raises.
        """
        keep_freed_memory()
        if ranks.rank() == 0 and self.command != "report":  # which says it beside its runs
            log.info("%-11s %s", self.command, _where(self.command, cfg))
        # Imported here so that --help and --cfg need neither torch nor Lightning.
        main = importlib.import_module(f"thaw.commands.{self.command}").main
        stopping.listen()
        if HydraConfig.get().job.chdir:
            # Relative paths start where the command was typed, not in the run's folder.
            os.chdir(HydraConfig.get().runtime.cwd)
        try:
            return main(cfg)
        except stopping.Stopped as stop:
            stopping.pass_on(stop)
            raise
        except Exception as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:  # the other jobs go on
                log.error("job %s: %s", HydraConfig.get().job.num, one_line(error))
                raise
            raise Escaped(error) from error


def _where(command: str, cfg: DictConfig) -> object:
    """The directory that a command works in or on, for its first line.

    The whole path of a run is logged once it is accepted.
    """
    if command == "train":
        return f"in {runs.shown(Path(HydraConfig.get().runtime.output_dir).parent)}"
    is_new = command in ("train_encoder", "import_weights")
    return cfg.out if is_new else cfg.run or cfg.get("runs")


def check_plugins(hydra: DictConfig) -> None:
    """Refuse a launcher or a sweeper that is not installed."""
    for node in (hydra.launcher, hydra.sweeper):
        for part in node._target_.split("."):
            if part not in EXTRAS:
                continue
            module, extra = EXTRAS[part]
            try:
                importlib.import_module(module)
            except ImportError:
                package = module.removeprefix("hydra_plugins.").partition(".")[0]
                raise InputError(f"{package} is not installed: {install_command(extra)}") from None
