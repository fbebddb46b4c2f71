"""A search that is kept in a study, taken up again; what its trials are when it has ended."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from filelock import FileLock
from omegaconf import OmegaConf

from thaw.commands.errors import InputError, ProcessEndedError
from thaw.stopping import Stopped

optuna = pytest.importorskip("optuna", minversion="4.9", reason="needs thaw-diffusion[optuna]")

Launch = Callable[..., Sequence[Any]]
SPACE = "optimizer.lr=interval(1e-4,1e-2)"
SETTINGS = Path(__file__).parents[2] / "conf" / "hydra" / "sweeper" / "optuna.yaml"


def returned(value: float | Exception) -> Any:
    """What a launcher gives back of a job: its result, or the error that reading it raises."""
    from hydra.core.utils import JobReturn, JobStatus

    status = JobStatus.FAILED if isinstance(value, Exception) else JobStatus.COMPLETED
    result = JobReturn(overrides=[], status=status)
    result.return_value = value
    return result


def of_lr(overrides: Sequence[str]) -> float:
    """A score that depends on the values that were drawn: small at 1e-3."""
    found = dict(override.split("=", 1) for override in overrides)
    return abs(float(found["optimizer.lr"]) - 1e-3)


def scored(overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
    return [returned(of_lr(each)) for each in overrides]


def stopped(overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
    raise Stopped(15)


def stops_at(number: int) -> Launch:
    """Stops the search as a run begins."""

    def launch(overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
        (stopped if initial_job_idx == number else scored)(overrides, initial_job_idx)
        return scored(overrides, initial_job_idx)

    return launch


def fails(error: Exception) -> Launch:
    return lambda overrides, initial_job_idx: [returned(error) for _ in overrides]


def search(folder: Path, launch: Launch = scored, *arguments: str, **keys: Any) -> Any:
    """A command's search, of two trials unless ``keys`` say otherwise; it gives back the study."""
    from thaw.commands.studies import Search

    settings = OmegaConf.merge(OmegaConf.load(SETTINGS), {"n_trials": 2}, keys)
    sweep = {"dir": str(folder / "sweep")}
    retry = "sweep.retry_failed=true" in arguments
    exclude = {"override_dirname": {"exclude_keys": ["sweep.retry_failed"]}}
    config = OmegaConf.create({
        "sweep": {"retry_failed": retry},
        "hydra": {"sweeper": settings, "sweep": sweep, "job": {"config": exclude}},
    })  # fmt: skip
    found: Any = Search(config, SimpleNamespace(launch=launch))  # type: ignore[arg-type]
    with suppress(Stopped):
        found.sweep(["seed=1", *([] if "params" in keys else [SPACE]), *arguments])
    return study(folder, settings.storage)


def study(folder: Path, url: str | None = None) -> Any:
    from thaw.commands.trials import STUDY, opened

    storage = opened(url or str(folder / "sweep" / STUDY))
    (summary,) = optuna.get_all_study_summaries(storage)
    return optuna.load_study(study_name=summary.study_name, storage=storage)


def points(found: Any) -> list[float]:
    return [trial.params["optimizer.lr"] for trial in found.trials]


def states(found: Any) -> list[str]:
    return [trial.state.name for trial in found.trials]


def test_the_same_command_finishes_a_search_and_then_has_nothing_left(tmp_path: Path) -> None:
    assert states(search(tmp_path, stops_at(3), n_trials=6)) == ["COMPLETE"] * 3 + ["FAIL"]
    found = search(tmp_path, n_trials=6)
    assert states(found) == ["COMPLETE"] * 3 + ["FAIL"] + ["COMPLETE"] * 3
    # The run that was under way goes on with its values, and so does the search.
    assert points(found)[4] == points(found)[3]
    undisturbed = search(tmp_path / "other", n_trials=6)
    assert points(found)[:3] + points(found)[4:] == points(undisturbed)
    assert len(search(tmp_path, n_trials=6).trials) == 7
    assert len(search(tmp_path, n_trials=7).trials) == 8
    best = yaml.safe_load((tmp_path / "sweep" / "optimization_results.yaml").read_text())
    assert best["best_value"] == min(abs(lr - 1e-3) for lr in points(study(tmp_path)))
    assert best["best_params"]["optimizer.lr"] in points(found)


