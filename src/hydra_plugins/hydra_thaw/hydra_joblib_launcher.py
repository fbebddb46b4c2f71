"""``hydra/launcher=joblib``: see :mod:`thaw.commands.workers`."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class JoblibLauncher(Launcher):
    """Runs of a sweep side by side on this machine.

    Args:
        settings: those of joblib.Parallel.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        # Hydra imports this module at every start, be joblib installed or not.
        from thaw.commands.workers import Workers

        self.workers = Workers(self.settings, hydra_context, task_function, config)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        return self.workers.launch(job_overrides, initial_job_idx)
