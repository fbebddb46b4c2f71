"""``hydra/sweeper=optuna``: see :mod:`thaw.commands.studies`."""

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OptunaSweeper(Sweeper):
    """A search over hyperparameters.

    Args:
        settings: those of Hydra's plugin for Optuna.
    """

    def __init__(self, **settings: Any) -> None:
        # Hydra imports this module at every start, be Optuna installed or not.
        from thaw.commands.studies import Search

        self.search = Search(**settings)

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.search.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> None:
        self.search.sweep(arguments)
