"""A class-conditional model through the real command line, from training to one digit."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from commands_support import TINY, assert_refused, record
from numpy.typing import NDArray
from omegaconf import OmegaConf
from PIL import Image

from thaw.commands.generate import chosen_classes


def trained(fork_command, run_dir: Path, *arguments: str) -> Path:
    """A finished run of one epoch, whose model is then made to depend on its labels."""
    shared = [*TINY, "model.num_classes=10", "trainer.max_epochs=1", f"hydra.run.dir={run_dir}"]
    finished = fork_command("train", *shared, *arguments, cwd=run_dir.parent)
    assert finished.returncode == 0, finished.stderr
    path = run_dir / "checkpoints" / "last.ckpt"
    contents = torch.load(path, weights_only=True)
    weights = contents["state_dict"]["restorer.network.label_embedding.weight"]
    weights.copy_(5 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(0)))
    torch.save(contents, path)
    return run_dir


@pytest.fixture(scope="module")
def conditional_run(fork_command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Gaussian model, whose grids and final scores are guided."""
    run_dir = tmp_path_factory.mktemp("conditional") / "run"
    sampler = ["sampler=ddim", "sampler.num_steps=5", "sampler.guidance=2"]
    return trained(fork_command, run_dir, *sampler)


@pytest.fixture(scope="module")
def cold_conditional_run(fork_command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of row averaging that has not learnt to go without labels."""
    run_dir = tmp_path_factory.mktemp("cold_conditional") / "run"
    return trained(fork_command, run_dir, "degradation=row_random", "model.label_dropout=0")


def sampled(run_dir: Path, out: Path, fork_command, *arguments: str) -> dict[str, NDArray]:
    finished = fork_command("sample", f"run={run_dir}", f"out={out}", *arguments, cwd=out.parent)
    assert finished.returncode == 0, finished.stderr
    return dict(np.load(out / "samples.npz"))


def test_training_scores_and_draws_it_and_keeps_the_shares_of_the_classes(
    conditional_run: Path,
) -> None:
    found = record(conditional_run)
    assert found["final_scores"]["final/sampler"] == "DDIM, 5 steps, guidance 2"
    assert np.isfinite(found["final_scores"]["final/fid"])
    assert (conditional_run / "samples" / "epoch_0001.png").is_file()
    contents = torch.load(conditional_run / "checkpoints" / "last.ckpt", weights_only=True)
    # data=mnist_5k has as many of each digit.
    assert contents["state_dict"]["restorer.class_frequencies"].tolist() == pytest.approx(
        [0.1] * 10
    )


def test_a_digit_is_drawn_when_asked_for(conditional_run: Path, tmp_path: Path, fork_command):
    """From the same noise, so that the label alone makes the difference."""
    quick = ["num_samples=6", "animation=null"]
    arrays = {
        name: sampled(conditional_run, tmp_path / name, fork_command, *quick, *arguments)
        for name, arguments in {
            "seven": ["digit=7"],
            "turns": ["label=[7,2]"],
            "drawn": ["sampler.guidance=0"],
        }.items()
    }
    images = {name: both["images"] for name, both in arrays.items()}
    assert arrays["seven"]["labels"].tolist() == [7] * 6
    assert arrays["turns"]["labels"].tolist() == [7, 2] * 3
    assert len(set(arrays["drawn"]["labels"].tolist())) > 1
    # Batched with other labels, an image may differ in the last bit before it is rounded.
    apart = np.abs(images["turns"].astype(int) - images["seven"]).max((1, 2, 3))
    assert (apart[::2] <= 1).all()
    assert (apart[1::2] > 1).all()


def test_test_images_are_restored_with_their_own_labels_and_it_is_said(
    cold_conditional_run: Path, conditional_run: Path
) -> None:
    found = record(cold_conditional_run)
    told = "test images, degraded to t = 28, and restored with their own labels"
    assert found["restoration"]["images"] == told
    assert found["last_epoch"]["val/restored_by"] == "Cold, 5 steps, with their own labels"
    assert told in (cold_conditional_run / "train.log").read_text()
    drawn = "generated from prior empirical, real training images degraded, by class"
    assert found["final_scores"]["final/images"] == drawn
    # Of noise there is only a figure.
    assert record(conditional_run)["restoration"]["images"].endswith("with their own labels")


def restored(run_dir: Path, out: Path, fork_command, *arguments: str) -> dict[str, NDArray]:
    finished = fork_command(
        "sample", f"run={run_dir}", "task=restore", f"out={out}", *arguments, cwd=out.parent
    )
    assert finished.returncode == 0, finished.stderr
    return dict(np.load(out / "restoration.npz"))


def test_images_are_restored_as_the_classes_that_are_asked_for(
    cold_conditional_run: Path, tmp_path: Path, fork_command
) -> None:
    """In data=mnist_5k the digits take turns, so that their own labels can be written down."""
    arguments = {
        "own": [],
        "three": ["label=3"],
        "files": ["images=own/original", "digit=[0,1,2,3]"],
    }
    found = {
        name: restored(cold_conditional_run, tmp_path / name, fork_command, "num_samples=4", *given)
        for name, given in arguments.items()
    }
    for name in ("direct", "algorithm_1", "algorithm_2"):
        own = found["own"][name]
        assert np.array_equal(own, found["files"][name])
        apart = np.abs(own.astype(int) - found["three"][name]).max((1, 2, 3))
        assert (apart[:3] > 1).all()
        assert apart[3] <= 1
    scores = json.loads((tmp_path / "three" / "scores.json").read_text())
    assert scores["images"] == "test images, degraded to t = 28, and restored with digit=3"


def test_a_class_of_no_training_image_is_refused() -> None:
    restorer = SimpleNamespace(num_classes=3, class_frequencies=torch.tensor([0.5, 0.0, 0.5]))
    run: Any = SimpleNamespace(experiment=SimpleNamespace(restorer=restorer), run_dir=Path("run"))
    assert chosen_classes(run, OmegaConf.create({"digit": [2, 0]}), 3).tolist() == [2, 0, 2]
    with pytest.raises(ValueError, match="digit=1: run was trained on no image of that class"):
        chosen_classes(run, OmegaConf.create({"digit": [0, 1]}), 3)


RESTORE = ["task=restore", "images=a.png"]
NO_CLASS = "digit (or label) must be a whole number from 0 to 9, got "


@pytest.mark.parametrize(
    ("run", "arguments", "expected"),
    [
        ("conditional_run", ["digit=12"], f"{NO_CLASS}12"),
        ("conditional_run", RESTORE, "or sampler.guidance=0 to restore without labels\n"),
        ("cold_conditional_run", RESTORE, "(one class, or a list of classes that take turns)\n"),
        ("cold_conditional_run", [*RESTORE, "sampler.guidance=0"], "label_dropout above 0"),
        ("hot_run", ["digit=7"], "digit=7 needs a class-conditional model"),
    ],
)
def test_classes_that_do_not_fit_the_run_are_refused(
    run: str,
    arguments: list[str],
    expected: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    fork_command,
) -> None:
    Image.new("L", (28, 28)).save(tmp_path / "a.png")
    run_dir = request.getfixturevalue(run)
    finished = fork_command("sample", f"run={run_dir}", "out=out", *arguments, cwd=tmp_path)
    assert_refused(finished, expected)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["model.num_classes=12"], "model.num_classes=12, but mnist_5k has 10 classes"),
        (["sampler.guidance=2"], "sampler.guidance=2 needs a class-conditional model"),
        (
            ["degradation=row_random", "model.num_classes=10", "prior.num_images=5"],
            "prior.num_images=5 is less than the 10 classes",
        ),
    ],
)
def test_labels_that_do_not_fit_are_refused_before_training(
    arguments: list[str], expected: str, tmp_path: Path, fork_command
) -> None:
    assert_refused(fork_command("train", *TINY, *arguments, cwd=tmp_path), expected)
