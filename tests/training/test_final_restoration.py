"""Test images degraded all the way and restored: the scores, and what is kept."""

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

from thaw.diffusion.degradations.animorph import Animorph
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.predictions import Clean, Noise
from thaw.diffusion.restoration import Restoration
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Sampler
from thaw.diffusion.samplers.cold import Cold
from thaw.diffusion.samplers.gaussian import DDIM
from thaw.diffusion.schedules import cosine, linear
from thaw.metrics.encoders import load_encoder
from thaw.metrics.restored import ssim
from thaw.metrics.suite import ScoreSuite
from thaw.pixels import PixelRange
from thaw.reporting.finished import read_restoration, read_run
from thaw.training.scoring_restored import (
    NUM_SHOWN,
    check_restored,
    final_restoration,
    in_lines,
    score_restored,
)

RANGE = PixelRange(-0.5, 0.5)
NUM_IMAGES, BATCH_SIZE = 11, 4


def animorph(schedule: Tensor) -> Animorph:
    """Its bank of other images is black."""
    partners: Any = SimpleNamespace(load=tuple)
    return Animorph((1, 28, 28), RANGE, schedule, partners, num_partners=3)


KINDS: dict[str, tuple[Degradation, Sampler]] = {
    "cold": (LineAverage((1, 28, 28), "column", "random", group_size=4), Cold()),
    "hot": (Gaussian(linear(12)), DDIM(num_steps=5)),
    # alpha_bar_T is 2e-5 and 0.9.
    "animorph": (animorph(cosine(12)), Cold()),
    "animorph in part": (animorph(linear(12)), Cold()),
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


@pytest.fixture(scope="module")
def suite() -> ScoreSuite:
    return ScoreSuite(load_encoder("mnist"))


def test_scores_are_those_of_all_images_and_not_of_batches(
    images: Tensor, suite: ScoreSuite
) -> None:
    restoration = Restoration(restorer_of("cold"), Cold())
    scores = score_restored(restoration, images, BATCH_SIZE, 0, suite)
    (stages,) = restoration.batches(images, len(images), seed=0)
    for name in restoration.stages[1:]:
        rmse = (stages[name] - stages["original"]).square().mean().sqrt().item()
        assert scores[name]["rmse"] == pytest.approx(rmse, rel=1e-5)
        assert scores[name]["psnr"] == pytest.approx(20 * np.log10(1 / rmse), rel=1e-5)
        of_stage = ssim(stages[name] + 0.5, stages["original"] + 0.5).mean().item()
        assert scores[name]["ssim"] == pytest.approx(of_stage, rel=1e-5)
        suite.reset()
        suite.update(RANGE.to_uint8(stages[name]))
        whole = suite.compute()
        assert scores[name]["fid"] == pytest.approx(whole["fid"], rel=1e-5)
        assert scores["fid_floor"] == whole["fid_floor"]
    assert set(scores) == {
        "degraded", "direct", "algorithm_1", "algorithm_2", "fid_floor", "encoder", "n", "t",
        "sampler", "images",
    }  # fmt: skip
    assert (scores["n"], scores["sampler"], scores["t"]) == (NUM_IMAGES, "Cold, 7 steps", 7)
    assert scores["images"] == "test images, degraded to t = 7, and restored"


def test_of_a_network_that_knows_nothing_the_scores_are_known(images: Tensor) -> None:
    restoration = Restoration(restorer_of("cold", Grey()), Cold())
    scores = score_restored(restoration, images, BATCH_SIZE, seed=0)
    x_0 = RANGE.from_uint8(images)
    grey = x_0.square().mean().sqrt().item()
    # Algorithm 1 believes the network; by Algorithm 2 nothing is added to x_T's means.
    for stage in ("direct", "algorithm_1"):
        assert scores[stage]["rmse"] == pytest.approx(grey)
    assert scores["algorithm_2"] == pytest.approx(scores["degraded"])


def test_every_line_says_what_it_is_of(images: Tensor, suite: ScoreSuite) -> None:
    restoration = Restoration(restorer_of("cold"), Cold(), t=3, refine=True)
    scores = score_restored(restoration, images, BATCH_SIZE, 0, suite)
    first, *lines = in_lines(scores)
    assert first == "test images, degraded to t = 3, and restored: N 11, Cold, 3 steps"
    titles = ["degraded", "direct prediction", "Algorithm 1", "Algorithm 1, refined",
              "Algorithm 2", "Algorithm 2, refined"]  # fmt: skip
    assert [line.split("  ")[1] for line in lines] == titles
    for line, stage in zip(lines, restoration.stages[1:], strict=True):
        score = scores[stage]
        assert f"PSNR {score['psnr']:.2f} +- " in line
        assert f"SSIM {score['ssim']:.3f} +- " in line
        assert line.endswith(f"FID {score['fid']:.2f} (floor {scores['fid_floor']:.2f})")


@pytest.mark.parametrize(
    ("kind", "changes", "is_refused"),
    [
        ("cold", {}, True),
        ("cold", {"num_restored": 0}, True),
        ("cold", {"num_restored": 0, "num_restored_each_epoch": 0}, False),
        ("hot", {}, False),
        ("animorph", {}, False),
        ("animorph in part", {}, True),
    ],
)
def test_images_too_small_for_ssim_are_refused_before_training_unless_none_is_restored(
    kind: str, changes: dict[str, int], is_refused: bool
) -> None:
    metrics = OmegaConf.create({"num_restored": 5, "num_restored_each_epoch": 5} | changes)
    assert isinstance(metrics, DictConfig)
    small: Any = SimpleNamespace(
        restorer=restorer_of(kind), data=SimpleNamespace(image_shape=(3, 28, 10))
    )
    if not is_refused:
        check_restored(metrics, small)
        return
    with pytest.raises(ValueError, match="at least 11 pixels.*set metrics.num_restored=0 and metr"):
        check_restored(metrics, small)


def finish(
    run_dir: Path, kind: str, images: Tensor, epoch: int = 2, **metrics: Any
) -> dict[str, Any]:
    """run.json's restoration after ``final_restoration`` of a stand-in for an experiment."""
    cfg: DictConfig = OmegaConf.create(
        {"num_restored": NUM_IMAGES, "batch_size": BATCH_SIZE} | metrics
    )
    experiment: Any = SimpleNamespace(
        restorer=restorer_of(kind),
        sampler=KINDS[kind][1],
        data=SimpleNamespace(test_images=images),
        suite=None,
    )
    final_restoration(experiment, cfg, run_dir, 0, epoch)
    path = run_dir / "run.json"
    found: dict[str, Any] = json.loads(path.read_text())["restoration"] if path.is_file() else {}
    return found


def test_a_cold_run_keeps_scores_images_and_figure(tmp_path: Path, images: Tensor) -> None:
    kept = finish(tmp_path, "cold", images)
    restoration = Restoration(restorer_of("cold"), Cold())
    scores = score_restored(restoration, images, BATCH_SIZE, seed=0)
    assert kept == scores | {"epoch": 2}
    (stages,) = restoration.batches(images[:NUM_SHOWN], NUM_SHOWN, seed=0)
    stored = read_restoration(read_run(tmp_path))
    assert (
        tuple(stored)
        == restoration.stages
        == ("original", "degraded", "direct", "algorithm_1", "algorithm_2")
    )
    for name, tensor in stages.items():
        assert torch.equal(stored[name], RANGE.to_uint8(tensor))
    assert torch.equal(stored["original"], images[:NUM_SHOWN])
    with Image.open(tmp_path / "figures" / "restoration.png") as figure:
        assert figure.convert("L").getextrema() == (0, 255)


@pytest.mark.parametrize(
    ("kind", "sampler", "stages"),
    [
        ("hot", "DDIM, 5 steps", ["sampled"]),
        ("animorph", "Cold, 12 steps", ["algorithm_1", "algorithm_2"]),
    ],
)
def test_where_x_T_shows_nothing_there_is_the_figure_but_no_scores(  # noqa: N802
    kind: str, sampler: str, stages: list[str], tmp_path: Path, images: Tensor
) -> None:
    assert finish(tmp_path, kind, images) == {"epoch": 2, "sampler": sampler}
    assert (tmp_path / "figures" / "restoration.png").is_file()
    stored = read_restoration(read_run(tmp_path))
    assert list(stored) == ["original", "degraded", "direct", *stages]
    assert len(stored[stages[-1]]) == NUM_SHOWN


def test_again_at_the_same_epoch_nothing_is_done_and_at_the_next_all_is(
    tmp_path: Path, images: Tensor
) -> None:
    first = finish(tmp_path, "cold", images)
    (tmp_path / "figures" / "restoration.png").unlink()
    assert finish(tmp_path, "cold", 255 - images) == first
    assert not (tmp_path / "figures" / "restoration.png").exists()
    assert finish(tmp_path, "cold", 255 - images, epoch=3)["epoch"] == 3
    later = read_restoration(read_run(tmp_path))
    assert torch.equal(later["original"], 255 - images[:NUM_SHOWN])
