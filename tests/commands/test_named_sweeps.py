"""A sweep with a name, taken up again by the same command: what is missing runs, nothing else."""

import csv
import re
import subprocess
from pathlib import Path

import pytest
from commands_support import LEAST, by_seed, record
from omegaconf import DictConfig, OmegaConf

from thaw import runs
from thaw.commands.directories import run_name, sweep_directory
from thaw.commands.recording import reason_to_skip
from thaw.commands.sweeps import write_summary
from thaw.training.experiment import resolved

# A dictionary, since of two overrides of one key the order would matter.
SETTINGS = dict(setting.split("=", 1) for setting in LEAST) | {
    "callbacks.samples.at_epochs": "[2]",
    "trainer.max_epochs": "2",
}
JOB = [f"{key}={value}" for key, value in SETTINGS.items()]


def jobs(text: str) -> dict[str, dict[str, str]]:
    """The rows of a sweep.csv by seed."""
    return {row["seed"]: row for row in csv.DictReader(text.splitlines())}


def files(run_dir: Path) -> dict[str, tuple[int, bytes]]:
    """When each file was written, and what it holds."""
    return {
        str(path.relative_to(run_dir)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(run_dir.rglob("*"))
        if path.is_file()
    }


def test_a_named_sweep_is_taken_up_by_the_same_command(tmp_path: Path, fork_command) -> None:
    """A job fails half-way, stays so, goes on when that is asked for, and nothing is left to do."""
    sweep = tmp_path / "multirun" / "two"
    # The first as an earlier version named it.
    before = run_name("__".join(sorted([*JOB, "seed=1"])))
    failed, done = sweep / before, sweep / by_seed(JOB, 2)
    # A file where the grid of samples after epoch 2 wants a folder.
    failed.mkdir(parents=True)
    (failed / "samples").touch()
    command = ["sweep.name=two", *JOB, "seed=1,2"]

    def train(*arguments: str) -> subprocess.CompletedProcess[str]:
        return fork_command("train", "-m", *arguments, cwd=tmp_path)

    first = train(*command)
    assert first.returncode == 1, first.stderr
    assert "samples" in first.stderr.splitlines()[-1]
    table, kept = (sweep / "sweep.csv").read_text(), files(done)
    rows = jobs(table)
    assert {seed: row["status"] for seed, row in rows.items()} == {"1": "failed", "2": "completed"}
    assert "samples" in rows["1"]["error"]
    assert rows["1"]["epochs"] == "1"  # it had begun
    assert "not run again" not in first.stdout

    second = train(*command)
    assert second.returncode == 0, second.stderr
    (line,) = (line for line in second.stdout.splitlines() if "failed before" in line)
    assert "samples" in line
    assert line.endswith(f"sweep.retry_failed=true runs it again: {failed}")
    assert not re.search(r"epoch \d+/\d+", second.stdout)
    assert (sweep / "sweep.csv").read_text() == table

    (failed / "samples").unlink()
    third = train(*command, "sweep.retry_failed=true")
    assert third.returncode == 0, third.stderr
    assert f"continuing from {failed / 'checkpoints' / 'last.ckpt'}" in third.stdout
    assert third.stdout.count("epoch 2/2") == 1
    assert "epoch 1/2" not in third.stdout
    assert (failed / "samples" / "epoch_0002.png").is_file()
    lines = third.stdout.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("overrides "))
    header, rule, *body = lines[start : lines.index("", start)]
    assert set(rule) == {"-"}
    assert header.split() == ["overrides", "status", "loss"]
    assert [line.split()[:2] for line in body[:2]] == [[f"seed={k}", "completed"] for k in (1, 2)]
    assert "2 seeds" in body[2]
    assert not [line for line in body if "data=" in line or "trainer." in line]

    # With one value the seed does not vary.
    alone = train(*command[:-1], "seed=2")
    assert alone.returncode == 0, alone.stderr
    assert alone.stdout.count("finished already, not run again") == 1

    # In another order the jobs have the same directories.
    table = (sweep / "sweep.csv").read_text()
    last = train("seed=2,1", *reversed(JOB), "sweep.name=two")
    assert last.returncode == 0, last.stderr
    assert last.stdout.count("finished already, not run again") == 2
    assert {path for path in sweep.iterdir() if path.is_dir()} == {failed, done}
    assert (sweep / "sweep.csv").read_text() == table
    for name in ("checkpoints/last.ckpt", "metrics.csv", "run.json", "samples/epoch_0002.png"):
        assert files(done)[name] == kept[name], name
    rows = jobs(table)
    for seed, row in rows.items():
        run_dir = {"1": failed, "2": done}[seed]
        run = record(run_dir)
        assert row["job"] == run_dir.name
        assert set(JOB) | {f"seed={seed}"} <= set(row["overrides"].split())
        assert float(row["train/loss"]) == run["last_epoch"]["train/loss"]
    mean = sum(float(row["train/loss"]) for row in rows.values()) / 2
    assert float(rows["1"]["train/loss/mean"]) == pytest.approx(mean)


