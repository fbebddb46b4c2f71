"""Run directories are read as plain data, and what is broken in one is said in one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from reporting_support import (
    HOT_STAGES,
    STAGES,
    alpha_bar,
    event_file,
    record,
    rows,
    step_losses,
    truncate,
    write_events,
    write_metrics,
    write_record,
    write_restoration,
    write_run,
)

from thaw.reporting.finished import (
    read_alpha_bar,
    read_image,
    read_restoration,
    read_run,
    sample_grids,
)
from thaw.training import step_losses as own

HEADER = "epoch,step,train/loss\n"


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A whole Gaussian run."""
    return write_run(tmp_path / "run", "hot", seed=1)


def test_a_whole_run_is_read_as_it_was_written(run_dir: Path) -> None:
    run = read_run(run_dir)
    assert run.problems == []
    assert run.record == record("hot", 1)
    numeric = [{k: v for k, v in row.items() if not isinstance(v, str)} for row in rows(1)]
    assert run.epochs == numeric
    assert run.column("val/fid") == ([1, 2, 3], [103.0, 53.0, 100 / 3 + 3])
    assert run.column("val/no_such") == ([], [])
    write_metrics(run_dir, [rows(1)[0], {"epoch": 2, "step": 8, "train/loss": 0.25}])
    assert read_run(run_dir).column("val/fid")[0] == [1]  # no value is not zero
    assert read_run(run_dir).column("train/loss")[0] == [1, 2]
    steps, losses = run.step_losses
    assert steps.tolist() == list(range(1, 13))
    np.testing.assert_allclose(losses, step_losses(1), rtol=1e-6)
    torch.testing.assert_close(read_alpha_bar(run), alpha_bar())


def write(name: str, contents: str | bytes) -> Callable[[Path], Any]:
    data = contents.encode() if isinstance(contents, str) else contents
    return lambda run_dir: (run_dir / name).write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda run_dir: truncate(run_dir / "run.json"), "run.json is damaged"),
        (write("run.json", "[1, 2]"), "not a JSON object"),
        (lambda run_dir: (run_dir / "metrics.csv").unlink(), "no metrics.csv"),
        (write("metrics.csv", ""), "metrics.csv is damaged: it has no rows"),
        (write("metrics.csv", HEADER + "1,4,0.5\n2,8"), "a row is cut off"),
        (write("metrics.csv", HEADER + ",4,0.5\n"), "a row has no epoch"),
    ],
)
def test_a_damaged_record_or_table_is_a_problem_and_no_error(
    damage: Callable[[Path], Any], expected: str, run_dir: Path
) -> None:
    damage(run_dir)
    problems = read_run(run_dir).problems
    (problem,) = [line for line in problems if not line.startswith("status unknown")]
    assert expected in problem
    assert "\n" not in problem


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": "failed", "error": "out of luck"}, ["status failed: out of luck"]),
        ({"status": "running"}, ["status interrupted: its process is gone"]),
        ({"status": "running", "host": "another machine"}, ["status running"]),
        ({"ended_by": "trainer.max_steps=3"}, ["training ended by trainer.max_steps=3"]),
        ({}, []),
    ],
)
def test_a_run_that_did_not_end_well_says_so(
    changes: dict[str, str], expected: list[str], run_dir: Path
) -> None:
    write_record(run_dir, record("hot", 1, **changes))
    assert read_run(run_dir).problems == expected


def test_restored_images_come_back_byte_for_byte(tmp_path: Path) -> None:
    for names in (STAGES, HOT_STAGES):
        shape = (len(names), 3, 1, 5, 7)
        images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        write_restoration(tmp_path, images, names)
        stages = read_restoration(read_run(tmp_path))
        assert list(stages) == list(names)
        for name, expected in zip(names, images, strict=True):
            assert np.array_equal(stages[name], expected)


def test_without_the_files_there_is_nothing_and_no_error(tmp_path: Path) -> None:
    run = read_run(tmp_path)
    with pytest.raises(ValueError, match="no restored test images"):
        read_restoration(run)
    assert read_alpha_bar(run) is None
    assert sample_grids(run) == {}
    assert [len(part) for part in run.step_losses] == [0, 0]


