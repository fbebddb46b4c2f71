"""evaluate.py and sample.py through the real command line, on finished runs."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from commands_support import assert_refused, record
from PIL import Image


def reconfigured(run_dir: Path, path: Path, **groups: dict[str, str]) -> None:
    """Write the run's last checkpoint with other groups in its configuration."""
    contents = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    contents["thaw"]["config"] |= groups
    path.parent.mkdir(exist_ok=True)
    torch.save(contents, path)


def test_evaluate_repeats_the_run_s_own_final_scores(hot_run: Path, tmp_path: Path, fork_command):
    finished = fork_command(
        "evaluate", f"run={hot_run}", "num_samples=30", "seed=0", "batch_size=500", cwd=tmp_path
    )
    assert finished.returncode == 0, finished.stderr
    (path,) = hot_run.glob("evaluations/*.json")
    found = json.loads(path.read_text())
    assert found["overrides"] == ["num_samples=30", "seed=0", "batch_size=500"]
    scores = found["generated"]
    final = record(hot_run)["final_scores"]
    for key in ("fid", "is_mean", "kid", "class_kl"):
        assert scores[key] == pytest.approx(final[f"final/{key}"], rel=1e-6)
    assert scores["encoder"] == "mnist-cnn-v1"
    assert "FID" in finished.stdout
    first, second = finished.stdout.splitlines()[:2]
    assert first.endswith(f"evaluate    {hot_run}")
    assert second.endswith(
        f"{hot_run}, last.ckpt of epoch 1, raw weights: data mnist_5k, 4,500 training, 500 test "
        f"images; model CNN, {record(hot_run)['num_parameters']:,} parameters, Gaussian, T = 20; "
        "on cpu; to do: generate and score 30 images, restore 1,000 where the degradation is not "
        "noise"
    )


def test_draws_are_the_evaluations_of_the_seeds_that_follow(
    hot_run: Path, tmp_path: Path, fork_command
) -> None:
    def scores(*overrides: str) -> dict:
        given = (f"run={hot_run}", "num_samples=20", "num_restored=0", *overrides)
        finished = fork_command("evaluate", *given, cwd=tmp_path)
        assert finished.returncode == 0, finished.stderr
        (path,) = set(hot_run.glob("evaluations/*_n20_*.json")) - before
        before.add(path)
        return json.loads(path.read_text())["generated"]

    before: set[Path] = set()
    drawn = scores("num_draws=3", "seed=5")
    alone = [scores(f"seed={seed}") for seed in (5, 6, 7)]
    for name in ("fid", "is_mean", "kid", "precision", "class_kl"):
        values = [each[name] for each in alone]
        assert [draw[name] for draw in drawn["draws"]] == pytest.approx(values, rel=1e-6)
        assert drawn[name] == pytest.approx(np.mean(values), rel=1e-6)
        error = drawn[f"{name.removesuffix('_mean')}_error"]
        assert error == pytest.approx(np.std(values, ddof=1) / 3**0.5, rel=1e-4, abs=1e-7)
    assert (drawn["n"], drawn["num_draws"]) == (20, 3)
    histograms = np.array([each["class_histogram"] for each in alone])
    assert drawn["class_histogram"] == histograms.sum(axis=0).tolist()
    assert any(path.stem.endswith("_n20_seed5_draws3") for path in before)


def test_evaluate_restores_where_the_degradation_is_not_noise(
    cold_run: Path, tmp_path: Path, fork_command
) -> None:
    finished = fork_command(
        "evaluate",
        f"run={cold_run}",
        "num_samples=10",
        "num_restored=20",
        "sampler.num_steps=7",
        "checkpoint=best",
        cwd=tmp_path,
    )
    assert finished.returncode == 0, finished.stderr
    (path,) = cold_run.glob("evaluations/best*.json")
    result = json.loads(path.read_text())
    assert result["generated"]["sampler"] == "Cold, 7 steps, correction 0.75"
    assert result["restored"]["n"] == 20
    assert result["restored"]["images"] == "test images, degraded to t = 28, and restored"
    for name in ("degraded", "direct", "algorithm_1", "algorithm_2"):
        assert result["restored"][name]["fid"] > 0
        assert result["restored"][name]["rmse"] > 0
        assert result["restored"][name]["psnr"] == pytest.approx(
            -20 * np.log10(result["restored"][name]["rmse"]), rel=1e-4
        )


def test_evaluate_bounds_the_likelihood_and_takes_another_sampler_and_grid(
    hot_run: Path, tmp_path: Path, fork_command
) -> None:
    finished = fork_command(
        "evaluate",
        f"run={hot_run}",
        "num_samples=4",
        "sampler=heun",
        "sampler/grid=quadratic",
        "sampler.num_steps=5",
        "num_likelihood_images=3",
        cwd=tmp_path,
    )
    assert finished.returncode == 0, finished.stderr
    (path,) = hot_run.glob("evaluations/*Heun*.json")
    result = json.loads(path.read_text())
    assert result["generated"]["sampler"] == "Heun, 5 steps, 9 evaluations, quadratic grid"
    assert result["likelihood"]["n"] == 3
    for name in ("small", "large"):
        bound = result["likelihood"][name]
        assert len(bound["terms"]) == 21
        # Eight bits store a pixel; what four steps of training know is not much better.
        assert 0 < bound["bits_per_dim"] == pytest.approx(sum(bound["terms"]))
        line = f"{name} variance: at most {bound['bits_per_dim']:.3f} +- "
        assert line in finished.stdout


