"""``export.py``: weights, record and card; every command takes the folder as it takes a run."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands_support import assert_refused, record
from safetensors import safe_open
from safetensors.torch import save_file

Run = Callable[..., Any]
FEW = ["num_samples=30", "num_restored=10"]


@pytest.fixture(scope="module")
def exported(cold_run: Path, fork_command: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "model"
    arguments = [f"run='{cold_run}'", f"out={folder}", "prior=gmm", "prior.components=2", *FEW]
    finished = fork_command("export", *arguments, cwd=folder.parent)
    assert finished.returncode == 0, finished.stderr
    return folder


def test_the_folder_is_small_and_names_no_folder_of_this_machine(exported: Path) -> None:
    assert {path.name for path in exported.iterdir()} == {
        "model.safetensors", "run.json", "README.md",
    }  # fmt: skip
    assert (exported / "model.safetensors").stat().st_size < 1e6
    with safe_open(exported / "model.safetensors", framework="pt") as file:
        metadata = json.loads(file.metadata()["thaw"])
    assert metadata["config"]["prior"]["components"] == 2
    for text in (json.dumps(metadata), (exported / "run.json").read_text()):
        assert str(exported.parent.parent) not in text


def test_the_card_states_the_scores_that_the_record_has(exported: Path) -> None:
    card, found = (exported / "README.md").read_text(), record(exported)
    scores = found["final_scores"]
    assert f"FID {scores['final/fid']:.2f} (floor {scores['final/fid_floor']:.2f})" in card
    assert scores["final/n"] == 30
    assert "gmm, 2 components" in scores["final/images"]
    assert found["restoration"]["direct"]["psnr"] > 0
    assert "python train.py data=mnist_5k" in card


def test_it_samples_what_the_run_does(
    exported: Path, cold_run: Path, fork_command: Run, tmp_path: Path
) -> None:
    """By Algorithm 2 from the same x_T: the priors differ, so images are restored."""
    for name, run in (("run", cold_run), ("weights", exported)):
        arguments = [f"run='{run}'", "task=restore", "num_samples=4", f"out={tmp_path / name}"]
        finished = fork_command("sample", *arguments, cwd=tmp_path)
        assert finished.returncode == 0, finished.stderr
    of_run, of_weights = (
        np.load(next((tmp_path / name).glob("*.npz"))) for name in ("run", "weights")
    )
    assert set(of_run) == set(of_weights)
    for stage in of_run:
        np.testing.assert_array_equal(of_run[stage], of_weights[stage])


def test_what_is_made_with_it_goes_beside_not_into_it(
    exported: Path, fork_command: Run, tmp_path: Path
) -> None:
    before = sorted(exported.rglob("*"))
    sampled = fork_command("sample", f"run={exported}", "num_samples=4", cwd=tmp_path)
    assert sampled.returncode == 0, sampled.stderr
    assert (tmp_path / "outputs/zoo/model/generated/seed_0/grid.png").is_file()
    scored = fork_command("evaluate", f"run={exported}", *FEW, cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
    (path,) = (tmp_path / "outputs/zoo/model/evaluations").glob("*.json")
    fid = json.loads(path.read_text())["generated"]["fid"]
    assert fid == pytest.approx(record(exported)["final_scores"]["final/fid"], abs=1e-3)
    assert sorted(exported.rglob("*")) == before


def test_the_report_shows_it(exported: Path, fork_command: Run, tmp_path: Path) -> None:
    finished = fork_command("report", f"run={exported}", f"out={tmp_path / 'page'}", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert "FID" in (tmp_path / "page" / "index.html").read_text()


def test_what_is_wrong_is_one_line(
    exported: Path, cold_run: Path, fork_command: Run, tmp_path: Path
) -> None:
    run = f"run='{cold_run}'"
    assert_refused(fork_command("export", run, *FEW, cwd=tmp_path), "out=FOLDER")
    unknown = fork_command("sample", "run=zoo/nothing", cwd=tmp_path)
    assert_refused(unknown, "run=zoo/nothing: no such directory", "the zoo has")
    broken = tmp_path / "broken"
    shutil.copytree(exported, broken)
    whole = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert_refused(fork_command("sample", f"run={broken}", cwd=tmp_path), "damaged")
    with safe_open(exported / "model.safetensors", framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, broken / "model.safetensors", {"format": "pt"})
    other = fork_command("sample", f"run={broken}", cwd=tmp_path)
    assert_refused(other, "not a thaw model")