def test_a_restoration_cut_off_anywhere_is_refused(run_dir: Path) -> None:
    path = run_dir / "figures" / "restoration.npz"
    run, whole = read_run(run_dir), path.read_bytes()
    for length in (0, len(whole) // 3, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="restoration.npz cannot be read"):
            read_restoration(run)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((5, 2, 1, 8, 8)),
        [np.zeros((2, 1, 8, size), np.uint8) for size in (8, 8, 8, 8, 9)],
    ],
    ids=["floats", "two shapes"],
)
def test_arrays_that_are_no_images_are_refused(images: Any, tmp_path: Path) -> None:
    write_restoration(tmp_path, images)
    with pytest.raises(ValueError, match="restoration.npz cannot be read"):
        read_restoration(read_run(tmp_path))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "t,beta_t,alpha_t\n0,0,1\n1,0.1",
        "t,beta_t\n0,0\n1,0.1\n",
    ],
)
def test_a_damaged_schedule_is_refused(text: str, run_dir: Path) -> None:
    (run_dir / "figures" / "schedule.csv").write_text(text)
    with pytest.raises(ValueError, match="schedule.csv "):
        read_alpha_bar(read_run(run_dir))


def test_a_png_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "epoch_0001.png"
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    assert np.array_equal(read_image(path), pixels)
    whole = path.read_bytes()
    # Without its last 20 bytes (a checksum and the end mark) all pixels are there.
    for length in (0, len(whole) // 3, len(whole) - 21):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="epoch_0001.png cannot be read"):
            read_image(path)


def test_grids_are_found_by_epoch_and_other_files_are_not(run_dir: Path) -> None:
    for name in ("epoch_x.png", "grid.png"):
        (run_dir / "samples" / name).touch()
    grids = sample_grids(read_run(run_dir))
    assert {epoch: path.name for epoch, path in grids.items()} == {
        epoch: f"epoch_{epoch:04d}.png" for epoch in (1, 2, 3)
    }


def test_of_a_step_logged_twice_after_a_resume_the_last_loss_counts(tmp_path: Path) -> None:
    write_events(tmp_path, [1.0, 2.0, 3.0])
    write_events(tmp_path, [5.0, 6.0], first=3)
    steps, losses = read_run(tmp_path).step_losses
    assert steps.tolist() == [1, 2, 3, 4]
    assert losses.tolist() == [1.0, 2.0, 5.0, 6.0]


def test_a_run_s_own_file_of_losses_counts_and_steps_that_it_lacks_are_left_out(
    tmp_path: Path,
) -> None:
    write_events(tmp_path, [1.0, 2.0, 3.0])
    path = tmp_path / "step_losses.f32"
    own.write(path, [7.0, 8.0], first=3)  # of a run that began without such a file
    with path.open("ab") as file:
        file.write(b"\0\0")  # of a disk that was full
    steps, losses = read_run(tmp_path).step_losses
    assert (steps.tolist(), losses.tolist()) == ([3, 4], [7.0, 8.0])


def test_of_an_event_file_cut_off_in_the_middle_the_first_steps_are_read(run_dir: Path) -> None:
    truncate(event_file(run_dir))
    steps, losses = read_run(run_dir).step_losses
    assert 0 < len(steps) < 12
    assert steps.tolist() == list(range(1, len(steps) + 1))
    np.testing.assert_allclose(losses, step_losses(1)[: len(steps)], rtol=1e-6)


def test_evaluations_are_read_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", "cold")
    folder = directory / "evaluations"
    folder.mkdir()
    (folder / "a.json").write_text('{"generated": {"fid": 3.5}}')
    (folder / "b.json").write_text('{"generated": {"fi')
    run = read_run(directory)
    assert run.evaluations == [{"generated": {"fid": 3.5}}]
    assert [problem for problem in run.problems if "b.json is damaged" in problem]
