"""Before a sweep's first job: its mistakes are found, and no two jobs share a place."""

import shutil
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands_support import LEAST
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from thaw.commands import config, sweep_check
from thaw.commands.errors import InputError
from thaw.commands.sweep_check import check_jobs, composed, jobs_of, name_what_varies

Run = Callable[..., Any]
NAMED = ["data=image_folder", "metrics=none", "sweep.name=mine"]


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., DictConfig]]:
    """The configuration of a sweep as its start sees it."""
    monkeypatch.chdir(tmp_path)
    config.register()
    GlobalHydra.instance().clear()

    def compose(*arguments: str, command: str = "train") -> DictConfig:
        cfg: DictConfig = (
            GlobalHydra.instance()
            .config_loader()
            .load_configuration(
                command, [*arguments, "hydra.mode=MULTIRUN"], run_mode=RunMode.MULTIRUN
            )
        )
        return cfg

    with initialize_config_dir(str(config.CONF), version_base="1.3"):
        yield compose
    assert list(tmp_path.iterdir()) == []


def directories(cfg: DictConfig) -> list[str]:
    """Where each job would be, by what the start of the sweep hands on to it."""
    jobs = jobs_of(cfg)
    name_what_varies(cfg, jobs)
    found = []
    for number, overrides in enumerate(jobs):
        with composed(cfg, overrides, number):
            found.append(HydraConfig.get().runtime.output_dir)
    return found


@pytest.mark.parametrize(
    "varied", ["data.root=here,there", "resume=auto,never", "trainer.accelerator=cpu,auto"]
)
def test_what_varies_in_a_sweep_is_in_the_names_of_its_jobs(
    varied: str, sweep: Callable[..., DictConfig]
) -> None:
    assert len(set(directories(sweep(*NAMED, varied, "seed=1,2")))) == 4


def test_what_does_not_vary_is_not_so_that_older_sweeps_are_found(
    sweep: Callable[..., DictConfig], tmp_path: Path
) -> None:
    aside = ["trainer.accelerator=cpu", "name=x", "sweep.retry_failed=true", "data.root=here"]
    names = [f"data=image_folder__metrics=none__seed={seed}" for seed in (1, 2)]
    expected = [str(tmp_path / "multirun" / "mine" / name) for name in names]
    assert directories(sweep(*NAMED, *aside, "seed=1,2")) == expected
    assert directories(sweep(*NAMED, "seed=1"))[0] == expected[0]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["seed=1,1"], r"jobs 1 \(the same\) and 2 \(the same\) would both write into .*seed=1;"),
        (["seed=1,2", "hydra.sweep.subdir=x"], r"\(seed=1\) and 2 \(seed=2\) would .*mine/x;"),
    ],
)
def test_two_jobs_of_one_directory_are_refused(
    arguments: list[str], expected: str, sweep: Callable[..., DictConfig]
) -> None:
    cfg = sweep("data=mnist_5k", "metrics=none", "sweep.name=mine", *arguments)
    jobs = jobs_of(cfg)
    name_what_varies(cfg, jobs)
    with pytest.raises(InputError, match=expected):
        check_jobs(cfg, jobs, "train")


def test_of_a_large_sweep_every_value_is_checked_and_whatever_is_there_twice() -> None:
    jobs = [[f"a={a}", f"b={b}"] for a, b in product(range(12), [*range(10), 3])]
    checked = [jobs[number] for number in sweep_check.chosen(jobs)]
    assert {value for job in checked for value in job} == {value for job in jobs for value in job}
    assert len(checked) == 12 + 10 - 1 + 12
    assert list(sweep_check.chosen(jobs[:50])) == list(range(50))


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("degradation.group_size=14,5", "degradation.*5 does not divide"),
        ("resume=auto,maybe", "resume must be one of auto, never"),
        ("sweep.metric=train/loss,val/fid", "sweep.metric must be a score"),
    ],
)
def test_a_mistake_in_one_value_is_found_before_the_first_job(
    wrong: str, reason: str, sweep: Callable[..., DictConfig]
) -> None:
    cfg = sweep(*LEAST, "degradation=column_random", wrong, "seed=1,2")
    value = f"{wrong.partition('=')[0]}={wrong.rpartition(',')[2]}"
    where = rf" \(job 3 of 4 and 1 more: {value} seed=1; no job was run\)$"
    with pytest.raises(InputError, match=f"{reason}.*{where}"):
        check_jobs(cfg, jobs_of(cfg), "train")


