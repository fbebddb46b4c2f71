"""``export.py``: weights, record and card; every command takes the folder as it takes a run."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands_support import assert_refused, record
from safetensors import safe_open
from safetensors.torch import save_file

from thaw.training.loading import load_run

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


def test_another_form_of_the_network_lies_beside_it_and_the_card_says_how_to_use_it(
    exported: Path, fork_command: Run, tmp_path: Path
) -> None:
    arguments = [f"run={exported}", "out=again", "to=torch", *FEW]
    finished = fork_command("export", *arguments, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    again = tmp_path / "again"
    assert {path.name for path in again.iterdir()} == {
        "model.safetensors", "model.pt2", "run.json", "README.md",
    }  # fmt: skip
    card = (again / "README.md").read_text()
    assert 'network = torch.export.load("model.pt2").module()' in card
    assert "- in: `t`, int64 `[B]`, their steps, 1 to 28" in card
    network = torch.export.load(again / "model.pt2").module()
    x_t, t = torch.randn(3, 1, 28, 28), torch.tensor([1, 2, 28])
    with torch.no_grad():
        own = load_run(exported).experiment.restorer.predict(x_t, t)
        torch.testing.assert_close(network(x_t, t), own, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["to=keras"], "to must be one of safetensors, onnx, torch, diffusers, got 'keras'"),
        (["to=diffusers"], "to=diffusers takes a network of model=diffusers_unet"),
        (["push=model"], "push must be USER/NAME of the Hugging Face hub, got model"),
        (["push=a/model"], "push=a/model: the hub says: "),
    ],
)
def test_what_cannot_be_exported_so_is_refused_before_any_score(
    arguments: list[str], words: str, exported: Path, fork_command: Run, tmp_path: Path
) -> None:
    offline = {"HF_TOKEN": "hf_of_this_test", "HF_ENDPOINT": "http://127.0.0.1:9"}
    finished = fork_command(
        "export", f"run={exported}", "out=x", *arguments, cwd=tmp_path, **offline
    )
    assert_refused(finished, words)
    assert not (tmp_path / "x").exists()


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
