"""A sweep with a name, taken up again by the same command: what is missing runs, nothing else."""

import csv
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from commands_support import TINY, record
from omegaconf import DictConfig, OmegaConf

from thaw import runs
from thaw.commands.config import job_name, run_name, sweep_directory
from thaw.commands.recording import reason_to_skip
from thaw.commands.sweeps import write_summary
from thaw.training.experiment import resolved

# A dictionary, since of two overrides of one key the order would matter.
SETTINGS = dict(setting.split("=", 1) for setting in TINY) | {
    "metrics.num_samples": "0",
    "metrics.final_num_samples": "0",
    "degradation": "column_random",
    "callbacks.samples.at_epochs": "[2]",
    "trainer.max_epochs": "2",
}
JOB = [f"{key}={value}" for key, value in SETTINGS.items()]


def directory(seed: int) -> str:
    """The name of a job's directory: its overrides, in an order of their own."""
    return run_name("__".join(sorted([*JOB, f"seed={seed}"])))


def epochs(run_dir: Path) -> list[str]:
    with (run_dir / "metrics.csv").open(newline="") as file:
        return [row["epoch"] for row in csv.DictReader(file)]


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


class Story(NamedTuple):
    """Four times one sweep: a job fails half-way, stays so, goes on, and nothing is left to do.

    Per command its process, the sweep.csv after it, and the files of the job that was finished
    by the first.
    """

    sweep: Path
    processes: list[subprocess.CompletedProcess[str]]
    tables: list[str]
    finished: list[dict[str, tuple[int, bytes]]]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, fork_command) -> Story:
    folder = tmp_path_factory.mktemp("named")
    sweep = folder / "multirun" / "two"
    # A file where the grid of samples after epoch 2 wants a folder.
    obstacle = sweep / directory(1) / "samples"
    obstacle.parent.mkdir(parents=True)
    obstacle.touch()
    story = Story(sweep, [], [], [])
    for arguments in (
        ["sweep.name=two", *JOB, "seed=1,2"],
        ["sweep.name=two", *JOB, "seed=1,2"],
        ["sweep.name=two", *JOB, "seed=1,2", "sweep.retry_failed=true"],
        ["seed=2,1", *reversed(JOB), "sweep.name=two"],
    ):
        story.processes.append(fork_command("train", "-m", *arguments, cwd=folder))
        story.tables.append((sweep / "sweep.csv").read_text())
        story.finished.append(files(sweep / directory(2)))
        if obstacle.is_file():
            obstacle.unlink()
    return story


def test_a_job_that_fails_half_way_is_said_and_the_others_are_done(story: Story) -> None:
    first = story.processes[0]
    assert first.returncode == 1, first.stderr
    assert "samples" in first.stderr.splitlines()[-1]
    rows = jobs(story.tables[0])
    assert {seed: row["status"] for seed, row in rows.items()} == {"1": "failed", "2": "completed"}
    assert "samples" in rows["1"]["error"]
    assert rows["1"]["epochs"] == "1"  # it had begun


def test_again_a_failed_job_is_not_run_again_and_it_is_said_why(story: Story) -> None:
    second = story.processes[1]
    assert second.returncode == 0, second.stderr
    (line,) = (line for line in second.stdout.splitlines() if "failed before" in line)
    assert "samples" in line
    assert line.endswith(f"sweep.retry_failed=true runs it again: {story.sweep / directory(1)}")
    assert not re.search(r"epoch \d+/\d+", second.stdout)
    assert story.tables[1] == story.tables[0]


def test_asked_to_retry_what_failed_goes_on_where_it_stopped(story: Story) -> None:
    second = story.processes[2]
    assert second.returncode == 0, second.stderr
    failed = story.sweep / directory(1)
    assert f"continuing from {failed / 'checkpoints' / 'last.ckpt'}" in second.stdout
    assert epochs(failed) == ["1", "2"]
    assert record(failed)["status"] == "completed"
    assert (failed / "samples" / "epoch_0002.png").is_file()
    assert second.stdout.count("epoch 2/2") == 1
    assert "epoch 1/2" not in second.stdout


def test_a_finished_job_is_not_run_again_and_its_files_stay_as_they_are(story: Story) -> None:
    finished = story.sweep / directory(2)
    line = f"finished already, not run again: {finished}"
    assert line not in story.processes[0].stdout
    for again in (1, 2, 3):
        assert story.processes[again].stdout.count(line) == 1
        for name in ("checkpoints/last.ckpt", "metrics.csv", "run.json", "samples/epoch_0002.png"):
            assert story.finished[again][name] == story.finished[0][name], name


def test_in_another_order_the_jobs_have_the_same_directories(story: Story) -> None:
    last = story.processes[3]
    assert last.returncode == 0, last.stderr
    assert last.stdout.count("finished already, not run again") == 2
    assert not re.search(r"epoch \d+/\d+", last.stdout)
    found = {path.name for path in story.sweep.iterdir() if path.is_dir()}
    assert found == {directory(1), directory(2)}
    assert story.tables[3] == story.tables[2]


