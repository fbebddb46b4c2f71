"""A search that is kept in a database, taken up again; what its trials are when it has ended."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock
from omegaconf import OmegaConf

from thaw.stopping import Stopped

optuna = pytest.importorskip("optuna", reason="needs thaw-diffusion[optuna]")
pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs thaw-diffusion[optuna]")

Launch = Callable[..., Sequence[Any]]
SPACE = ["seed=1", "optimizer.lr=interval(1e-4,1e-2)"]


def scored(overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
    """What a launcher gives back: a score for each run."""
    return [SimpleNamespace(return_value=1.0) for _ in overrides]


def stopped(overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
    raise Stopped(15)


def search(folder: Path, launch: Launch = scored, **keys: Any) -> Any:
    """A command's search of two trials in ``folder/search.db``; it gives back the study."""
    from thaw.commands.studies import Search

    node = {"_target_": "optuna.samplers.TPESampler", "seed": 0}
    settings = {
        "direction": "minimize", "storage": f"sqlite:///{folder}/search.db", "study_name": None,
        "n_trials": 2, "n_jobs": 1, "max_failure_rate": 1.0, "search_space": None,
        "custom_search_space": None, "params": None,
    } | keys  # fmt: skip
    sweeper = Search(sampler=optuna.samplers.TPESampler(seed=0), **settings)
    sweeper.sweep_dir = str(folder / "sweep")
    sweeper.config = OmegaConf.create(
        {"hydra": {"sweeper": {"sampler": node}, "sweep": {"dir": sweeper.sweep_dir}}}
    )
    sweeper.launcher, sweeper.hydra_context = SimpleNamespace(launch=launch), object()
    (folder / "sweep").mkdir(exist_ok=True)
    with suppress(Stopped):
        sweeper.sweep(list(SPACE))
    return study(folder)


def study(folder: Path) -> Any:
    storage = f"sqlite:///{folder}/search.db"
    (summary,) = optuna.get_all_study_summaries(storage)
    return optuna.load_study(summary.study_name, storage)


def points(found: Any) -> list[float]:
    return [trial.params["optimizer.lr"] for trial in found.trials]


def states(found: Any) -> list[str]:
    return [trial.state.name for trial in found.trials]


def test_the_same_command_goes_on_with_new_points_reproducibly(tmp_path: Path) -> None:
    def three_times(folder: Path) -> list[float]:
        folder.mkdir()
        for _ in range(3):
            found = search(folder)
        return points(found)

    first = three_times(tmp_path / "first")
    assert len(set(first)) == len(first) == 6
    assert three_times(tmp_path / "second") == first
    new = tmp_path / "new"
    new.mkdir()
    # The seed of a new study is as given.
    assert points(search(new, n_trials=6))[:2] == first[:2]


def test_a_trial_whose_search_is_stopped_has_failed(tmp_path: Path) -> None:
    assert states(search(tmp_path, stopped)) == ["FAIL"]
    assert states(search(tmp_path)) == ["FAIL", "COMPLETE", "COMPLETE"]
    assert list((tmp_path / "sweep").glob(".search*")) == []


def test_so_has_one_whose_search_was_killed_but_none_that_another_is_at(tmp_path: Path) -> None:
    from thaw.commands.studies import OWNER

    found = search(tmp_path)
    others = tmp_path / "others-search"
    killed, elsewhere, older = (found.ask() for _ in range(3))
    killed.set_system_attr(OWNER, {"host": "here", "lock": str(others)})
    elsewhere.set_system_attr(OWNER, {"host": "another", "lock": "/not/seen/here"})
    assert older.system_attrs == {}  # of before searches said what they are at
    with FileLock(others):
        search(tmp_path)
        assert states(study(tmp_path))[2:5] == ["RUNNING", "RUNNING", "FAIL"]
    search(tmp_path)
    assert states(study(tmp_path))[2:5] == ["FAIL", "RUNNING", "FAIL"]