def test_a_job_that_is_completed_is_not_checked_again(
    sweep: Callable[..., DictConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = sweep(*LEAST, "sweep.name=mine", "degradation=column_random", "degradation.group_size=5")
    with pytest.raises(InputError):
        check_jobs(cfg, jobs_of(cfg), "train")
    monkeypatch.setattr("thaw.commands.train.reason_to_skip", lambda *_, **__: "finished already")
    check_jobs(cfg, jobs_of(cfg), "train")


def test_a_refused_sweep_is_one_line_and_leaves_nothing(tmp_path: Path, fork_command: Run) -> None:
    arguments = ["degradation=column_random", "degradation.group_size=14,5"]
    ended = fork_command("train", "-m", *LEAST, *arguments, cwd=tmp_path)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith("thaw: ")
    assert line.endswith("(job 2 of 2: degradation.group_size=5; no job was run)")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "arguments", "reason"),
    [
        ("evaluate", ["run=nowhere", "seed=1,2"], "run=nowhere: no such directory"),
        ("evaluate", ["run={cold}", "sampler=cold,ddim"], "sampler=cold"),
        ("sample", ["run={cold}", "seed=1,2", "digit=3"], "digit=3 needs"),
        ("sample", ["run={cold}", "seed=1,2", "out=X"], "would both write into X"),
        ("report", ["run={cold}", "title=a,b"], "would both write into"),
        ("train_encoder", ["data=mnist_5k", "seed=1,2"], "would both write into encoders/mnist_5k"),
    ],
)
def test_other_commands_look_ahead_too(
    command: str,
    arguments: list[str],
    reason: str,
    cold_run: Path,
    sweep: Callable[..., DictConfig],
) -> None:
    given = [argument.replace("{cold}", f"'{cold_run}'") for argument in arguments]
    cfg = sweep(*given, command=command)
    assert cfg.hydra.callbacks.sweep_check.command == command
    with pytest.raises(InputError, match=f"{reason}.*no job was run"):
        check_jobs(cfg, jobs_of(cfg), command)


def test_evaluations_that_differ_in_anything_have_files_of_their_own(
    hot_run: Path, tmp_path: Path, fork_command: Run
) -> None:
    before = set(hot_run.glob("evaluations/*"))
    command = ["-m", f"run={hot_run}", "num_samples=7", "batch_size=2,7"]
    for _ in range(2):
        assert fork_command("evaluate", *command, cwd=tmp_path).returncode == 0
    names = {path.name for path in set(hot_run.glob("evaluations/*")) - before}
    assert names == {f"last_Ancestral-20-steps_n7_seed0{end}.json" for end in ("", "_2")}
    for name in names:
        (hot_run / "evaluations" / name).unlink()  # other tests count them


def test_runs_of_one_name_are_sampled_into_folders_of_their_own(
    hot_run: Path, cold_run: Path, tmp_path: Path, fork_command: Run
) -> None:
    for twin, run_dir in (("a", hot_run), ("b", cold_run)):
        copy = tmp_path / "twin" / twin / "run"
        shutil.copytree(run_dir / "checkpoints", copy / "checkpoints")
        shutil.copy(run_dir / "run.json", copy)
    arguments = ["runs=[twin/a,twin/b,./twin/a]", "out=X", "num_samples=2", "animation=null"]
    finished = fork_command("sample", *arguments, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("written to") == 2  # a run that is named twice is one
    images = [np.load(tmp_path / f"X/{twin}/run/samples.npz")["images"] for twin in "ab"]
    assert not np.array_equal(*images)
