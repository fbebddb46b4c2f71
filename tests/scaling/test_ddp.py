"""A run of two processes is the run of one: the same numbers, the same files, to be resumed."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from commands_support import record
from scaling_support import COLD, arguments, fault, files, numbers, rows, weights

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
    assert len(found) == len(expected) == 2
    for row, other in zip(found, expected, strict=True):
        assert row.keys() == other.keys()
        assert numbers(row) == pytest.approx(numbers(other), rel=1e-4, abs=1e-5)
    one, two = record(story.alone), record(story.together)
    assert one["status"] == two["status"] == "completed"
    final = numbers(one["final_scores"])
    found = numbers(two["final_scores"])
    # Of 30 images: differences of differences.
    assert found.pop("final/kid_error") == pytest.approx(final.pop("final/kid_error"), rel=1e-2)
    assert found == pytest.approx(final, rel=1e-4, abs=1e-5)
    assert two["final_scores"]["final/n"] == 30
    for stage in ("direct", "algorithm_2"):
        expected = one["restoration"][stage]
        assert two["restoration"][stage] == pytest.approx(expected, rel=1e-4, abs=1e-5)
    for (name, tensor), other in zip(
        weights(story.alone).items(), weights(story.together).values(), strict=True
    ):
        torch.testing.assert_close(other, tensor, rtol=1e-3, atol=1e-5, msg=name)


def test_there_is_one_set_of_files(story: Story) -> None:
    found = files(story.together)
    assert sorted({*found}) == sorted({*files(story.alone)})
    assert found.count("events") == 3  # of the first start, of the second, of the final scores
    assert [path.name for path in story.sweep.iterdir() if path.is_dir()] == [story.together.name]
    assert not (story.sweep.parents[1] / "outputs").exists()
    (row,) = rows(story.sweep / "sweep.csv")
    assert row["status"] == "completed"
    log = (story.together / "train.log").read_text()
    assert log.count("epoch 2/2") == 1


def test_a_batch_that_cannot_be_shared_equally_is_refused_before_training(
    train: Train, tmp_path: Path
) -> None:
    settings = arguments(COLD | {"data.batch_size": "99"})
    refused = train(*settings, *TWO, "hydra.run.dir=odd", cwd=tmp_path)
    assert refused.returncode == 2, refused.stderr
    assert "data.batch_size=99 is shared by 2 processes" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


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
