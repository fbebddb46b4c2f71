"""FID, IS and their kin on freshly generated images, every few epochs."""

import time
from typing import Any

import pytorch_lightning as pl
import torch

from thaw.diffusion.generation import describe, generate
from thaw.diffusion.samplers.base import Sampler
from thaw.metrics.suite import ScoreSuite
from thaw.seeding import derive_seed
from thaw.training.module import DiffusionModule


class Scores(pl.Callback):
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
        self.suite = suite
        self.sampler = sampler
        self.num_samples = num_samples
        self.every_n_epochs = every_n_epochs
        self.batch_size = batch_size
        self.seed = seed
        self.latest: dict[str, Any] = {}
        self.names: set[str] = set()
        self.seconds = 0.0

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, DiffusionModule)
        epoch = trainer.current_epoch + 1
        self.latest = {}
        if epoch % self.every_n_epochs and epoch != trainer.max_epochs and not trainer.should_stop:
            return
        start = time.perf_counter()
        scores = self.score(pl_module, trainer)
        self.seconds = time.perf_counter() - start
        self.latest = {f"val/{key}": value for key, value in scores.items()}
        self.names |= self.latest.keys()
        pl_module.log_dict(self.latest)
        self.latest |= {
            "val/encoder": self.suite.name,
            "val/sampler": describe(pl_module.restorer, self.sampler),
        }

    def score(self, module: DiffusionModule, trainer: pl.Trainer) -> dict[str, float]:
        """The scores of ``num_samples`` images, shared among the ranks."""
        self.suite.to(module.device)
        self.suite.reset()
        share = len(range(trainer.global_rank, self.num_samples, trainer.world_size))
        restorer = module.evaluated
        with torch.inference_mode():
            for x_0 in generate(
                restorer,
                self.sampler,
                module.prior,
                share,
                self.batch_size,
                derive_seed(self.seed, "scores", trainer.global_rank),
            ):
                self.suite.update(restorer.pixel_range.to_uint8(x_0))
        return self.suite.compute()
