"""``thaw.train``: the run of train.py, in a process that goes on, several times."""

import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from commands_support import LEAST, record
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from torch import Tensor

import thaw
from thaw import runs
from thaw.diffusion import Degradation
from thaw.training.module import DiffusionModule

Command = Callable[..., Any]
COLD = [*LEAST, "degradation=column_random", "metrics.num_restored=0"]
COLD += ["metrics.num_restored_each_epoch=0"]
SCORED = [each for each in COLD if each != "metrics=none"]
SCORED += ["metrics.num_samples=10", "metrics.final_num_samples=12", "trainer.max_epochs=2"]
SCORED += ["callbacks.samples.at_epochs=[last]", "callbacks.samples.num_samples=4"]


def weights(run_dir: Path) -> dict[str, Tensor]:
    contents = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    state: dict[str, Tensor] = contents["state_dict"]
    return state


def assert_same_weights(run_dir: Path, other: Path) -> None:
    expected, found = weights(run_dir), weights(other)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_it_is_train_py_bit_for_bit_and_every_command_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fork_command: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    run = thaw.train(*SCORED, seed=5)
    assert run.directory.relative_to(tmp_path).parts[0] == "outputs"
    other = tmp_path / "by command"
    threads = {"OMP_NUM_THREADS": "1"}
    given = [*SCORED, "seed=5", f"hydra.run.dir='{other}'"]
    finished = fork_command("train", *given, cwd=tmp_path, **threads)
    assert finished.returncode == 0, finished.stderr
    assert_same_weights(run.directory, other)
    for name in (runs.METRICS, "samples/epoch_0002.png"):
        assert (run.directory / name).read_bytes() == (other / name).read_bytes()
    files = [{path.name for path in each.iterdir()} for each in (run.directory, other)]
    events = [{name for name in names if name.startswith("events")} for names in files]
    assert files[0] - events[0] == files[1] - events[1]
    assert len(events[0]) == len(events[1])
    here, there = record(run.directory), record(other)
    assert here.keys() == there.keys()
    for key in ("status", "overrides", "choices", "dataset", "final_scores", "last_epoch"):
        assert here[key] == there[key], key
    for name in (runs.CONFIG, runs.OVERRIDES):
        assert (run.directory / name).read_text() == (other / name).read_text()
    log = (run.directory / "train.log").read_text()
    assert "final scores: FID" in log
    for given in (["sample", "num_samples=4"], ["evaluate", "num_samples=4"], ["report"]):
        finished = fork_command(*given, f"run={run.directory}", cwd=tmp_path)
        assert finished.returncode == 0, finished.stderr
    resumed = fork_command("train", f"resume={run.directory}", cwd=tmp_path)
    assert "finished already, not run again" in resumed.stdout


def test_runs_of_one_process_have_directories_of_their_own_and_leave_it_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # Both start in the same second.
    monkeypatch.setattr("thaw.commands.directories.run_name", lambda *_: "same")
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    root, filters = logging.getLogger(), list(warnings.filters)
    before = (list(root.handlers), root.level, torch.get_num_threads(), HydraConfig.initialized())
    first, second = thaw.train(*COLD), thaw.train(*COLD)
    third = thaw.train(replay=first.directory)
    assert len({first.directory, second.directory, third.directory}) == 3
    for other in (second, third):
        assert_same_weights(first.directory, other.directory)
    after = (list(root.handlers), root.level, torch.get_num_threads(), HydraConfig.initialized())
    assert after == before
    assert warnings.filters == filters
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    assert [signal.getsignal(each) for each in signals] == handlers


