"""Restoration scores in the course of training: of which images, when, and what they disturb."""

from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor
from training_helpers import RANGE, fit, make_module, make_restorer

from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.predictions import Clean
from thaw.diffusion.restoration import Restoration
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.cold import Cold
from thaw.metrics.encoders import load_encoder
from thaw.metrics.suite import ScoreSuite
from thaw.seeding import derive_seed
from thaw.training.callbacks.restorations import Restorations
from thaw.training.module import DiffusionModule
from thaw.training.scoring_restored import score_restored

NUM_IMAGES, BATCH_SIZE, SEED = 7, 3, 5
SHAPE = (1, 28, 28)
STAGES = ("degraded", "direct", "algorithm_1", "algorithm_2")


def module_of_digits() -> DiffusionModule:
    network = make_restorer().network
    degradation = LineAverage(SHAPE, "column", "random", 4)
    return make_module(Restorer(network, degradation, Clean(), RANGE))


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (NUM_IMAGES, 1, 28, 28), dtype=torch.uint8)


@pytest.fixture(scope="module")
def suite() -> ScoreSuite:
    return ScoreSuite(load_encoder("mnist"))


def callback(images: Tensor, suite: ScoreSuite | None) -> Restorations:
    data: Any = SimpleNamespace(val_images=images)
    return Restorations(
        data,
        len(images),
        Cold(num_steps=3),
        suite,
        every_n_epochs=1,
        batch_size=BATCH_SIZE,
        seed=SEED,
    )


class Kept(pl.Callback):
    """What was logged and described after each epoch, and the scores of that very model."""

    def __init__(self, scores: Restorations) -> None:
        self.scores = scores
        self.latest: list[dict[str, Any]] = []
        self.expected: list[dict[str, Any]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        logged = {key: float(value) for key, value in trainer.callback_metrics.items()
                  if key.startswith("val/") and key != "val/loss"}  # fmt: skip
        self.latest.append(logged | self.scores.described if self.scores.described else {})
        restoration = Restoration(pl_module.evaluated, self.scores.sampler)
        seed = derive_seed(SEED, "val_restored", 0)
        images = self.scores.data.val_images
        found = score_restored(restoration, images, BATCH_SIZE, seed, self.scores.suite)
        self.expected.append(found)


def test_the_columns_are_the_scores_of_this_epochs_model(images: Tensor, suite: ScoreSuite) -> None:
    scores = callback(images, suite)
    kept = Kept(scores)
    fit(module_of_digits(), SHAPE, callbacks=[scores, kept], max_epochs=2)
    for latest, expected in zip(kept.latest, kept.expected, strict=True):
        names = {f"val/{score}_{stage}" for score in ("psnr", "ssim", "rmse", "fid")
                 for stage in STAGES}  # fmt: skip
        shared = {"val/n_restored", "val/fid_floor_restored", "val/restored_by"}
        assert set(latest) == names | shared
        for stage in STAGES:
            for score in ("psnr", "ssim", "rmse", "fid"):
                value = expected[stage][score]
                assert latest[f"val/{score}_{stage}"] == pytest.approx(value, rel=1e-6)
        assert latest["val/n_restored"] == NUM_IMAGES
        assert latest["val/fid_floor_restored"] == pytest.approx(expected["fid_floor"])
        assert latest["val/restored_by"] == "Cold, 3 steps"
    first, second = kept.latest
    assert first["val/psnr_degraded"] == second["val/psnr_degraded"]
    assert first["val/psnr_direct"] != second["val/psnr_direct"]


def test_they_disturb_nothing(images: Tensor, suite: ScoreSuite) -> None:
    plain, scored = module_of_digits(), module_of_digits()
    torch.manual_seed(0)
    fit(plain, SHAPE, max_epochs=2)
    draws = torch.get_rng_state()
    torch.manual_seed(0)
    fit(scored, SHAPE, callbacks=[callback(images, suite)], max_epochs=2)
    assert torch.equal(torch.get_rng_state(), draws)
    for name, tensor in plain.state_dict().items():
        assert torch.equal(scored.state_dict()[name], tensor), name


def test_the_line_of_an_epoch_says_what_was_restored_how(images: Tensor) -> None:
    scores = callback(images, None)
    kept = Kept(scores)
    fit(module_of_digits(), SHAPE, callbacks=[scores, kept], max_epochs=1)
    (row,) = kept.latest
    psnr = {stage: row[f"val/psnr_{stage}"] for stage in STAGES}
    assert scores.in_words(row)[:2] == [
        f"restored PSNR (dB): degraded {psnr['degraded']:.2f}, "
        f"direct prediction {psnr['direct']:.2f}, Algorithm 1 {psnr['algorithm_1']:.2f}, "
        f"Algorithm 2 {psnr['algorithm_2']:.2f}",
        "N 7, Cold, 3 steps",
    ]
