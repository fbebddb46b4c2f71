"""A run of two processes is the run of one: the same numbers, the same files, to be resumed."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import pytest
import torch
from commands_support import record
from omegaconf import OmegaConf
from scaling_support import COLD, arguments, fault, files, numbers, rows, weights

from thaw.commands import processes
from thaw.commands.processes import _lost, _Process

Train = Callable[..., Any]
TWO = ["trainer=ddp", "trainer.devices=2"]


class Story(NamedTuple):
    """One process's run; two processes' in a sweep, stopped by SIGTERM and started again."""

    alone: Path
    together: Path
    sweep: Path
    stopped: Any
    status: str
    saved_step: int
    finished: Any


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, train: Train) -> Story:
    folder = tmp_path_factory.mktemp("ddp")
    alone = folder / "alone"
    done = train(*arguments(COLD), f"hydra.run.dir={alone}", cwd=folder)
    assert done.returncode == 0, done.stderr
    sweep = folder / "multirun" / "two"
    # What is chosen here changes nothing, but is found in a folder of the user's alone.
    own = folder / "own" / "experiment" / "own.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("# @package _global_\nmodel:\n  kernel_size: 3\n")
    command = [
        "-m",
        "--config-dir=own",
        "experiment=own",
        *arguments(COLD),
        *TWO,
        "hydra.sweep.dir=multirun/two",
        "name=both",
        "seed=0",
    ]
    stopped = train(*command, *fault(signal.SIGTERM, 9), cwd=folder)
    (together,) = (path for path in sweep.iterdir() if path.is_dir())
    state = torch.load(together / "checkpoints" / "last.ckpt", weights_only=True)
    status = record(together)["status"]
    finished = train(*command, cwd=folder)
    return Story(alone, together, sweep, stopped, status, state["global_step"], finished)


def test_a_signal_stops_both_with_a_checkpoint(story: Story) -> None:
    assert story.stopped.returncode == 143, story.stopped.stderr
    assert (story.status, story.saved_step) == ("interrupted", 9)


def test_the_losses_and_scores_are_those_of_one_process(story: Story) -> None:
    assert story.finished.returncode == 0, story.finished.stderr
    assert "continuing from" in story.finished.stdout
    expected, found = (rows(path / "metrics.csv") for path in (story.alone, story.together))
    assert len(found) == len(expected) == 3
    for row, other in zip(found, expected, strict=True):
        assert row.keys() == other.keys()
        assert numbers(row) == pytest.approx(numbers(other), rel=1e-4, abs=1e-5)
    one, two = record(story.alone), record(story.together)
    assert one["status"] == two["status"] == "completed"
    final = numbers(one["final_scores"])
    assert numbers(two["final_scores"]) == pytest.approx(final, rel=1e-4, abs=1e-5)
    assert two["final_scores"]["final/n"] == 30
    for stage in ("direct", "algorithm_2"):
        expected = one["restoration"][stage]
        assert two["restoration"][stage] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_so_are_the_weights(story: Story) -> None:
    one, two = weights(story.alone), weights(story.together)
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=1e-5, msg=name)


def test_there_is_one_set_of_files(story: Story) -> None:
    found = files(story.together)
    assert sorted({*found}) == sorted({*files(story.alone)})
    assert found.count("events") == 3  # of the first start, of the second, of the final scores
    assert [path.name for path in story.sweep.iterdir() if path.is_dir()] == [story.together.name]
    assert not (story.sweep.parents[1] / "outputs").exists()
    (row,) = rows(story.sweep / "sweep.csv")
    assert row["status"] == "completed"
    log = (story.together / "train.log").read_text()
    assert log.count("epoch 3/3") == 1


def test_a_batch_that_cannot_be_shared_equally_is_refused_before_training(
    train: Train, tmp_path: Path
) -> None:
    settings = arguments(COLD | {"data.batch_size": "99"})
    refused = train(*settings, *TWO, "hydra.run.dir=odd", cwd=tmp_path)
    assert refused.returncode == 2, refused.stderr
    assert "data.batch_size=99 is shared by 2 processes" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.fixture
def killed() -> Iterator[_Process]:
    """One of the others, when it was killed."""
    process = _Process.__new__(_Process)
    process.rank, process.output = 1, TemporaryFile()  # noqa: SIM115 (kill closes it)
    process.output.write(b"a warning\n")
    process.process = subprocess.Popen(["sleep", "60"])
    process.process.send_signal(signal.SIGKILL)
    yield process
    process.kill()


def test_an_error_of_talking_is_that_of_the_process_that_is_gone(killed: _Process) -> None:
    found = _lost([killed], RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer"))
    assert found is killed
    assert str(found.end()) == "process 1 was ended by signal 9 (SIGKILL), out of memory?"
    killed.process.returncode = 3
    assert str(killed.end()) == "process 1 ended with exit code 3: a warning"
    assert _lost([killed], ValueError("the loss is not finite")) is None


def test_the_others_get_what_hydra_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [("hydra", "pkg://hydra.conf"), ("main", "/conf"), ("command-line", "/own")]
    told = [
        "hydra.searchpath=[file:///more]", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2",
        "hydra.sweep.dir=x", "hydra.mode=MULTIRUN", "hydra.job.chdir=true",
    ]  # fmt: skip
    hydra = {
        "runtime": {"config_sources": [{"provider": key, "path": path} for key, path in sources]},
        "job": {"config_name": "mine"},
        "overrides": {"hydra": told},
    }
    monkeypatch.setattr(processes.HydraConfig, "get", lambda: OmegaConf.create(hydra))
    assert processes.same_arguments(["seed=1"], Path("/run")) == [
        "--config-path=/conf", "--config-name=mine", "--config-dir=/own", "seed=1",
        "hydra.searchpath=[file:///more]", "hydra.job.chdir=true", "hydra.run.dir=/run",
        "hydra/job_logging=none",
    ]  # fmt: skip


def others_of(run_dir: Path) -> list[str]:
    """The processes that still work for a run, some time after its end."""
    time.sleep(5)
    commands = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [line for line in commands.stdout.splitlines() if f"hydra.run.dir={run_dir}" in line]


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1], ids=["of the first", "of the other"])
def test_the_end_of_one_process_is_the_end_of_both(rank: int, train: Train, tmp_path: Path) -> None:
    node = "+callbacks.fault"
    killed = [f"{node}._target_=scaling_faults.EndRank", f"{node}.rank={rank}", f"{node}.step=2"]
    ended = train(*arguments(COLD), *TWO, *killed, "hydra.run.dir=run", cwd=tmp_path)
    if rank == 0:
        assert ended.returncode == -signal.SIGKILL
    else:
        assert ended.returncode == 1
        how = "process 1 was ended by signal 9 (SIGKILL), out of memory?"
        failed = record(tmp_path / "run")
        assert (failed["status"], failed["error"]) == ("failed", how)
        assert ended.stderr == f"thaw: failed: {how}\n"
        assert "process 1 ended with -9" in (tmp_path / "run" / "train.log").read_text()
    assert not others_of(tmp_path / "run")
