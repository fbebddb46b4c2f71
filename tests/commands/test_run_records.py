"""run.json, kept whole and readable, and the rows made from it."""

import json
import signal
import statistics
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hostile_files import checkpoint, write
from hydra.types import RunMode
from omegaconf import OmegaConf

from thaw import runs, storage
from thaw.commands import recording
from thaw.commands.errors import InputError
from thaw.commands.sweeps import (
    add_statistics_over_seeds,
    error_of_all,
    screen_table,
    write_summary,
)
from thaw.stopping import Stopped
from thaw.training.training import NothingTrainedError, Training


def test_an_update_keeps_what_was_there_and_writes_strict_json(tmp_path: Path) -> None:
    runs.update_record(tmp_path, {"status": "running", "seed": 1})
    runs.update_record(tmp_path, {"status": "failed", "scores": {"fid": float("nan"), "x": [1.5]}})
    text = (tmp_path / "run.json").read_text()
    assert json.loads(text) == {"status": "failed", "seed": 1, "scores": {"fid": None, "x": [1.5]}}
    assert "NaN" not in text


def test_a_write_that_fails_leaves_the_file_before_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    storage.write_atomically(path, "before")
    with pytest.raises(UnicodeEncodeError):
        storage.write_atomically(path, "after \udc80")
    assert path.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize("text", ["{", "[1]", '{"status": '])
def test_a_damaged_record_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=r"run\.json is damaged"):
        runs.read_record(tmp_path)


def test_statistics_are_over_jobs_that_differ_by_seed_only() -> None:
    rows = [
        {"overrides": f"model.activation={name} seed={seed}", "val/fid": fid}
        for name, seed, fid in [("gelu", 1, 10.0), ("gelu", 2, 14.0), ("selu", 1, 30.0)]
    ]
    add_statistics_over_seeds(rows)
    assert rows[0]["val/fid/mean"] == rows[1]["val/fid/mean"] == 12.0
    assert rows[0]["val/fid/std"] == pytest.approx(statistics.stdev([10.0, 14.0]))
    assert rows[0]["num_seeds"] == 2
    assert "val/fid/mean" not in rows[2]


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


def test_runs_trained_or_scored_otherwise_have_no_mean_in_common(tmp_path: Path) -> None:
    fewer = {"last_epoch": {"val/fid": 40.0, "val/n": 100}}
    rows = rows_of(
        tmp_path, job(1, fid=10.0), job(2, fid=14.0), job(3, fid=30.0, epochs=2), job(4, **fewer)
    )
    assert [row.get("val/fid/mean") for row in rows] == [12.0, 12.0, None, None]
    assert "2 of 4 seeds" in screen_table(rows)


def test_the_same_job_once_more_is_no_other_seed(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, job(1, fid=10.0), job(1, fid=10.0))
    assert not any("num_seeds" in row for row in rows)
    rows = rows_of(tmp_path, job(1, fid=10.0), job(1, fid=10.0), job(2, fid=14.0))
    assert {row["val/fid/mean"] for row in rows} == {12.0}
    assert screen_table(rows).count("2 seeds") == 1


def test_a_score_that_one_seed_lacks_has_no_mean(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, job(1, fid=10.0), job(2, fid=None), job(3, fid=14.0))
    assert not any("val/fid/mean" in row for row in rows)
    assert "3 seeds" in screen_table(rows)


