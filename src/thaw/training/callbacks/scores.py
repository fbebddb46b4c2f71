"""Scores of freshly generated images, every few epochs."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from thaw.diffusion.samplers.base import Sampler
from thaw.metrics import table
from thaw.metrics.suite import ScoreSuite
from thaw.reporting.numbers import scores_in_words
from thaw.seeding import derive_seed
from thaw.training.callbacks.epoch_scores import EpochScores
from thaw.training.module import DiffusionModule
from thaw.training.scoring_generated import score_generated

log = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)
class Scores(EpochScores):
    """Logs ``val/fid``, ``val/is_mean``, ... of images generated from the prior.

    The random numbers depend on the seed alone: every epoch starts from the same x_T, so that a
    curve shows the model and not the draw.
    """

    suite: ScoreSuite
    sampler: Sampler
    num_samples: int

    def score(self, module: DiffusionModule) -> dict[str, float]:
        """The scores of ``num_samples`` images, which all processes generate together."""
        scores = score_generated(
            f"scores of {self.num_samples:,} images",
            module.evaluated,
            self.sampler,
            module.prior,
            self.suite,
            self.num_samples,
            self.batch_size,
            derive_seed(self.seed, "scores", 0),
            module.portion,
        )
        if scores["num_classes"] == 1:
            log.warning("all generated images are of one class: the generator has collapsed")
        # An error in each epoch would be as many columns again.
        errors = {row.error for row in table.GENERATED}
        return {name: value for name, value in scores.items() if name not in errors}

    def describe(self, module: DiffusionModule) -> dict[str, str]:
        return {
            "encoder": self.suite.encoder.name,
            "sampler": self.sampler.describe(module.restorer.degradation),
            "prior": module.prior.describe(module.restorer.degradation),
        }

    def in_words(self, row: Mapping[str, Any]) -> list[str]:
        main = [score for score in table.GENERATED if score.is_main]
        return [
            scores_in_words(main, row, "val/"),
            f"N {int(row['val/n'])}, {row['val/encoder']}, {row['val/sampler']}, "
            f"prior {row['val/prior']}",
            f"scores {self.seconds:.0f} s",
        ]
