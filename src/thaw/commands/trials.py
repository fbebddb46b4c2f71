"""A run as the trial of a search: where the study is kept, and what the run tells it."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from hydra.utils import instantiate
from omegaconf import DictConfig
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import BasePruner
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.study import Study

from thaw.commands.errors import InputError, one_line
from thaw.commands.pruning import PRUNERS, TRIAL

log = logging.getLogger(__name__)
# The study of a search whose database is not given, in the sweep's directory.
STUDY = "study.journal"


def place_of(hydra: DictConfig) -> str:
    """Where a sweep's study is kept: the URL of a database, or the path of a journal."""
    return hydra.sweeper.storage or str(Path(hydra.sweep.dir, STUDY))


def opened(place: str) -> BaseStorage:
    """The storage at a place; InputError where it cannot be opened."""
    try:
        if "://" in place:
            return RDBStorage(place)
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(place))
    except Exception as error:  # of SQLAlchemy, a driver, or the file system
        raise InputError(f"hydra.sweeper.storage={place}: {one_line(error)}") from error


def pruner_of(setting: Any) -> BasePruner:
    """The pruner by its name or as a node; one that prunes nothing for null."""
    if isinstance(setting, DictConfig):
        pruner: BasePruner = instantiate(setting)
        return pruner
    kind: type[BasePruner] = getattr(optuna.pruners, PRUNERS.get(setting, "NopPruner"))
    return kind()


@dataclass
class Trial:
    """The trial that this run is.

    trial_id: its number in the storage.
    is_open: whether the study takes what the run tells it.
    """

    study: Study
    storage: BaseStorage
    trial_id: int
    is_open: bool = True

    def tell(self, epoch: int, score: float) -> None:
        """Tell the study the score after an epoch, counted from 1."""
        try:
            if self.is_open:
                self.storage.set_trial_intermediate_value(self.trial_id, epoch, score)
        except UpdateFinishedTrialError:  # its search was stopped, and this run goes on
            self.is_open = False
            log.warning("the search has ended this run's trial and is told no more scores")

    def is_to_end(self) -> bool:
        """Whether the pruner of the search ends the run after what it was told last."""
        trial = self.storage.get_trial(self.trial_id)
        return self.is_open and self.study.pruner.prune(self.study, trial)


def of_this_run(hydra: DictConfig, run_dir: Path) -> Trial:
    """The trial that the environment names, which now knows the run's directory."""
    study_id, number = map(int, os.environ[TRIAL].split("/"))
    optuna.logging.set_verbosity(logging.WARNING)
    storage = opened(place_of(hydra))
    name = storage.get_study_name_from_id(study_id)
    pruner = pruner_of(hydra.sweeper.pruner)
    study = optuna.load_study(study_name=name, storage=storage, pruner=pruner)
    trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, number)
    storage.set_trial_user_attr(trial_id, "run", str(run_dir))
    return Trial(study, storage, trial_id)
