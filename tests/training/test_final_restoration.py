"""Test images degraded all the way and restored: each stage, the scores, and what is kept."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from torch import Tensor, nn

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.predictions import Clean, Noise
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Sampler
from thaw.diffusion.samplers.cold import Cold, Naive
from thaw.diffusion.samplers.gaussian import DDIM, Ancestral
from thaw.diffusion.schedules import linear
from thaw.pixels import PixelRange
from thaw.reporting.finished import read_restoration, read_run
from thaw.seeding import generator
from thaw.training.restoration import (
    NUM_SHOWN,
    STAGES,
    final_restoration,
    restoration_scores,
    restorations,
)

RANGE = PixelRange(-0.5, 0.5)
NUM_IMAGES, BATCH_SIZE = 11, 4
KINDS: dict[str, tuple[Degradation, Sampler]] = {
    "cold": (LineAverage((1, 28, 28), "column", "random", group_size=4), Cold()),
    "naive": (LineAverage((1, 28, 28), "row", "outside_in", group_size=7), Naive(num_steps=2)),
    "hot": (Gaussian(linear(12)), DDIM(num_steps=5)),
    "ancestral": (Gaussian(linear(12)), Ancestral()),
}


class Blend(nn.Module):
    """A network whose answer depends on every pixel of x_t and on t."""

    def __init__(self) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(()))

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return 0.3 * x_t.flip(3) + 0.01 * t.view(-1, 1, 1, 1) + self.anchor


class Grey(Blend):
    """A network that always answers 0, the middle of the range."""

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return torch.zeros_like(x_t) + self.anchor


def restorer_of(kind: str, network: nn.Module | None = None) -> Restorer:
    degradation, _ = KINDS[kind]
    prediction = Noise() if isinstance(degradation, Gaussian) else Clean()
    return Restorer(network or Blend(), degradation, prediction, RANGE)


@pytest.fixture
def images() -> Tensor:
    """More than one batch of them, the last one short."""
    return torch.randint(0, 256, (NUM_IMAGES, 1, 28, 28), dtype=torch.uint8)


@pytest.mark.parametrize("kind", KINDS)
def test_the_stages_are_what_degradation_restorer_and_sampler_make(
    kind: str, images: Tensor
) -> None:
    restorer, (degradation, sampler) = restorer_of(kind), KINDS[kind]
    found = list(restorations(restorer, sampler, images, BATCH_SIZE, seed=3))
    assert [len(stages["original"]) for stages in found] == [4, 4, 3]
    for number, (stages, batch) in enumerate(zip(found, images.split(BATCH_SIZE), strict=True)):
        assert tuple(stages) == STAGES
        draws = generator(3, "restore", number)
        x_0 = batch.float() / 255 - 0.5
        noise = degradation.draw_noise(x_0, draws)
        last = torch.full((len(batch),), degradation.num_steps)
        with torch.inference_mode():
            x_T = degradation(x_0, last, noise)
            expected = (x_0, x_T, restorer(x_T, last), sampler.sample(restorer, x_T, noise, draws))
        for name, tensor in zip(STAGES, expected, strict=True):
            torch.testing.assert_close(stages[name], tensor, rtol=0, atol=1e-6)


def test_averaged_columns_keep_their_means_and_nothing_else(images: Tensor) -> None:
    (stages,) = restorations(restorer_of("cold"), Cold(), images, len(images), seed=0)
    groups = stages["original"].unflatten(3, (7, 4)).mean((2, 4))
    expected = groups[:, :, None, :, None].expand(-1, -1, 28, -1, 4).flatten(3)
    torch.testing.assert_close(stages["degraded"], expected)
    # Algorithm 2 keeps x_T's means, whatever the network says.
    restored = stages["sampled"].unflatten(3, (7, 4)).mean((2, 4))
    torch.testing.assert_close(restored, groups)
    assert not torch.equal(stages["sampled"], stages["direct"])


def test_a_gaussian_run_restores_from_noise_that_the_seed_decides(images: Tensor) -> None:
    def degraded(seed: int) -> Tensor:
        found = restorations(restorer_of("hot"), KINDS["hot"][1], images, BATCH_SIZE, seed)
        return torch.cat([stages["degraded"] for stages in found])

    assert torch.equal(degraded(1), degraded(1))
    assert not torch.equal(degraded(1), degraded(2))
    first, second = degraded(1)[:4], degraded(1)[4:8]
    assert not torch.allclose(first - second, torch.zeros(()), atol=1)  # no batch repeats another


def test_scores_are_those_of_all_images_and_not_of_batches(images: Tensor) -> None:
    scores = restoration_scores(restorer_of("cold"), Cold(), images, BATCH_SIZE, seed=0)
    (stages,) = restorations(restorer_of("cold"), Cold(), images, len(images), seed=0)
    for name in STAGES[1:]:
        rmse = (stages[name] - stages["original"]).square().mean().sqrt().item()
        assert scores[name]["rmse"] == pytest.approx(rmse, rel=1e-5)
        assert scores[name]["psnr"] == pytest.approx(20 * np.log10(1 / rmse), rel=1e-5)
    whole = restoration_scores(restorer_of("cold"), Cold(), images, len(images), seed=0)
    for name in STAGES[1:]:
        assert whole[name] == pytest.approx(scores[name], rel=1e-5)
    assert (scores["n"], scores["sampler"]) == (NUM_IMAGES, "Cold, 7 steps")


def test_of_a_network_that_knows_nothing_the_scores_are_known(images: Tensor) -> None:
    scores = restoration_scores(restorer_of("cold", Grey()), Cold(), images, BATCH_SIZE, seed=0)
    x_0 = RANGE.from_uint8(images)
    assert scores["direct"]["rmse"] == pytest.approx(x_0.square().mean().sqrt().item())
    # Restored by grey, every line stays at its mean: nothing is added to x_T.
    assert scores["sampled"] == pytest.approx(scores["degraded"])


def finish(
    run_dir: Path, kind: str, images: Tensor, epoch: int = 2, **metrics: Any
) -> dict[str, Any]:
    """run.json's restoration after ``final_restoration`` of a stand-in for an experiment."""
    cfg: DictConfig = OmegaConf.create(
        {"num_restored": NUM_IMAGES, "batch_size": BATCH_SIZE} | metrics
    )
    experiment: Any = SimpleNamespace(
        restorer=restorer_of(kind), sampler=KINDS[kind][1], data=SimpleNamespace(test_images=images)
    )
    final_restoration(experiment, cfg, run_dir, 0, epoch)
    path = run_dir / "run.json"
    found: dict[str, Any] = json.loads(path.read_text())["restoration"] if path.is_file() else {}
    return found


