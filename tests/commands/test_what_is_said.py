"""What commands say before and beside their work: helps, shown configurations, misplaced paths."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands_support import LEAST, ROOT
from omegaconf import OmegaConf

from thaw import runs
from thaw.commands.errors import LOGGED, InputError, outcome
from thaw.commands.selection import selected_runs
from thaw.commands.stored import read_stored, stored_overrides
from thaw.commands.trained import device
from thaw.training.loading import checkpoint_path


@pytest.mark.parametrize(
    ("command", "listed", "others"),
    [
        ("train", ["model: ", "hydra/launcher: ", "hydra/sweeper: ", "sampler/grid: "], []),
        ("sample", ["prior: ", "sampler: ", "sampler/grid: "], ["model: ", "optimizer: "]),
    ],
)
def test_a_help_lists_the_groups_that_its_command_takes(
    command: str, listed: list[str], others: list[str], fork_command: Any, tmp_path: Path
) -> None:
    finished = fork_command(command, "--help", cwd=tmp_path)
    assert (finished.returncode, finished.stderr) == (0, "")
    lines = finished.stdout.splitlines()
    for start in listed:
        assert any(line.startswith(start) for line in lines), start
    for start in others:
        assert not any(line.startswith(start) for line in lines), start


@pytest.mark.parametrize(
    ("overrides", "is_said"),
    [(["bridge", "degradation/to=gaussian"], False), (["bridge"], True), (["heat"], True)],
    ids=["to=gaussian", "bridge", "heat"],
)
def test_a_schedule_that_nothing_takes_is_said_to_have_no_effect(
    overrides: list[str], is_said: bool, fork_command: Any, tmp_path: Path
) -> None:
    """The end of a bridge may take it; heat has one of its own."""
    degradation, *rest = overrides
    arguments = [f"degradation={degradation}", *rest, "schedule=flow", "trainer.max_steps=1"]
    finished = fork_command("train", *LEAST, *arguments, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert ("schedule=flow has no effect" in finished.stdout) is is_said


def test_a_sweep_s_configuration_can_be_shown(fork_command: Any, tmp_path: Path) -> None:
    finished = fork_command("train", "-m", "seed=2,3", "--cfg", "job", "-p", "seed", cwd=tmp_path)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "2\n", "")
    assert not list(tmp_path.iterdir())


def test_where_nobody_reads_a_command_ends_quietly(tmp_path: Path) -> None:
    """A real process: its end is the point."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), "--help"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 141


def test_the_log_is_named_only_where_it_has_the_traceback() -> None:
    error = RuntimeError("no luck")
    assert outcome(error) == (1, "failed: no luck (HYDRA_FULL_ERROR=1 shows the traceback)")
    error.add_note(LOGGED)
    assert outcome(error) == (1, "failed: no luck (the traceback is in the run's log)")


@pytest.mark.parametrize("name", ["meta", "xla", "gpu", "", "cuda:99"])
def test_a_device_that_cannot_compute_is_refused(name: str) -> None:
    assert [device(there).type for there in ("auto", "cpu")][1] == "cpu"
    with pytest.raises(InputError, match="device must be auto, cpu or another that is here, got"):
        device(name)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    found = tmp_path / "sweep" / "run"
    (found / "checkpoints").mkdir(parents=True)
    (found / "run.json").write_text("{}")
    (found / "checkpoints" / "last.ckpt").touch()
    return found


def test_a_path_within_a_run_or_above_it_says_what_is_meant(run_dir: Path) -> None:
    def refusal(path: Path) -> str:
        with pytest.raises(InputError) as error:
            selected_runs(OmegaConf.create({"run": str(path), "runs": None}))
        return str(error.value)

    file = run_dir / "checkpoints" / "last.ckpt"
    assert refusal(file).endswith(f"a file, not a directory; the run's directory is {run_dir}")
    assert refusal(file.parent).endswith(f"the run's directory is {run_dir}")
    several = f"; it holds runs, such as {run_dir}: runs={run_dir.parent} means all"
    assert refusal(run_dir.parent).endswith(several)
    assert refusal(run_dir.parent / "nothing").endswith("nothing: no such directory")
    assert selected_runs(OmegaConf.create({"run": str(run_dir), "runs": None})) == [run_dir]
    for read in (stored_overrides, lambda path: read_stored("replay", path, runs.CONFIG, dict)):
        with pytest.raises(InputError, match=f"; the run's directory is {run_dir}$"):
            read(file)
        with pytest.raises(InputError, match=f"; it holds runs, such as {run_dir}: "):
            read(run_dir.parent)
    with pytest.raises(ValueError, match="is a folder"):
        checkpoint_path(run_dir, str(run_dir))