def test_a_database_gets_new_points_from_each_command_reproducibly(tmp_path: Path) -> None:
    def three_times(folder: Path) -> list[float]:
        folder.mkdir()
        url = f"sqlite:///{folder}/search.db"
        for _ in range(3):
            found = search(folder, storage=url)
        assert not (folder / "sweep" / "study.journal").exists()
        return points(found)

    first = three_times(tmp_path / "first")
    assert len(set(first)) == len(first) == 6
    assert three_times(tmp_path / "second") == first
    # The seed of a new study is as given.
    given = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0)).ask()
    assert given.suggest_float("optimizer.lr", 1e-4, 1e-2) == first[0]


def test_a_trial_whose_search_is_stopped_has_failed_and_goes_on_first(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/search.db"
    assert states(search(tmp_path, stopped, storage=url)) == ["FAIL"]
    found = search(tmp_path, storage=url)
    assert states(found) == ["FAIL", "COMPLETE", "COMPLETE"]
    assert points(found)[0] == points(found)[1] != points(found)[2]
    assert list((tmp_path / "sweep").glob(".search*")) == []


def test_so_has_one_whose_search_was_killed_but_none_that_another_is_at(tmp_path: Path) -> None:
    from thaw.commands.unfinished import OWNER

    found = search(tmp_path)
    others = tmp_path / "others-search"
    killed, elsewhere, older = (found.ask() for _ in range(3))
    killed.set_user_attr(OWNER, {"host": "here", "lock": str(others)})
    elsewhere.set_user_attr(OWNER, {"host": "another", "lock": "/not/seen/here"})
    assert older.user_attrs == {}  # its search was killed before it could say so
    with FileLock(others):
        search(tmp_path, n_trials=6)
        assert states(study(tmp_path))[2:5] == ["RUNNING", "RUNNING", "FAIL"]
    search(tmp_path)
    assert states(study(tmp_path))[2:5] == ["FAIL", "RUNNING", "FAIL"]


def test_several_searches_share_the_runs_of_one(tmp_path: Path) -> None:
    def shared(overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
        """While the first run of a search is under way another does the rest."""
        if initial_job_idx == 0:
            search(tmp_path, n_trials=4)
        return scored(overrides, initial_job_idx)

    assert states(search(tmp_path, shared, n_trials=4)) == ["COMPLETE"] * 4


def test_what_failed_by_itself_is_not_run_again_unless_it_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No trials are completed"):
        search(tmp_path, fails(ArithmeticError("the loss is nan")))
    failed = study(tmp_path)
    assert states(failed) == ["FAIL", "FAIL"]
    assert failed.trials[0].user_attrs["error"] == "the loss is nan"
    assert states(search(tmp_path, n_trials=3)) == ["FAIL", "FAIL", "COMPLETE"]
    again = search(tmp_path, scored, "sweep.retry_failed=true", n_trials=3)
    assert states(again) == ["FAIL", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert points(again)[3:] == points(again)[:2]
    assert points(again)[2] != points(again)[0]


def test_a_run_whose_process_was_killed_goes_on(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No trials are completed"):
        search(tmp_path, fails(ProcessEndedError("the run's process", -9)), n_trials=1)
    found = search(tmp_path, n_trials=1)
    assert states(found) == ["FAIL", "COMPLETE"]
    assert points(found)[0] == points(found)[1]


def test_a_search_ends_at_its_share_of_failed_runs(tmp_path: Path) -> None:
    with pytest.raises(ArithmeticError, match="nan"):
        search(tmp_path, fails(ArithmeticError("nan")), n_trials=5, max_failure_rate=0.5)
    assert states(study(tmp_path)) == ["FAIL"]


def test_runs_are_launched_together_and_know_which_trials_they_are(tmp_path: Path) -> None:
    launched: list[tuple[int, list[str]]] = []

    def launch(overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
        launched.append((initial_job_idx, [each[-1] for each in overrides]))
        return scored(overrides, initial_job_idx)

    search(tmp_path, launch, n_trials=3, n_jobs=2)
    name = "+hydra.job.env_set.THAW_TRIAL=0"
    assert launched == [(0, [f"{name}/0", f"{name}/1"]), (2, [f"{name}/2"])]


def test_the_space_is_that_of_yaml_and_of_the_command_line(tmp_path: Path) -> None:
    found = search(
        tmp_path, scored, "model.hidden=[8,8]", "model=cnn,unet", "data.size=range(1,9,3)",
        params={"optimizer.lr": "tag(log, interval(1e-4, 1e-2))", "model": "null"},
        search_space={"ema": {"type": "float", "low": 0, "high": 1, "step": 0.5}},
        custom_search_space=f"{__name__}.more",
    )  # fmt: skip
    distributions = {
        "optimizer.lr": optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True),
        "model": optuna.distributions.CategoricalDistribution(["cnn", "unet"]),
        "data.size": optuna.distributions.IntDistribution(1, 7, step=3),
        "ema": optuna.distributions.FloatDistribution(0, 1, step=0.5),
        "more": optuna.distributions.IntDistribution(1, 2),
    }
    assert found.trials[0].distributions == distributions


def more(config: Any, trial: Any) -> None:
    """A ``hydra.sweeper.custom_search_space``."""
    trial.suggest_int("more", 1, config.hydra.sweeper.n_trials)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"params": {"optimizer.lr": "tag(log, interval(0.0, 1.0))"}}, "optimizer.lr: .*low"),
        ({"search_space": {"a": {"type": "real"}}}, "search_space.a: type must be one of categ"),
        ({"storage": "oracle9://nowhere"}, "hydra.sweeper.storage=oracle9://nowhere: "),
    ],
)
def test_a_search_that_cannot_begin_says_why(
    tmp_path: Path, keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        search(tmp_path, scored, **keys)


def test_another_direction_than_the_study_has_is_refused(tmp_path: Path) -> None:
    search(tmp_path)
    with pytest.raises(InputError, match="this study is to minimize"):
        search(tmp_path, direction="maximize")


def test_a_run_tells_its_study_each_epoch_and_ends_when_it_is_worse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thaw.commands import trials
    from thaw.commands.search import Pruned

    hydra = OmegaConf.create({
        "sweep": {"dir": str(tmp_path / "sweep")},
        "sweeper": {"storage": None, "pruner": {
            "_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 2,
        }},
    })  # fmt: skip
    ended: list[list[bool]] = []

    def launch(overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
        number, scores = initial_job_idx, [3.0 + initial_job_idx, 2.0 + initial_job_idx]
        monkeypatch.setenv("THAW_TRIAL", overrides[0][-1].partition("=")[2])
        trial = trials.of_this_run(hydra, tmp_path / str(number))
        ends = []
        for epoch, score in enumerate(scores, start=1):
            trial.tell(epoch, score)
            ends.append(trial.is_to_end())
        ended.append(ends)
        return [returned(Pruned(scores[0]) if any(ends) else scores[-1])]

    found = search(tmp_path, launch, n_trials=3)
    assert ended == [[False, False], [False, False], [True, True]]
    assert states(found) == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert found.trials[0].intermediate_values == {1: 3.0, 2: 2.0}
    assert found.trials[1].user_attrs["run"] == str(tmp_path / "1")
    assert found.trials[2].value == 4.0


def test_a_run_outlives_its_search(tmp_path: Path) -> None:
    from thaw.commands.trials import Trial, opened

    found = search(tmp_path, stopped)
    storage = opened(str(tmp_path / "sweep" / "study.journal"))
    trial = Trial(found, storage, found.trials[0]._trial_id)
    trial.tell(1, 0.5)
    assert not trial.is_open
    assert not trial.is_to_end()
