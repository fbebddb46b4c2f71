"""``thaw.load``: what a run does in Python is what the commands do."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands_support import LEAST
from torch import Tensor

import thaw
from thaw.diffusion import DDIM, Cold

Command = Callable[..., Any]
SMALL = [each for each in LEAST if each != "metrics=none"]
SMALL += ["metrics.num_samples=0", "metrics.final_num_samples=20", "metrics.num_restored=0"]
SMALL += ["metrics.num_restored_each_epoch=0", "callbacks.samples.at_epochs=[last]"]


@pytest.fixture(scope="module")
def cold(tmp_path_factory: pytest.TempPathFactory, fork_command: Command) -> Path:
    run_dir: Path = tmp_path_factory.mktemp("api") / "cold"
    given = ["degradation=column_random", f"hydra.run.dir={run_dir}"]
    finished = fork_command("train", *SMALL, *given, cwd=run_dir.parent)
    assert finished.returncode == 0, finished.stderr
    return run_dir


@pytest.fixture(scope="module")
def hot(tmp_path_factory: pytest.TempPathFactory, fork_command: Command) -> Path:
    """A class-conditional model of noise, without scores."""
    run_dir: Path = tmp_path_factory.mktemp("api") / "hot"
    given = ["model.num_classes=10", "schedule.rescale=true", f"hydra.run.dir={run_dir}"]
    given += ["schedule.timesteps=40"]
    finished = fork_command("train", *LEAST, *given, cwd=run_dir.parent)
    assert finished.returncode == 0, finished.stderr
    return run_dir


def arrays(path: Path) -> dict[str, Tensor]:
    with np.load(path) as found:
        return {name: torch.from_numpy(found[name]) for name in found}


def test_samples_are_those_of_the_command(hot: Path, tmp_path: Path, fork_command: Command) -> None:
    given = [f"run={hot}", "num_samples=6", "digit=[7,1]", "seed=3", "batch_size=4"]
    given += ["sampler=ddim", "sampler.num_steps=5", "sampler.guidance=2", "out=out"]
    finished = fork_command("sample", *given, "animation=null", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    written = arrays(tmp_path / "out" / "samples.npz")["images"].permute(0, 3, 1, 2)
    run = thaw.load(hot)
    settings: dict[str, Any] = {"digit": [7, 1], "seed": 3, "batch_size": 4}
    found = run.sample(6, sampler="ddim", num_steps=5, guidance=2, **settings)
    assert found.dtype == torch.uint8
    assert torch.equal(found, written)
    assert torch.equal(found, run.sample(6, sampler=DDIM(5, guidance=2), **settings))
    assert not torch.equal(
        found, run.sample(6, sampler="ddim", num_steps=6, guidance=2, **settings)
    )


def test_restorations_are_those_of_the_command(
    cold: Path, tmp_path: Path, fork_command: Command
) -> None:
    given = [f"run={cold}", "task=restore", "t=14", "num_samples=3", "refine=true", "out=out"]
    finished = fork_command("sample", *given, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    written = arrays(tmp_path / "out" / "restoration.npz")
    run = thaw.load(cold)
    images = run.data.test_images[:3]
    found = run.restore(images, t=14, refine=True)
    assert list(found) == list(written)
    assert all(torch.equal(found[name], written[name]) for name in written)
    assert torch.equal(run.degrade(images, 14), found["degraded"])
    assert torch.equal(run.degrade(images, 0), found["original"])
    assert torch.equal(run.degrade(images), run.degrade(images, run.num_steps))
    again = run.restore(found["degraded"], 14, is_degraded=True)
    assert "original" not in again
    assert torch.equal(again["degraded"], found["degraded"])


def test_a_gaussian_run_restores_the_images_of_a_cold_one(
    cold: Path, tmp_path: Path, fork_command: Command
) -> None:
    given = [f"run={cold}", "task=restore", "t=14", "num_samples=2", "out=out"]
    rival = ["against=zoo/best_ddpm", "methods=[dps,ddnm]", "zero_shot.num_steps=3"]
    finished = fork_command("sample", *given, *rival, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    written = arrays(tmp_path / "out" / "restoration.npz")
    run, hot = thaw.load(cold), thaw.load("zoo/best_ddpm")
    images = run.data.test_images[:2]
    found = run.restore(
        images, 14, against=hot, methods=["ddnm", "dps"], zero_shot={"num_steps": 3}
    )
    assert list(found) == list(written)
    assert all(torch.equal(found[name], written[name]) for name in written)
    assert list(run.restore(images, 14, against=hot, zero_shot={"num_steps": 1})) == list(found)
    for wrong, words in (
        ({"against": run}, "needs a degradation of the kind Gaussian"),
        (
            {"against": hot, "methods": ["magic"]},
            "methods must be of repaint, ddnm, dps, got magic",
        ),
        ({"against": hot, "is_degraded": True}, "leave out is_degraded"),
        ({"methods": ["dps"]}, "need against"),
    ):
        with pytest.raises(ValueError, match=words):
            run.restore(images, 14, **wrong)


def test_scores_are_those_of_the_command(cold: Path, tmp_path: Path, fork_command: Command) -> None:
    given = [f"run={cold}", "num_samples=8", "num_restored=0", "seed=2", "sampler.num_steps=4"]
    finished = fork_command("evaluate", *given, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    (path,) = cold.glob("evaluations/*_n8_*.json")
    written = json.loads(path.read_text())["generated"]
    found = thaw.load(cold).scores(8, seed=2, num_steps=4)
    assert found.keys() == written.keys()
    for name, value in written.items():
        # The command may use more threads.
        is_real = isinstance(value, float)
        assert found[name] == (pytest.approx(value, rel=1e-6) if is_real else value), name


def test_a_trajectory_leads_to_the_samples(cold: Path, hot: Path) -> None:
    for run, steps in ((thaw.load(cold), 7), (thaw.load(hot), 5)):
        states = run.trajectory(3, num_steps=steps, seed=1)
        times = [state.t for state in states]
        assert times[0] == run.num_steps
        assert len(times) == steps + 1
        assert times == sorted(set(times), reverse=True)
        assert states[0].x_0_hat is None
        assert torch.equal(states[-1].x_t, run.sample(3, num_steps=steps, seed=1))


def test_a_start_of_one_s_own(cold: Path, hot: Path) -> None:
    """What ``draw`` gives is where ``sample`` starts; only a sampler that draws goes elsewhere."""
    run = thaw.load(cold)
    start = run.draw(3, seed=1)
    states = run.trajectory(3, seed=1)
    assert torch.equal(run.pixel_range.to_uint8(start[0]), states[0].x_t)
    for seed in (1, 2):
        assert torch.equal(run.sample(start=start, seed=seed), states[-1].x_t)
        again = run.trajectory(start=start, seed=seed)
        assert all(torch.equal(a.x_t, b.x_t) for a, b in zip(again, states, strict=True))
    run = thaw.load(hot)
    start = run.draw(3, digit=7, seed=1)
    how: dict[str, Any] = {"start": start, "digit": 7, "num_steps": 5}
    assert torch.equal(
        run.sample(sampler="ddim", **how),
        run.sample(3, digit=7, sampler="ddim", num_steps=5, seed=1),
    )
    first, second = (run.sample(3, sampler="ancestral", seed=s, **how) for s in (1, 2))
    assert not torch.equal(first, second)
    assert torch.equal(first, run.sample(sampler="ancestral", seed=1, **how))
    with pytest.raises(ValueError, match="num_images=4, but start has 3"):
        run.sample(4, start=start)
    with pytest.raises(
        ValueError, match=r"x_T floats \[N, 1, 28, 28\].* got uint8 \[3, 1, 28, 28\]"
    ):
        run.sample(start=(run.pixel_range.to_uint8(start[0]), start[1]))


def test_a_restoration_by_labels_takes_them_as_a_tensor(hot: Path) -> None:
    run = thaw.load(hot)
    images, labels = run.data.test_images[:4], run.data.test_labels[:4]
    by_tensor = run.restore(images, 5, digit=labels)
    assert list(by_tensor) == ["original", "degraded", "direct", "sampled"]
    by_list = run.restore(images, 5, digit=labels.tolist())
    assert all(torch.equal(by_tensor[name], by_list[name]) for name in by_tensor)
    with pytest.raises(ValueError, match="restores images by their labels.*give digit="):
        run.restore(images, 5)


def test_a_folder_of_weights_is_a_run(cold: Path, tmp_path: Path, fork_command: Command) -> None:
    given = ["num_samples=4", "num_restored=0", f"out={tmp_path / 'weights'}"]
    finished = fork_command("export", f"run={cold}", *given, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    run = thaw.load(tmp_path / "weights")
    assert torch.equal(run.sample(3), thaw.load(cold).sample(3))
    assert "FID" in repr(run)
    assert "data:image/png" in run._repr_html_()
    with pytest.raises(ValueError, match="no history: .*metrics.csv is missing"):
        _ = run.history


def test_it_shows_its_samples_and_scores_with_n_and_floor(cold: Path, hot: Path) -> None:
    run = thaw.load(cold)
    final = run.record["final_scores"]
    page = run._repr_html_()
    assert f"<td>FID</td><td>{final['final/fid']:.2f}</td>" in page
    assert f"<td>{final['final/fid_floor']:.2f}</td>" in page
    assert "N 20, mnist-cnn-v1" in page
    assert f"FID {final['final/fid']:.2f} (floor {final['final/fid_floor']:.2f})" in repr(run)
    assert "N 20" in repr(run)
    assert thaw.grid(run.sample(4)).size == (2 * 87 + 3, 2 * 87 + 3)
    rows = thaw.grid({"short": run.sample(2), "a longer name": run.sample(3)})
    assert rows.height == 2 * 90
    assert rows.width > 3 * 87 + 3
    # Names in black on white, pictures on grey.
    assert rows.getpixel((0, 0)) == (255, 255, 255)
    assert rows.crop((0, 0, rows.width - 3 * 87 - 3, 90)).getextrema()[0][0] < 50
    assert rows.getpixel((rows.width - 3 * 87 - 3, 0)) == (128, 128, 128)
    assert "no scores" in repr(thaw.load(hot))
    assert "<table>" not in thaw.load(hot)._repr_html_()


def test_its_history_is_a_row_an_epoch(cold: Path) -> None:
    history = thaw.load(cold).history
    assert history["epoch"].tolist() == [1]
    assert history["step"].tolist() == [2]
    assert history["train/loss"].notna().all()


def test_another_prior_is_fitted(cold: Path) -> None:
    run = thaw.load(cold, prior="gaussian")
    assert type(run.prior).__name__ == "GaussianMixture"
    assert not torch.equal(run.sample(2), thaw.load(cold).sample(2))


WRONG: dict[str, tuple[Callable[[thaw.Run], object], str]] = {
    "no image": (lambda run: run.sample(0), "num_images must be a whole number of at least 1"),
    "no class": (lambda run: run.sample(1, digit=7), "digit=7 needs a class-conditional model"),
    "a sampler": (lambda run: run.sample(1, sampler="dim"), "Could not find 'sampler/dim'"),
    "its needs": (lambda run: run.sample(1, sampler="ddim"), "DDIM needs .*choose sampler=cold"),
    "an object": (lambda run: run.sample(1, sampler=DDIM()), "DDIM needs .*choose sampler=cold"),
    "twice": (lambda run: run.sample(1, sampler=Cold(), clip=False), "its own settings.*clip"),
    "a setting": (lambda run: run.sample(1, colour=3), "unknown key sampler.colour; allowed: clip"),
    "a grid": (lambda run: run.sample(1, grid="even"), "Could not find 'sampler/grid/even'"),
    "steps": (lambda run: run.sample(1, num_steps=29), "num_steps=29 is more than the 28 steps"),
    "a step": (lambda run: run.degrade(digits(), 29), "t must be a whole number from 0 to 28"),
    "step 0": (lambda run: run.restore(digits(), 0), "t must be a whole number from 1 to 28"),
    "floats": (lambda run: run.degrade(digits().float()), r"uint8 \[N, 1, 28, 28\], got float32"),
    "a size": (lambda run: run.restore(digits()[..., 1:]), r"got uint8 \[2, 1, 28, 27\]"),
    "an array": (lambda run: run.restore(digits().numpy()), "images must be a Tensor"),
    "one score": (lambda run: run.scores(1), "num_images must be a whole number of at least 2"),
}


def digits() -> Tensor:
    return torch.zeros(2, 1, 28, 28, dtype=torch.uint8)


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_one_line(name: str, cold: Path) -> None:
    call, words = WRONG[name]
    with pytest.raises(ValueError, match=words) as found:
        call(thaw.load(cold))
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("run", "settings", "words"),
    [
        ("nowhere", {}, "run=nowhere: no such directory"),
        ("zoo/nothing", {}, "the zoo has"),
        ("{cold}/samples", {}, "the run's directory is"),
        ("{cold}", {"checkpoint": "none.ckpt"}, "no checkpoint at none.ckpt"),
        ("{cold}", {"weights": "ema"}, "has no average of the weights"),
        ("{cold}", {"device": "abacus"}, "device must be auto, cpu or another"),
        ("{cold}", {"prior": "none"}, "Could not find 'prior/none'"),
    ],
)
def test_what_cannot_be_loaded_is_one_line(
    run: str, settings: dict[str, Any], words: str, cold: Path
) -> None:
    with pytest.raises(ValueError, match=words) as found:
        thaw.load(run.format(cold=cold), **settings)
    assert "\n" not in str(found.value)


def test_scores_need_an_encoder(hot: Path) -> None:
    with pytest.raises(ValueError, match="has no encoder to score generated images by"):
        thaw.load(hot).scores(4)


def test_missing_data_is_one_line(cold: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = thaw.load(cold)
    monkeypatch.setattr(type(run._loaded.experiment.data.source), "load", missing)
    with pytest.raises(ValueError, match="not there"):
        _ = run.data


def missing(_: object) -> None:
    raise FileNotFoundError("not there")
