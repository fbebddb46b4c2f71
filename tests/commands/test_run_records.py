"""run.json, kept whole and readable, and the rows made from it."""

import signal
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from thaw import runs, storage
from thaw.commands import recording
from thaw.commands.errors import InputError
from thaw.commands.sweeps import (
    error_of_all,
    screen_table,
    write_summary,
)
from thaw.stopping import Stopped


def test_a_write_that_fails_leaves_the_file_before_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    storage.write_atomically(path, "before")
    with pytest.raises(UnicodeEncodeError):
        storage.write_atomically(path, "after \udc80")
    assert path.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.json"]


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ValueError, match=r"run\.json is damaged"):
        runs.read_record(tmp_path)


def job(seed: int, status: str = "completed", fid: float | None = None, **more: Any) -> Any:
    """run.json of a job of one experiment; four epochs, unless ``more`` says otherwise."""
    record = {"status": status, "seed": seed, "overrides": ["lr=1", f"seed={seed}"], "epochs": 4}
    return record | {"job_number": seed, "last_epoch": {"val/fid": fid, "val/n": 250}} | more


def rows_of(folder: Path, *jobs: dict[str, Any]) -> list[dict[str, Any]]:
    for number, record in enumerate(jobs):
        runs.update_record(folder / f"{number}_x", record)
    return write_summary(folder)


def test_means_take_in_completed_runs_alone_and_say_of_how_many(tmp_path: Path) -> None:
    rows = rows_of(
        tmp_path,
        job(1, fid=10.0),
        job(2, fid=14.0),
        job(3, "interrupted", fid=90.0, epochs=2),
        job(4, "running", fid=80.0, host="another machine"),
    )
    assert [row.get("val/fid/mean") for row in rows] == [12.0, 12.0, None, None]
    assert [row.get("num_seeds") for row in rows] == [2, 2, None, None]
    lines = [line.split() for line in screen_table(rows).splitlines()]
    assert lines[2:] == [
        ["seed=1", "completed", "10"],
        ["seed=2", "completed", "14"],
        ["seed=3", "interrupted", "90"],
        ["seed=4", "running", "80"],
        ["2", "of", "4", "seeds", "12.00", "+-", "2.8"],
    ]


def test_the_same_job_once_more_is_no_other_seed(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, job(1, fid=10.0), job(1, fid=10.0))
    assert [row["num_seeds"] for row in rows] == [1, 1]
    assert not any("val/fid/mean" in row for row in rows)
    assert screen_table(rows).endswith("seed=0,1,2 gives the spread")
    rows = rows_of(tmp_path, job(1, fid=10.0), job(1, fid=10.0), job(2, fid=14.0))
    assert {row["val/fid/mean"] for row in rows} == {12.0}
    assert screen_table(rows).count("2 seeds") == 1
    assert "gives the spread" not in screen_table(rows)


def test_a_score_that_one_seed_lacks_has_no_mean(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, job(1, fid=10.0), job(2, fid=None), job(3, fid=14.0))
    assert not any("val/fid/mean" in row for row in rows)
    assert "3 seeds" in screen_table(rows)


def test_a_reason_is_cut_on_the_screen_and_whole_in_the_file(
    tmp_path: Path,
) -> None:
    reason = "the disk is full " * 20
    rows = rows_of(tmp_path, job(1, fid=10.0), job(2, "failed", error=reason))
    header, _, done, failed = screen_table(rows).splitlines()
    assert header.split() == ["overrides", "status", "FID", "reason"]
    assert len(failed) < 160
    assert failed.endswith("...")
    assert failed[header.index("reason") :].startswith("the disk is full the disk")
    assert done.split() == ["seed=1", "completed", "10"]
    assert reason in (tmp_path / "sweep.csv").read_text()


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([job(1, "failed", epochs=None, error="wrong")] * 2, InputError),
        ([job(1, "failed", epochs=1, error="wrong")] * 2, RuntimeError),
        ([job(1, "failed", error="wrong"), job(2)], type(None)),
        ([], type(None)),
    ],
)
def test_what_is_said_of_a_search_without_a_single_result(
    jobs: list[dict[str, Any]],
    expected: type,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows_of(tmp_path, *jobs)
    monkeypatch.setattr("thaw.commands.sweeps._sweep_dirs", [tmp_path])
    error = error_of_all()
    assert type(error) is expected
    assert error is None or "wrong" in str(error)


@pytest.mark.parametrize(
    ("error", "accepted", "expected"),
    [
        (Stopped(signal.SIGINT), False, "completed"),
        (InputError("the first step fails"), True, "completed"),
        (Stopped(signal.SIGINT), True, "interrupted"),
        (RuntimeError("a fault"), True, "failed"),
    ],
)
def test_a_finished_run_stays_so_until_it_goes_on(
    error: BaseException,
    accepted: bool,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        recording,
        "record_origin",
        lambda run_dir, cfg: runs.update_record(run_dir, {"config": "new", "git": "new"}),
    )
    runs.update_record(tmp_path, {"status": "completed", "dataset": {}, "config": "old"})
    before = runs.read_record(tmp_path)

    def command() -> None:
        with recording.recorded(tmp_path, OmegaConf.create()) as accept:
            runs.update_record(tmp_path, {"dataset": {"name": "another"}})
            if accepted:
                accept()
            raise error

    with pytest.raises(type(error)):
        command()
    after = runs.read_record(tmp_path)
    assert after["status"] == expected
    assert (after == before) == (expected == "completed")


def test_rows_that_a_spreadsheet_has_written_anew_are_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes("\ufeffepoch;train/loss;by\r\n1;0,5;DDIM, 5\r\n;;\r\n".encode())
    assert storage.read_rows(path) == [{"epoch": "1", "train/loss": "0.5", "by": "DDIM, 5"}]


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (b"epoch;step\r\n", "no rows"),
        (b"epoch,step\n1,2,3\n", "cut off or too long"),
        (b"epoch,step\n1,2", "its last row is cut off"),
    ],
)
def test_rows_that_are_none_are_refused(contents: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(contents)
    with pytest.raises(ValueError, match=reason):
        storage.read_rows(path)
