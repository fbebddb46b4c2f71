"""A class-conditional model through the real command line, from training to one digit."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from commands_support import TINY, record
from numpy.typing import NDArray


@pytest.fixture(scope="module")
def conditional_run(fork_command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one epoch, whose grids and final scores are guided."""
    run_dir = tmp_path_factory.mktemp("conditional") / "run"
    finished = fork_command(
        "train",
        *TINY,
        "model.num_classes=10",
        "sampler=ddim",
        "sampler.num_steps=5",
        "sampler.guidance=2",
        "trainer.max_epochs=1",
        f"hydra.run.dir={run_dir}",
        cwd=run_dir.parent,
    )
    assert finished.returncode == 0, finished.stderr
    # A model of one epoch hardly minds its labels; these make it mind them.
    path = run_dir / "checkpoints" / "last.ckpt"
    contents = torch.load(path, weights_only=True)
    weights = contents["state_dict"]["restorer.network.label_embedding.weight"]
    weights.copy_(5 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(0)))
    del contents["thaw"]["checksum"]  # of what it was
    torch.save(contents, path)
    return run_dir


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
            "label": ["label=7"],
            "turns": ["digit=[7,2]"],
            "drawn": [],
            "unguided": ["digit=7", "sampler.guidance=0"],
        }.items()
    }
    images = {name: both["images"] for name, both in arrays.items()}
    assert arrays["seven"]["labels"].tolist() == [7] * 6
    assert arrays["turns"]["labels"].tolist() == [7, 2] * 3
    assert len(set(arrays["drawn"]["labels"].tolist())) > 1
    assert np.array_equal(images["label"], images["seven"])
    # Batched with other labels, an image may differ in the last bit before it is rounded.
    apart = np.abs(images["turns"].astype(int) - images["seven"]).max((1, 2, 3))
    assert (apart[::2] <= 1).all()
    assert (apart[1::2] > 1).all()
    assert not np.array_equal(images["unguided"], images["seven"])


def test_a_digit_s_images_have_a_folder_of_their_own_and_an_animation(
    conditional_run: Path, tmp_path: Path, fork_command
) -> None:
    arguments = [f"run={conditional_run}", "num_samples=2", "digit=3", "seed=5"]
    finished = fork_command("sample", *arguments, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert "DDIM, 5 steps, guidance 2" in finished.stdout
    out = conditional_run / "generated" / "digit_3_seed_5"
    assert {path.name for path in out.iterdir()} == {
        "grid.png",
        "images",
        "samples.npz",
        "reverse_process.gif",
    }


def test_evaluate_scores_it_at_another_guidance(
    conditional_run: Path, tmp_path: Path, fork_command
) -> None:
    arguments = [f"run={conditional_run}", "num_samples=20", "sampler.guidance=1.5"]
    finished = fork_command("evaluate", *arguments, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    (path,) = conditional_run.glob("evaluations/*guidance-1.5*.json")
    assert json.loads(path.read_text())["generated"]["sampler"] == "DDIM, 5 steps, guidance 1.5"


@pytest.mark.parametrize(
    ("digit", "expected"),
    [
        ("12", "digit (or label) must be a whole number from 0 to 9, not 12"),
        ("[1,-1]", "digit (or label) must be a whole number from 0 to 9, not -1"),
        ("[]", "digit (or label) must be a whole number from 0 to 9, not []"),
        ("seven", "digit (or label) must be a whole number from 0 to 9, not 'seven'"),
    ],
)
def test_no_class_of_the_model_is_one_line_and_exit_code_2(
    digit: str, expected: str, conditional_run: Path, tmp_path: Path, fork_command
) -> None:
    finished = fork_command("sample", f"run={conditional_run}", f"digit={digit}", cwd=tmp_path)
    assert finished.returncode == 2, finished.stderr
    assert expected in finished.stderr
    assert finished.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("digit=7", "digit=7 needs a class-conditional model"),
        ("sampler.guidance=2", "sampler.guidance=2 needs a class-conditional model"),
    ],
)
def test_labels_of_an_unconditional_run_are_one_line_and_exit_code_2(
    argument: str, expected: str, hot_run: Path, tmp_path: Path, fork_command
) -> None:
    finished = fork_command("sample", f"run={hot_run}", argument, cwd=tmp_path)
    assert finished.returncode == 2, finished.stderr
    assert expected in finished.stderr
    assert finished.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["model.num_classes=12"], "model.num_classes=12, but mnist_5k has 10 classes"),
        (["sampler.guidance=2"], "sampler.guidance=2 needs a class-conditional model"),
        (
            ["model.num_classes=10", "model.label_dropout=0", "sampler.guidance=2"],
            "model.label_dropout above 0",
        ),
        (["model.num_classes=10", "metrics.sampler.guidance=-1"], "sampler.guidance must be"),
    ],
)
def test_labels_that_do_not_fit_are_refused_before_training(
    arguments: list[str], expected: str, tmp_path: Path, fork_command
) -> None:
    finished = fork_command("train", *TINY, *arguments, cwd=tmp_path)
    assert finished.returncode == 2, finished.stderr
    assert expected in finished.stderr
    assert finished.stderr.count("\n") == 1
