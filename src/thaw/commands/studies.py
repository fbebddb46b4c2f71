"""A search that is kept in a database: taken up again, it draws what it has not drawn before."""

import hashlib
import logging
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import optuna
from filelock import FileLock, Timeout
from hydra.utils import instantiate
from optuna.trial import TrialState

from thaw.privates.hydra_optuna import OptunaSweeperImpl

log = logging.getLogger(__name__)
# The key of a trial's attribute that says which search works on it.
OWNER = "thaw"
MAX_NAME = 512


class Search(OptunaSweeperImpl):
    """Hydra's sweeper for Optuna, with what it lacks where ``storage`` is given.

    Without ``study_name`` the same command continues the same study. The number of trials in it is
    part of the sampler's seed. Trials that no search works on any more count as failed.
    """

    owner: Mapping[str, str] | None = None

    def sweep(self, arguments: list[str]) -> None:
        if self.storage is None:
            super().sweep(arguments)
            return
        if self.study_name is None:
            self.study_name = study_name([*self._parse_sweeper_params_config(), *arguments])
        optuna.logging.set_verbosity(logging.WARNING)  # Hydra says the study's name
        study = optuna.create_study(
            study_name=self.study_name,
            storage=self.storage,
            directions=self._get_directions(),
            load_if_exists=True,
        )
        folder = Path(self.sweep_dir).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        lock = folder / f".search-{uuid4().hex[:8]}"
        self.owner = {"host": socket.gethostname(), "lock": str(lock)}
        try:
            with FileLock(lock):
                fail_abandoned(study)
                self._seed(len(study.trials))
                log.info("%d trials are there already", len(study.trials))
                super().sweep(arguments)
        finally:
            lock.unlink(missing_ok=True)
            fail_abandoned(study)

    def _seed(self, num_trials: int) -> None:
        """Give the sampler a seed of its own at each start; that of a new study is as given."""
        assert self.config is not None
        node = self.config.hydra.sweeper.sampler
        if num_trials and node.get("seed") is not None:
            seed = np.random.SeedSequence((node.seed, num_trials)).generate_state(1)[0]
            self.sampler = instantiate(node, seed=int(seed))

    def _configure_trials(self, trials: list[optuna.Trial], *space: Any) -> Sequence[Sequence[str]]:
        for trial in trials if self.owner else ():
            trial.set_system_attr(OWNER, self.owner)
        overrides: Sequence[Sequence[str]] = super()._configure_trials(trials, *space)
        return overrides


def study_name(settings: Sequence[str]) -> str:
    """The name of a command's study: its overrides, in an order of their own."""
    name = " ".join(sorted(settings))
    if len(name) > MAX_NAME:
        digest = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
        name = f"{name[: MAX_NAME - 17]}~{digest}"
    return name


def fail_abandoned(study: optuna.Study) -> None:
    """Mark trials as failed whose search ended before they did."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        owner = trial.system_attrs.get(OWNER)
        if owner is None or not _is_at_work(owner):
            study.tell(trial.number, state=TrialState.FAIL)


def _is_at_work(owner: Mapping[str, str]) -> bool:
    """Whether a search still runs; one on another machine, whose folder is not seen, may."""
    lock = Path(owner["lock"])
    if not lock.is_file():
        return owner["host"] != socket.gethostname()
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
