"""``hydra/sweeper=optuna``: a search, kept in a study that the same command goes on with."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import optuna
from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.utils import get_method, instantiate
from omegaconf import DictConfig, OmegaConf
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import TrialState

from thaw.commands.errors import InputError, ProcessEndedError, as_input_errors, one_line
from thaw.commands.pruning import TRIAL
from thaw.commands.recording import InUseError
from thaw.commands.search import Pruned
from thaw.commands.search_space import Space, divided, of_optuna
from thaw.commands.sweep_check import EXCLUDED
from thaw.commands.trials import opened, place_of, pruner_of
from thaw.commands.unfinished import ERROR, OWNER, at_work, num_runs, take_up

log = logging.getLogger(__name__)
RESULTS = "optimization_results.yaml"
MAX_NAME = 512


class Search:
    """Asks Optuna for the values of each run, and tells it the run's ``sweep.metric``.

    The study is kept in the sweep's directory, and ``n_trials`` counts its runs in all; or in a
    database that is given, to which each command adds as many. Runs that were under way when a
    search ended go on first.
    """

    def __init__(
        self, config: DictConfig, launcher: Launcher, loader: ConfigLoader | None = None
    ) -> None:
        self.config = config
        self.settings = config.hydra.sweeper
        self.launcher = launcher
        self.loader = loader
        self.place = place_of(config.hydra)
        self.num_run = 0

    def sweep(self, arguments: Sequence[str]) -> None:
        """Search; the best values go into ``optimization_results.yaml``.

        Raises:
            InputError: a key of the search is wrong, or no values can be drawn.
            ValueError: no run has given a score.
        """
        params = self.settings.params or {}
        given = [*(f"{key}={value}" for key, value in params.items()), *arguments]
        space, fixed = divided(given, self.loader)
        for key, node in (self.settings.search_space or {}).items():
            if key not in space and key not in fixed:
                space[str(key)] = of_optuna(str(key), node)
        left_out = OmegaConf.select(self.config, EXCLUDED) or []
        command = study_name(given, left_out)
        study = self._study(self.settings.study_name or command)
        with at_work(study, Path(self.config.hydra.sweep.dir), command) as owner:
            is_retry = bool(OmegaConf.select(self.config, "sweep.retry_failed"))
            take_up(study, command, is_retry)
            while (number := min(self.settings.n_jobs, self._num_left(study))) > 0:
                self._run(study, number, space, fixed, owner)
        self._save_best(study)

    def _study(self, name: str) -> Study:
        optuna.logging.set_verbosity(logging.WARNING)
        direction = self.settings.direction
        self.storage = opened(self.place)
        with as_input_errors():
            study = optuna.create_study(
                study_name=name,
                storage=self.storage,
                direction=direction,
                pruner=pruner_of(self.settings.pruner),
                load_if_exists=True,
            )
        if study.direction.name.lower() != direction:
            known = study.direction.name.lower()
            raise InputError(f"hydra.sweeper.direction: this study is to {known} its score")
        log.info("study %s in %s, with %d runs so far", name, self.place, num_runs(study))
        return study

    def _num_left(self, study: Study) -> int:
        so_far = self.num_run if self.settings.storage else num_runs(study)
        left: int = self.settings.n_trials - so_far
        return left

    def _run(
        self,
        study: Study,
        number: int,
        space: Space,
        fixed: Mapping[str, str],
        owner: Mapping[str, str],
    ) -> None:
        """Choose and launch runs together."""
        with as_input_errors():
            study.sampler = self._sampler(num_runs(study))
            trials = [self._ask(study, space, owner) for _ in range(number)]
        returns = self.launcher.launch(
            [self._overrides(study, trial, fixed) for trial in trials], trials[0].number
        )
        self.num_run += number
        errors = [
            error
            for trial, returned in zip(trials, returns, strict=True)
            if (error := tell(study, trial, returned)) is not None
        ]
        if len(errors) / number > self.settings.max_failure_rate:
            raise errors[0]

    def _sampler(self, num_runs: int) -> BaseSampler:
        """The sampler, with a seed of its own after each number of runs; the first is as given.

        So a search that was interrupted draws what the undisturbed one does.
        """
        node = self.settings.sampler
        if num_runs and node.get("seed") is not None:
            seed = np.random.SeedSequence((node.seed, num_runs)).generate_state(1)[0]
            node = OmegaConf.merge(node, {"seed": int(seed)})
        sampler: BaseSampler = instantiate(node)
        return sampler

    def _ask(self, study: Study, space: Space, owner: Mapping[str, str]) -> optuna.Trial:
        trial = study.ask(space)
        trial.set_user_attr(OWNER, dict(owner))
        if self.settings.custom_search_space:
            get_method(self.settings.custom_search_space)(self.config, trial)
        return trial

    def _overrides(
        self, study: Study, trial: optuna.Trial, fixed: Mapping[str, str]
    ) -> tuple[str, ...]:
        """The overrides of a run; the last says in its environment which trial it is."""
        study_id = self.storage.get_study_id_from_name(study.study_name)
        return (
            *(f"{key}={value}" for key, value in {**trial.params, **fixed}.items()),
            f"+hydra.job.env_set.{TRIAL}={study_id}/{trial.number}",
        )

    def _save_best(self, study: Study) -> None:
        best = study.best_trial
        log.info("best: %s, with %s", best.value, best.params)
        found = {"name": "optuna", "best_params": best.params, "best_value": best.value}
        OmegaConf.save(OmegaConf.create(found), Path(self.config.hydra.sweep.dir, RESULTS))


def study_name(settings: Sequence[str], left_out: Sequence[str] = ()) -> str:
    """The name of a command's study: its overrides, but for some keys, in an order of their own."""
    kept = [each for each in settings if each.partition("=")[0].lstrip("+~") not in left_out]
    name = " ".join(sorted(kept)) or "search"
    if len(name) > MAX_NAME:
        digest = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
        name = f"{name[: MAX_NAME - 17]}~{digest}"
    return name


def tell(study: Study, trial: optuna.Trial, returned: JobReturn) -> Exception | None:
    """Tell the study how a run ended; the error of one that failed."""
    try:
        score = returned.return_value
    except Exception as error:
        log.warning("run %d failed: %s", trial.number, one_line(error))
        is_killed = isinstance(error, ProcessEndedError) and error.signal_number
        if not (is_killed or isinstance(error, InUseError)):
            trial.set_user_attr(ERROR, one_line(error))
        study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        return error
    if isinstance(score, Pruned):
        study.tell(trial, state=TrialState.PRUNED, skip_if_finished=True)
    else:
        study.tell(trial, score, skip_if_finished=True)
    return None