def test_an_interrupted_run_is_saved_and_goes_on_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stop button of a notebook sends SIGINT, here in the middle of the second epoch."""
    monkeypatch.chdir(tmp_path)
    given = [*COLD, "trainer.max_epochs=2"]
    whole = thaw.train(*given, "hydra.run.dir=whole")
    step, count = DiffusionModule.training_step, 0

    def interrupted(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(DiffusionModule, "training_step", interrupted)
        with pytest.raises(KeyboardInterrupt, match=r"thaw.train\(resume='cut'\) goes on"):
            thaw.train(*given, "hydra.run.dir=cut")
    assert record(tmp_path / "cut")["status"] == "interrupted"
    assert not runs.is_held(tmp_path / "cut")
    run = thaw.train(resume="cut")
    assert run.directory == tmp_path / "cut"
    assert record(run.directory)["status"] == "completed"
    assert_same_weights(run.directory, whole.directory)


def test_minutes_count_from_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # As long after the start of this process as a notebook may be open.
    monkeypatch.setattr("thaw.commands.app.started_s", -1e6)
    num_threads = torch.get_num_threads()
    run = thaw.train(*COLD, "trainer.max_epochs=3", minutes=0.5)
    assert record(run.directory)["planned"]["epochs"] == run.epoch == 3
    assert torch.get_num_threads() == num_threads


class Shift(Degradation):
    """x_t moved t pixels to the right; a degradation as a notebook's cell defines one."""

    num_steps = 7

    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        return torch.stack([x.roll(int(k), -1) for x, k in zip(x_0, t, strict=True)])


def test_a_class_of_one_s_own_trains_and_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the main module, in which a notebook's cells are, with its YAML in a folder here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys.modules["__main__"], "Shift", Shift, raising=False)
    monkeypatch.setattr(Shift, "__module__", "__main__")
    file = tmp_path / "mine" / "degradation" / "shift.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("defaults: [/companions/cold, _self_]\n_target_: __main__.Shift\n")
    given = [each for each in COLD if each != "degradation=column_random"]
    run = thaw.train(*given, "hydra.searchpath=[mine]", "degradation=shift")
    assert run.num_steps == 7
    images = run.data.test_images[:2]
    assert torch.equal(run.degrade(images, 3), images.roll(3, -1))
    with pytest.raises(ValueError, match=r"add its package by trusted=\[PACKAGE\]"):
        thaw.load(run.directory)
    assert thaw.load(run.directory, trusted=["__main__"]).num_steps == 7


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["model=nothing"], "Could not find 'model/nothing'"),
        (["trainer.max_epoch=3"], "did you mean trainer.max_epochs"),
        (["seed=-1"], "seed must be a whole number"),
        (["optimizer.lr=-1"], "optimizer: Invalid learning rate: -1"),
        (["resume=nowhere"], "resume=nowhere: no run there"),
        (["minutes=0"], "minutes must be a number above 0"),
        (["-m", "seed=1,2"], "got -m; a sweep is a loop of calls"),
        (["degradation=fade", "sampler=ddim"], "DDIM needs .*choose sampler=cold"),
    ],
)
def test_what_the_command_refuses_is_a_value_error(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=words) as found:
        thaw.train(*LEAST, *arguments)
    assert "\n" not in str(found.value)
    assert not list(tmp_path.glob("outputs/*/*/checkpoints"))


def test_a_failure_on_the_way_keeps_its_own_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def fail(*_: object) -> None:
        raise ZeroDivisionError("on the way")

    monkeypatch.setattr("thaw.training.training.Training.score", fail)
    with pytest.raises(ZeroDivisionError, match="on the way"):
        thaw.train(*COLD, "hydra.run.dir=run")
    assert record(tmp_path / "run")["status"] == "failed"


def test_compose_is_the_configuration_of_the_command(fork_command: Command, tmp_path: Path) -> None:
    cfg = thaw.compose("degradation=column_random", "optimizer.lr=1e-3", seed=3, minutes=None)
    given = ["degradation=column_random", "optimizer.lr=1e-3", "seed=3"]
    shown = fork_command("train", *given, "--cfg", "job", cwd=tmp_path)
    assert shown.stdout.strip() == OmegaConf.to_yaml(cfg).strip()
    with pytest.raises(ValueError, match="seed must be a whole number"):
        thaw.compose(seed=-1)
    with pytest.raises(ValueError, match="unknown key trainer.max_epoch"):
        thaw.compose("trainer.max_epoch=1")
