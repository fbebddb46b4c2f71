"""run.json, kept whole and readable, and the rows made from it."""

import json
import statistics
from pathlib import Path

import pytest

from thaw import runs
from thaw.commands.sweeps import add_statistics_over_seeds, write_summary


def test_an_update_keeps_what_was_there_and_writes_strict_json(tmp_path: Path) -> None:
    runs.update_record(tmp_path, {"status": "running", "seed": 1})
    runs.update_record(tmp_path, {"status": "failed", "scores": {"fid": float("nan"), "x": [1.5]}})
    text = (tmp_path / "run.json").read_text()
    assert json.loads(text) == {"status": "failed", "seed": 1, "scores": {"fid": None, "x": [1.5]}}
    assert "NaN" not in text


def test_a_write_that_fails_leaves_the_file_before_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    runs.write_text_atomically(path, "before")
    with pytest.raises(UnicodeEncodeError):
        runs.write_text_atomically(path, "after \udc80")
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


def test_jobs_are_listed_in_their_own_order(tmp_path: Path) -> None:
    for number in (10, 2, 0):
        runs.update_record(tmp_path / f"{number}_x", {"status": "completed", "overrides": []})
    assert [row["job"] for row in write_summary(tmp_path)] == ["0_x", "2_x", "10_x"]