def test_sweep_csv_is_complete_whatever_ran_last(story: Story) -> None:
    rows = jobs(story.tables[3])
    assert sorted(rows) == ["1", "2"]
    losses = []
    for seed, row in rows.items():
        run = record(story.sweep / directory(int(seed)))
        assert row["job"] == directory(int(seed))
        assert set(JOB) | {f"seed={seed}"} <= set(row["overrides"].split())
        assert row["status"] == "completed"
        assert float(row["train/loss"]) == run["last_epoch"]["train/loss"]
        assert float(row["wall_time_s"]) == run["wall_time_s"]
        losses.append(run["last_epoch"]["train/loss"])
    assert float(rows["1"]["train/loss/mean"]) == pytest.approx(sum(losses) / 2)
    assert rows["1"]["num_seeds"] == "2"


def test_the_table_on_the_screen_shows_only_what_tells_the_jobs_apart(story: Story) -> None:
    lines = story.processes[2].stdout.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("overrides "))
    header, rule, *body = lines[start : lines.index("", start)]
    assert set(rule) == {"-"}
    assert header.split() == ["overrides", "status", "loss"]
    assert [line.split()[0] for line in body[:2]] == ["seed=1", "seed=2"]
    assert [line.split()[1] for line in body[:2]] == ["completed", "completed"]
    assert "2 seeds" in body[2]
    assert not [line for line in body if "data=" in line or "trainer." in line]


def test_a_run_s_record_holds_what_a_report_needs(story: Story) -> None:
    run = record(story.sweep / directory(2))
    assert run["config"]["seed"] == 2
    assert run["config"]["degradation"]["axis"] == "column"
    assert run["config"]["trainer"]["max_epochs"] == 2
    assert (run["choices"]["degradation"], run["choices"]["sampler"]) == ("column_random", "cold")
    assert run["cpu"].endswith("cores")
    assert run["restoration"]["n"] == 20
    assert run["restoration"]["degraded"]["psnr"] > 0
    assert run["restoration"]["epoch"] == 2


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
        ({"optimizer": {"lr": 3e-4}}, {"status": "failed"}, None),
        ({"more": 1}, {"status": "completed"}, None),
        ({}, {"status": "completed", "config": None}, None),
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


def test_a_single_run_that_failed_is_taken_up_by_the_same_command(tmp_path: Path) -> None:
    runs.update_record(tmp_path, {"config": resolved(config()), "status": "failed"})
    assert reason_to_skip(config(), tmp_path, is_sweep=False) is None


def test_who_says_never_resume_has_it_run_again(tmp_path: Path) -> None:
    never = config(resume="never")
    runs.update_record(tmp_path, {"status": "completed", "config": resolved(never)})
    assert reason_to_skip(never, tmp_path, is_sweep=True) is None


def test_a_damaged_record_of_one_job_leaves_the_others_their_rows(tmp_path: Path) -> None:
    runs.update_record(tmp_path / "0_x", {"status": "completed", "overrides": ["x=1"]})
    (tmp_path / "1_x").mkdir()
    (tmp_path / "1_x" / "run.json").write_text("{")
    rows = write_summary(tmp_path)
    assert [row["status"] for row in rows] == ["completed", "damaged"]
    assert "1_x/run.json is damaged" in rows[1]["error"]
    assert (tmp_path / "sweep.csv").is_file()


def test_a_named_sweep_s_jobs_are_called_by_their_overrides_alone() -> None:
    assert (
        job_name(0, "a=1__b=2", None, "mine") == job_name(7, "a=1__b=2", "x", "mine") == "a=1__b=2"
    )
    assert job_name(7, "a=1__b=2", None, None) == "7_a=1__b=2"
    assert job_name(7, "a=1__b=2", "x", None) == "7_x"
    assert job_name(0, "", None, "mine") == "default"


def test_long_overrides_that_differ_at_their_end_have_directories_of_their_own() -> None:
    names = {job_name(0, "x" * 300 + end, None, "mine") for end in ("a", "b")}
    assert len(names) == 2
    assert max(map(len, names)) < 255


def test_a_named_sweep_is_in_a_folder_of_that_name_there_or_not(tmp_path: Path) -> None:
    named = [sweep_directory(str(tmp_path), time, "mine") for time in ("1", "2")]
    assert named == [f"{tmp_path}/mine"] * 2
    (tmp_path / "mine").mkdir()
    assert sweep_directory(str(tmp_path), "3", "mine") == f"{tmp_path}/mine"


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside", ".."])
def test_no_name_leads_out_of_the_folder_of_sweeps(name: str, tmp_path: Path) -> None:
    found = Path(sweep_directory(str(tmp_path), "1", name)).resolve()
    assert found.parent == tmp_path.resolve()
