"""sample.py task=restore through the real command line, on finished runs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from commands_support import assert_refused
from PIL import Image

from thaw.data.sources import MNIST5k
from thaw.metrics.restored import RestorationScores
from thaw.pixels import PixelRange

STAGES = ("original", "degraded", "direct", "algorithm_1", "algorithm_2")
RANGE = PixelRange(-0.5, 0.5)


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return MNIST5k().load()[1].images[:3].numpy()


def arrays(out: Path) -> dict[str, np.ndarray]:
    with np.load(out / "restoration.npz", allow_pickle=False) as found:
        return dict(found)


def test_a_split_is_degraded_restored_scored_and_shown(
    cold_run: Path, tmp_path: Path, fork_command
) -> None:
    arguments = [f"run={cold_run}", "task=restore", "num_samples=20", "refine=true"]
    finished = fork_command("sample", *arguments, "sampler.num_steps=7", cwd=tmp_path)
    assert finished.stdout.splitlines()[0].endswith(f"sample      {cold_run}")
    assert "; on cpu; to do: restore " in finished.stdout.splitlines()[1]
    assert finished.returncode == 0, finished.stderr
    out = cold_run / "restored" / "test_t_T_seed_0_refined"
    stages = arrays(out)
    assert [*stages] == [*STAGES[:4], "algorithm_1_refined", "algorithm_2", "algorithm_2_refined"]
    scores = json.loads((out / "scores.json").read_text())
    assert (scores["n"], scores["t"], scores["sampler"]) == (20, 28, "Cold, 7 steps")
    assert scores["images"] == "test images, degraded to t = 28, and restored"
    assert scores["checkpoint"] == "last.ckpt"
    original = MNIST5k().load()[1].images[:20]
    assert np.array_equal(stages["original"], original)
    degraded = RANGE.from_uint8(original).mean(2, keepdim=True).expand(-1, -1, 28, -1)
    assert np.array_equal(stages["degraded"], RANGE.to_uint8(degraded))
    for name in [*stages][1:]:
        # From images that were rounded, so not to the last digit; and clipped, so no worse.
        rounded = RestorationScores(RANGE)
        rounded.update(*(RANGE.from_uint8(torch.from_numpy(stages[key]))
                         for key in (name, "original")))  # fmt: skip
        assert rounded.compute()["rmse"] <= scores[name]["rmse"] + 1e-3
        if name in ("degraded", "algorithm_1", "algorithm_1_refined", "algorithm_2_refined"):
            found = rounded.compute()
            assert found == pytest.approx(
                {key: scores[name][key] for key in found}, rel=0.01, abs=2e-3
            )
        assert scores[name]["fid"] > 0
        assert f"FID {scores[name]['fid']:.2f} (floor {scores['fid_floor']:.2f})" in finished.stdout
    for name, images in stages.items():
        files = sorted((out / name).iterdir())
        assert [file.name for file in files] == [f"{number:05d}.png" for number in range(20)]
        assert np.array_equal(np.asarray(Image.open(files[7])), images[7, 0])
    with Image.open(out / "restoration.png") as figure:
        assert figure.convert("L").getextrema() == (0, 255)


def test_files_of_any_kind_come_to_the_size_and_colours_of_the_run(
    cold_run: Path, tmp_path: Path, digits: np.ndarray, fork_command
) -> None:
    folder = tmp_path / "my digits, all"
    (folder / "more").mkdir(parents=True)
    Image.fromarray(digits[0, 0]).save(folder / "a.png")
    large = Image.fromarray(digits[1, 0]).convert("RGB").resize((84, 84), Image.Resampling.NEAREST)
    large.save(folder / "more" / "b.bmp")
    Image.fromarray(digits[2, 0]).save(tmp_path / "c [1].gif")
    (folder / ".hidden").write_text("no image")
    # A folder, a glob that names a part of it again, and a file whose name is a glob itself.
    images = f"images=['{folder}','{tmp_path}/*all/a.*','{tmp_path}/c [1].gif']"
    finished = fork_command(
        "sample", f"run={cold_run}", "task=restore", images, "t=5", "out=out", cwd=tmp_path
    )
    assert finished.returncode == 0, finished.stderr
    original = arrays(tmp_path / "out")["original"]
    assert original.shape == (3, 1, 28, 28)
    assert np.array_equal(original[[0, 2]], digits[[0, 2]])
    assert np.abs(original[1].astype(int) - digits[1]).mean() < 20
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert [Path(file).name for file in scores["files"]] == ["a.png", "b.bmp", "c [1].gif"]
    assert scores["images"] == "given images, degraded to t = 5, and restored"


def test_files_that_are_degraded_already_are_restored_as_the_originals_were(
    cold_run: Path, tmp_path: Path, digits: np.ndarray, fork_command
) -> None:
    for number, image in enumerate(digits):
        Image.fromarray(image[0]).save(tmp_path / f"{number}.png")
    shared = ["sample", f"run={cold_run}", "task=restore", "t=20"]
    first = fork_command(*shared, "images=?.png", "out=first", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    second = fork_command(
        *shared, "images=first/degraded", "degraded=true", "out=second", cwd=tmp_path
    )
    assert second.returncode == 0, second.stderr
    whole, found = arrays(tmp_path / "first"), arrays(tmp_path / "second")
    assert [*found] == list(STAGES[1:])
    assert np.array_equal(found["degraded"], whole["degraded"])
    # All that was lost is the rounding to 256 levels.
    assert np.abs(found["direct"].astype(int) - whole["direct"]).max() <= 3
    assert not (tmp_path / "second" / "scores.json").exists()
    assert not (tmp_path / "second" / "original").exists()
    assert "PSNR" not in second.stdout


def test_a_gaussian_run_restores_at_once_and_by_its_own_sampler(
    hot_run: Path, tmp_path: Path, fork_command
) -> None:
    finished = fork_command(
        "sample", f"run={hot_run}", "task=restore", "t=4", "num_samples=3", "split=train",
        "out=out", cwd=tmp_path,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert [*arrays(tmp_path / "out")] == ["original", "degraded", "direct", "sampled"]
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert scores["sampler"] == "Ancestral, 4 steps"
    assert scores["images"] == "training images, degraded to t = 4, and restored"


def test_a_gaussian_run_restores_the_images_of_a_cold_one(
    cold_run: Path, hot_run: Path, tmp_path: Path, fork_command
) -> None:
    arguments = [f"run={cold_run}", "task=restore", "num_samples=5", "t=9", "sampler.num_steps=3"]
    alone = fork_command("sample", *arguments, "out=alone", cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr
    settings = ["zero_shot.num_steps=4", "zero_shot.repeats=2", "zero_shot.step_size=0.5"]
    finished = fork_command("sample", *arguments, f"against={hot_run}", *settings, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    out = cold_run / "restored" / f"test_t_9_seed_0_against_{hot_run.name}"
    stages, before = arrays(out), arrays(tmp_path / "alone")
    # Columns are no mask, so that RePaint is not among those that fit.
    assert [*stages] == [*STAGES, "ddnm", "dps"]
    assert all(np.array_equal(stages[name], before[name]) for name in STAGES)
    scores = json.loads((out / "scores.json").read_text())
    evaluations = {name: scores[name]["evaluations"] for name in [*stages][2:]}
    assert evaluations == {"direct": 1, "algorithm_1": 3, "algorithm_2": 3, "ddnm": 7, "dps": 4}
    for name in evaluations:
        assert {"psnr", "ssim", "fid"} < scores[name].keys()
        assert scores[name]["seconds"] > 0
    assert "seconds" not in scores["degraded"]
    assert scores["zero_shot"] == {
        "against": str(hot_run),
        "ddnm": "DDNM, 4 steps, 7 evaluations, each 2 times",
        "dps": "DPS, 4 steps, step size 0.5",
    }
    assert "DDNM" in finished.stdout
    assert "  7 evaluations, " in finished.stdout
    assert sorted(path.name for path in (out / "ddnm").iterdir())[-1] == "00004.png"


@pytest.mark.parametrize(
    ("run", "arguments", "expected"),
    [
        ("cold_run", ["t=5"], "belong to task=restore"),
        ("cold_run", ["task=restore", "t=29"], "t must be a whole number from 1 to 28, got 29"),
        ("cold_run", ["task=restore", "images=[good.png,bad.png]"], "bad.png is not an image"),
        (
            "hot_run",
            ["task=restore", "images=good.png", "degraded=true", "t=5"],
            "Gaussian degrades each image in its own random way",
        ),
        ("cold_run", ["against=HOT"], "belong to task=restore"),
        ("cold_run", ["task=restore", "methods=[dps]"], "need against=, a run of Gaussian noise"),
        (
            "cold_run",
            ["task=restore", "against=nowhere"],
            "against=nowhere: no such directory",
        ),
        (
            "cold_run",
            ["task=restore", "against=HOT", "methods=[repaint]"],
            "repaint needs a degradation that masks pixels",
        ),
        (
            "cold_run",
            ["task=restore", "against=HOT", "methods=[dps,magic]"],
            "methods must be a list of at least 1, each entry one of repaint, ddnm, dps or null",
        ),
        (
            "cold_run",
            ["task=restore", "against=HOT", "methods=[ddnm]", "zero_shot.step_size=1"],
            "ddnm has no step_size",
        ),
        (
            "cold_run",
            ["task=restore", "against=HOT", "zero_shot.num_steps=5000"],
            "num_steps=5000 is more than the",
        ),
        ("cold_run", ["task=restore", "against=COLD"], "needs a degradation of the kind Gaussian"),
        (
            "hot_run",
            ["task=restore", "against=HOT"],
            "dps restores what is degraded in a known way, got Gaussian",
        ),
    ],
)
def test_wrong_input_is_one_line_before_any_work(
    run: str,
    arguments: list[str],
    expected: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    fork_command,
) -> None:
    Image.new("L", (28, 28)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n half of it")
    run_dir = request.getfixturevalue(run)
    for name in ("HOT", "COLD"):
        if f"against={name}" in arguments:
            other = request.getfixturevalue(f"{name.lower()}_run")
            arguments = [each.replace(f"={name}", f"={other}") for each in arguments]
    finished = fork_command("sample", f"run={run_dir}", "out=out", *arguments, cwd=tmp_path)
    assert_refused(finished, expected)
    assert not (tmp_path / "out").exists()
