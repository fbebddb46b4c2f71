"""The file with the loss of each step."""

from pathlib import Path

import numpy as np

from thaw.training.step_losses import cut_back, write


def losses(path: Path) -> list[float]:
    return [float(value) for value in np.fromfile(path, "<f4")]


def test_epochs_follow_each_other_and_what_is_written_again_replaces_all_after_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "losses"
    write(path, [1.0, 2.0], first=1)
    write(path, [3.0, 4.0], first=3)
    assert losses(path) == [1, 2, 3, 4]
    cut_back(path, 3)
    assert losses(path) == [1, 2, 3]
    cut_back(path, 5)
    write(path, [9.0], first=2)
    assert losses(path) == [1, 9]
    with path.open("ab") as file:
        file.write(b"\0")  # of a disk that was full
    write(path, [10.0], first=3)
    assert losses(path) == [1, 9, 10]


def test_steps_before_the_file_was_there_are_nan(tmp_path: Path) -> None:
    path = tmp_path / "losses"
    cut_back(path, 7)
    assert not path.exists()
    write(path, [1.0], first=3)
    found = losses(path)
    assert np.isnan(found[:2]).all()
    assert found[2:] == [1]
