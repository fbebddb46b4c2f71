"""``hydra/sweeper=optuna``: a search, kept in a study that the same command goes on with."""

import hashlib
import logging
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import numpy as np
import optuna
from filelock import FileLock, Timeout
from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.utils import get_method, instantiate
from omegaconf import DictConfig, OmegaConf
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from thaw.commands.errors import InputError, ProcessEndedError, as_input_errors, one_line
from thaw.commands.pruning import TRIAL
from thaw.commands.recording import InUseError
from thaw.commands.search import Pruned
from thaw.commands.search_space import Space, divided, of_optuna
from thaw.commands.sweep_check import EXCLUDED
from thaw.commands.trials import opened, place_of, pruner_of

log = logging.getLogger(__name__)
RESULTS = "optimization_results.yaml"
# The keys of a trial's attributes: which search works on it, the number of the trial that it takes
# up, and why its run failed by itself.
OWNER, TAKES_UP, ERROR = "search", "takes_up", "error"
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


@contextmanager
def at_work(study: Study, folder: Path, command: str) -> Iterator[Mapping[str, str]]:
    """Say who works on the trials within; what it leaves unfinished has failed.

    What is yielded is an attribute of each trial. The lock ends with this process, however that
    ends.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / f".search-{uuid4().hex[:8]}"
    try:
        with FileLock(lock):
            fail_abandoned(study)
            yield {"host": socket.gethostname(), "lock": str(lock), "command": command}
    finally:
        lock.unlink(missing_ok=True)
        fail_abandoned(study)


def fail_abandoned(study: Study) -> None:
    """Mark trials as failed whose search ended before they did."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        owner = trial.user_attrs.get(OWNER)
        if owner is None or not _is_at_work(owner):
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


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


def take_up(study: Study, command: str, is_retry: bool) -> None:
    """Queue the values of this command's runs that did not come to an end of their own.

    ``is_retry``: those too that failed by themselves.
    """
    trials = study.get_trials(deepcopy=False)
    taken_up = _taken_up(trials)
    for trial in trials:
        is_own = trial.user_attrs.get(OWNER, {}).get("command") == command
        is_over = trial.number in taken_up or (ERROR in trial.user_attrs and not is_retry)
        if trial.state == TrialState.FAIL and is_own and not is_over:
            study.enqueue_trial(trial.params, user_attrs={TAKES_UP: trial.number})


def num_runs(study: Study) -> int:
    """The number of runs so far; one that was taken up again counts once."""
    trials = study.get_trials(deepcopy=False)
    taken_up = _taken_up(trials)
    return sum(t.state != TrialState.WAITING and t.number not in taken_up for t in trials)


def _taken_up(trials: Sequence[FrozenTrial]) -> set[int]:
    return {trial.user_attrs[TAKES_UP] for trial in trials if TAKES_UP in trial.user_attrs}
