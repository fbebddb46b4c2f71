"""Trials that have not come to an end: who works on them, and which are taken up again."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

# The keys of a trial's attributes: which search works on it, the number of the trial that it takes
# up, and why its run failed by itself.
OWNER, TAKES_UP, ERROR = "search", "takes_up", "error"


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