def test_the_folders_of_a_sweep_are_called_by_what_varies(tmp_path: Path, fork_command) -> None:
    varied = "degradation=row_random,column_random"
    finished = fork_command("train", "-m", *LEAST, varied, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    names = {path.parent.name for path in tmp_path.glob("multirun/*/*/*/run.json")}
    assert names == {"0_degradation=row_random", "1_degradation=column_random"}
    alone = fork_command("train", "-m", *LEAST, "degradation=fade", "sweep.name=x", cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr
    (run_json,) = tmp_path.glob("multirun/x/*/run.json")
    assert re.fullmatch(r"degradation=fade~[0-9a-f]{12}", run_json.parent.name)


def config(**changes: object) -> DictConfig:
    return OmegaConf.create(
        {
            "resume": "auto",
            "optimizer": {"lr": 2e-4},
            "sizes": [1, 2],
            "classes": {1: float("inf")},  # as run.json cannot hold it
            "sweep": {"name": "two", "retry_failed": False},
        }
        | changes
    )


@pytest.mark.parametrize(
    ("changes", "kept", "expected"),
    [
        ({}, {"status": "completed"}, "finished already, not run again"),
        ({"name": "x"}, {"status": "completed"}, "finished already, not run again"),
        ({}, {"status": "failed", "error": "no disk"}, "failed before (no disk)"),
        ({"sweep": {"name": "two", "retry_failed": True}}, {"status": "failed"}, None),
        ({}, {"status": "interrupted"}, None),
        ({}, {"status": "running"}, None),
        ({"optimizer": {"lr": 3e-4}}, {"status": "completed"}, None),
        ({"resume": "never"}, {"status": "completed"}, None),
        ({}, None, None),
    ],
)
def test_left_as_it_is_what_ended_with_this_very_configuration(
    changes: dict[str, object],
    kept: dict[str, object] | None,
    expected: str | None,
    tmp_path: Path,
) -> None:
    if kept is not None:
        runs.update_record(tmp_path, {"config": resolved(config())} | kept)
    reason = reason_to_skip(config(**changes), tmp_path, is_sweep=True)
    assert (reason or "").startswith(expected or "")
    assert (reason is None) == (expected is None)


def test_a_damaged_record_of_one_job_leaves_the_others_their_rows(tmp_path: Path) -> None:
    runs.update_record(tmp_path / "0_x", {"status": "completed", "overrides": ["x=1"]})
    (tmp_path / "1_x").mkdir()
    (tmp_path / "1_x" / "run.json").write_text("{")
    rows = write_summary(tmp_path)
    assert [row["status"] for row in rows] == ["completed", "damaged"]
    assert "1_x/run.json is damaged" in rows[1]["error"]
    assert (tmp_path / "sweep.csv").is_file()


@pytest.mark.parametrize("name", ["mine", "../outside", "/outside"])
def test_no_name_leads_out_of_the_folder_of_sweeps(name: str, tmp_path: Path) -> None:
    found = Path(sweep_directory(str(tmp_path), "1", name)).resolve()
    assert found.parent == tmp_path.resolve()