def test_a_cold_run_keeps_scores_images_and_figure(tmp_path: Path, images: Tensor) -> None:
    kept = finish(tmp_path, "cold", images)
    scores = restoration_scores(restorer_of("cold"), Cold(), images, BATCH_SIZE, seed=0)
    assert kept == scores | {"epoch": 2}
    (stages,) = restorations(restorer_of("cold"), Cold(), images[:NUM_SHOWN], NUM_SHOWN, seed=0)
    stored = read_restoration(read_run(tmp_path))
    assert tuple(stored) == STAGES
    for name, tensor in stages.items():
        assert torch.equal(stored[name], RANGE.to_uint8(tensor))
    assert torch.equal(stored["original"], images[:NUM_SHOWN])
    with Image.open(tmp_path / "figures" / "restoration.png") as figure:
        assert figure.convert("L").getextrema() == (0, 255)


def test_only_the_first_test_images_asked_for_are_restored(tmp_path: Path, images: Tensor) -> None:
    kept = finish(tmp_path, "cold", images, num_restored=5)
    expected = restoration_scores(restorer_of("cold"), Cold(), images[:5], BATCH_SIZE, seed=0)
    assert kept == expected | {"epoch": 2}
    assert len(read_restoration(read_run(tmp_path))["original"]) == 5


def test_a_gaussian_run_has_the_figure_but_no_scores(tmp_path: Path, images: Tensor) -> None:
    assert finish(tmp_path, "hot", images) == {"epoch": 2, "sampler": "DDIM, 5 steps"}
    assert (tmp_path / "figures" / "restoration.png").is_file()
    assert len(read_restoration(read_run(tmp_path))["sampled"]) == NUM_SHOWN


def test_again_at_the_same_epoch_nothing_is_done_and_at_the_next_all_is(
    tmp_path: Path, images: Tensor
) -> None:
    for kind in ("cold", "hot"):
        run_dir = tmp_path / kind
        finish(run_dir, kind, images)
        before = read_restoration(read_run(run_dir))
        (run_dir / "figures" / "restoration.png").unlink()
        assert finish(run_dir, kind, 255 - images)["epoch"] == 2
        assert not (run_dir / "figures" / "restoration.png").exists()
        again = read_restoration(read_run(run_dir))
        assert all(torch.equal(again[name], before[name]) for name in STAGES)
        assert finish(run_dir, kind, 255 - images, epoch=3)["epoch"] == 3
        later = read_restoration(read_run(run_dir))
        assert torch.equal(later["original"], 255 - images[:NUM_SHOWN])
        assert (run_dir / "figures" / "restoration.png").is_file()


def test_of_no_test_images_nothing_is_made(tmp_path: Path, images: Tensor) -> None:
    assert finish(tmp_path, "cold", images, num_restored=0) == {}
    assert not list(tmp_path.iterdir())


def test_what_run_json_said_before_stays(tmp_path: Path, images: Tensor) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"status": "running", "seed": 7}))
    finish(tmp_path, "cold", images)
    found = json.loads((tmp_path / "run.json").read_text())
    assert (found["status"], found["seed"]) == ("running", 7)
