"""FID, IS and their kin on freshly generated images, every few epochs."""

import logging

import pytorch_lightning as pl

from thaw.diffusion.samplers.base import Sampler
from thaw.metrics.suite import ScoreSuite
from thaw.ranks import Portion
from thaw.reporting.numbers import plus_minus
from thaw.seeding import derive_seed
from thaw.training.callbacks.epoch_scores import EpochScores
from thaw.training.module import DiffusionModule
from thaw.training.scoring_generated import score_generated

log = logging.getLogger(__name__)


class Scores(EpochScores):
    """Logs ``val/fid``, ``val/is_mean``, ... of images made from the prior.

    The draws are keyed on the seed alone: every epoch starts from the same x_T, so that a curve
    shows the model and not the draw.

    Args:
        suite: the scores.
        sampler: usually one of few steps.
        num_samples: images an evaluation.
        every_n_epochs: epochs between two; the last is always scored.
        batch_size: images sampled at once.
        seed: of the draws.
    """

    def __init__(
        self,
        suite: ScoreSuite,
        sampler: Sampler,
        num_samples: int,
        every_n_epochs: int,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__(every_n_epochs)
        self.suite = suite
        self.sampler = sampler
        self.num_samples = num_samples
        self.batch_size = batch_size
        self.seed = seed

    def score(self, module: DiffusionModule, trainer: pl.Trainer) -> dict[str, float]:
        """The scores of ``num_samples`` images, those of one process, made by all together."""
        scores = score_generated(
            f"scores of {self.num_samples:,} images",
            module.evaluated,
            self.sampler,
            module.prior,
            self.suite,
            self.num_samples,
            self.batch_size,
            derive_seed(self.seed, "scores", 0),
            Portion(trainer.global_rank, trainer.world_size),
        )
        if scores["num_classes"] == 1:
            log.warning("all generated images are of one class: the generator has collapsed")
        return scores

    def described(self, module: DiffusionModule) -> dict[str, str]:
        return {
            "encoder": self.suite.name,
            "sampler": self.sampler.describe(module.restorer.degradation),
            "prior": module.prior.describe(module.restorer.degradation),
        }

    def in_words(self) -> list[str]:
        row = self.latest
        return [
            f"FID {row['val/fid']:.2f} (floor {row['val/fid_floor']:.2f})",
            f"IS {plus_minus(row['val/is_mean'], row['val/is_std'], '.2f', '+-')}",
            f"N {int(row['val/n'])}, {row['val/encoder']}, {row['val/sampler']}, "
            f"prior {row['val/prior']}",
            f"scores {self.seconds:.0f} s",
        ]
