"""``hydra/sweeper=optuna``: see :mod:`thaw.commands.studies`."""

from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class OptunaSweeper(Sweeper):
    """A search over hyperparameters.

    Args:
        settings: the keys of conf/hydra/sweeper/optuna.yaml; the search takes them from there.
    """

    def __init__(self, **settings: Any) -> None:
        # Hydra imports this module at every start, be Optuna installed or not.
        from thaw.commands.studies import Search

        self.kind = Search

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        launcher = Plugins.instance().instantiate_launcher(
            config=config, hydra_context=hydra_context, task_function=task_function
        )
        self.search = self.kind(config, launcher, hydra_context.config_loader)

    def sweep(self, arguments: list[str]) -> None:
        self.search.sweep(arguments)