def test_a_likelihood_that_cannot_be_had_is_refused_before_any_work(
    cold_run: Path, tmp_path: Path, fork_command
) -> None:
    finished = fork_command("evaluate", f"run={cold_run}", "num_likelihood_images=5", cwd=tmp_path)
    assert_refused(finished, "Bound needs a degradation of the kind Gaussian, got LineAverage")
    assert "generated" not in finished.stdout


def test_evaluate_takes_several_runs_and_names_those_it_cannot_use(
    hot_run: Path, cold_run: Path, tmp_path: Path, fork_command
) -> None:
    for number, run_dir in enumerate((hot_run, cold_run)):
        evaluations = shutil.ignore_patterns("evaluations")  # those of other tests
        shutil.copytree(run_dir, tmp_path / "runs" / str(number), ignore=evaluations)
    (tmp_path / "runs" / "2").mkdir()
    (tmp_path / "runs" / "2" / "run.json").write_text("{}")
    finished = fork_command(
        "evaluate", "runs=runs/*", "num_samples=4", "num_restored=0", cwd=tmp_path
    )
    assert finished.returncode == 0, finished.stderr
    assert len(list(tmp_path.glob("runs/*/evaluations/*_n4_*.json"))) == 2
    assert "left out: runs/2" in finished.stdout


def test_sample_writes_grid_images_arrays_and_an_animation(
    cold_run: Path, tmp_path: Path, fork_command
) -> None:
    arguments = [f"run={cold_run}", "num_samples=9", "seed=3"]
    for out in ("first", "second"):
        finished = fork_command("sample", *arguments, f"out={out}", cwd=tmp_path)
        assert finished.returncode == 0, finished.stderr
    images = np.load(tmp_path / "first" / "samples.npz")["images"]
    assert images.shape == (9, 28, 28, 1)
    assert images.dtype == np.uint8
    single = np.asarray(Image.open(tmp_path / "first" / "images" / "00003.png"))
    assert np.array_equal(single, images[3, :, :, 0])
    with Image.open(tmp_path / "first" / "reverse_process.gif") as animation:
        assert animation.n_frames > 10
    assert np.array_equal(images, np.load(tmp_path / "second" / "samples.npz")["images"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "run=DIR"),
        (["run=.", "checkpoint=best"], "best.ckpt"),
        (["run=.", "checkpoint=damaged.ckpt"], "not a readable checkpoint"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    arguments: list[str], expected: str, tmp_path: Path, fork_command
) -> None:
    (tmp_path / "damaged.ckpt").write_bytes(b"PK\x03\x04 half a file")
    assert_refused(fork_command("sample", *arguments, cwd=tmp_path), expected)


def test_what_a_short_schedule_keeps_can_be_fitted(
    hot_run: Path, tmp_path: Path, fork_command
) -> None:
    arguments = [f"run={hot_run}", "num_samples=4"]
    own = fork_command("sample", *arguments, "animation=null", "out=out", cwd=tmp_path)
    assert own.returncode == 0, own.stderr
    assert "WARNING prior=normal, but x_T keeps 82 % of the image's variance" in own.stdout
    fitted = ["prior=gaussian", "prior.num_images=300", "prior.max_dims=8"]
    finished = fork_command("evaluate", *arguments, *fitted, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert "x_T keeps" not in finished.stdout
    (path,) = hot_run.glob("evaluations/last_gaussian_*.json")
    found = json.loads(path.read_text())["generated"]
    assert found["images"] == "generated from prior gaussian"


def test_another_prior_is_fitted_to_the_training_images_and_named(
    cold_run: Path, tmp_path: Path, fork_command
) -> None:
    prior = ["prior=gmm", "prior.components=2", "prior.num_images=300"]
    finished = fork_command(
        "evaluate", f"run={cold_run}", "num_samples=10", "num_restored=0", *prior, cwd=tmp_path
    )
    assert finished.returncode == 0, finished.stderr
    (path,) = cold_run.glob(
        "evaluations/last_gmm-2-components_Cold-28-steps-correction-0.75_n10_seed0.json"
    )
    expected = "generated from prior gmm, 2 components"
    assert json.loads(path.read_text())["generated"]["images"] == expected
    assert expected in finished.stdout
    own = record(cold_run)["final_scores"]["final/images"]
    assert own == "generated from prior empirical, real training images degraded"

    elsewhere = {"_target_": "thaw.data.datasets.MNIST", "root": str(tmp_path / "nowhere")}
    reconfigured(cold_run, tmp_path / "elsewhere.ckpt", data=elsewhere)
    arguments = ["run=.", f"checkpoint={tmp_path}/elsewhere.ckpt", "num_samples=2", *prior]
    offline = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    finished = fork_command("sample", *arguments, "data.root=null", cwd=tmp_path, **offline)
    assert_refused(finished, "a prior is fitted to training images: ", "nowhere/MNIST/raw lacks")