def test_a_reason_is_cut_on_the_screen_and_whole_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    reason = "the disk is full " * 20
    rows = rows_of(tmp_path, job(1, fid=10.0), job(2, "failed", error=reason))
    header, _, done, failed = screen_table(rows).splitlines()
    assert header.split() == ["overrides", "status", "FID", "reason"]
    assert len(failed) == 80
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
def test_what_is_said_of_a_search_whose_runs_were_all_in_other_processes(
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


def test_jobs_are_listed_in_their_own_order(tmp_path: Path) -> None:
    for number in (10, 2, 0):
        runs.update_record(tmp_path / f"{number}_x", {"status": "completed", "overrides": []})
    assert [row["job"] for row in write_summary(tmp_path)] == ["0_x", "2_x", "10_x"]


@pytest.mark.parametrize(
    ("error", "accepted", "expected"),
    [
        (Stopped(signal.SIGINT), False, "completed"),
        (InputError("refused"), False, "completed"),
        (RuntimeError("a fault"), False, "completed"),
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
    hydra = SimpleNamespace(get=lambda: SimpleNamespace(mode=RunMode.RUN))
    monkeypatch.setattr(recording, "HydraConfig", hydra)
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


def test_a_signal_when_a_file_is_in_place_is_that_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace(source: str, target: Path) -> None:
        Path(source).rename(target)
        raise Stopped(signal.SIGTERM)

    monkeypatch.setattr("thaw.storage.os.replace", replace)
    with pytest.raises(Stopped):
        storage.write_atomically(tmp_path / "a", b"whole")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"whole"]


@pytest.mark.parametrize(("steps", "expected"), [(0, NothingTrainedError), (1, RuntimeError)])
def test_what_fails_before_a_step_of_its_own_has_trained_nothing(
    steps: int, expected: type[Exception], tmp_path: Path
) -> None:
    """The batches that the checkpoint has counted are none of this command's."""
    contents = checkpoint() | {"global_step": 7}
    path = write(tmp_path, contents) / "checkpoints" / "last.ckpt"

    def fit(*_: object, **__: object) -> None:
        raise RuntimeError("a fault")

    progress = SimpleNamespace(total=SimpleNamespace(completed=7 + steps, ready=8 + steps))
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=progress))
    training: Any = Training.__new__(Training)
    training.run_dir, training.checkpoint = tmp_path, path
    training.experiment = SimpleNamespace(module=None, data=None)
    training.trainer = SimpleNamespace(fit=fit, global_step=7 + steps, fit_loop=loop)
    with pytest.raises(expected):
        training.fit()


ROWS = [
    {"epoch": "1", "train/loss": "0.5", "by": "DDIM, 5"},
    {"epoch": "2", "train/loss": "1e-05", "by": ""},
]


@pytest.mark.parametrize(
    "text",
    [
        'epoch,train/loss,by\n1,0.5,"DDIM, 5"\n2,1e-05,\n',
        "\ufeffepoch;train/loss;by\r\n1;0,5;DDIM, 5\r\n2;1,E-05;\r\n;;\r\n".replace("1,E", "1,0E"),
        '"epoch"\t"train/loss"\t"by"\r\n"1"\t"0,5"\t"DDIM, 5"\r\n"2"\t"1e-05"\t""\r\n',
        'by,epoch,train/loss\r"DDIM, 5",1,"0,5"\r,2,1e-05\r',
    ],
    ids=["own", "semicolons", "tabs", "another order"],
)
def test_rows_that_a_spreadsheet_has_written_anew_are_read(text: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(text.encode())
    rows = storage.read_rows(path)
    assert [row | {"train/loss": float(row["train/loss"])} for row in rows] == [
        row | {"train/loss": float(row["train/loss"])} for row in ROWS
    ]


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (b"", "no rows"),
        (b"epoch;step\r\n", "no rows"),
        (b"epoch,step\n1\n", "cut off or too long"),
        (b"epoch,step\n1,2,3\n", "cut off or too long"),
        (b"epoch,step\n1,2", "its last row is cut off"),
        (b"\xff\xfee\x00p\x00", "decode"),
    ],
)
def test_rows_that_are_none_are_refused(contents: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(contents)
    with pytest.raises(ValueError, match=reason):
        storage.read_rows(path)


@pytest.mark.parametrize("home", ["/dev/null/home", None])
def test_a_cache_below_a_home_that_cannot_be_used_is_named(
    home: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if home:
        monkeypatch.setenv("HOME", home)
    else:  # as for a user of a container whom the system does not know
        monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(
        OSError, match=r"thaw/images cannot be written to .*: set data.cache or HOME"
    ):
        storage.make_cache(storage.cache_folder("images"), "data.cache or HOME")
    assert not list(tmp_path.iterdir())
