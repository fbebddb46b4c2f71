"""Grids of samples from the same starting points, to watch a model learn."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytorch_lightning as pl

from thaw import runs
from thaw.checks import Count, checked
from thaw.diffusion.generation import generate
from thaw.diffusion.samplers.base import Sampler
from thaw.reporting.images import grid, save_png
from thaw.seeding import derive_seed
from thaw.training.callbacks.ending import AfterEpochs
from thaw.training.loggers.opening import adapters
from thaw.training.module import DiffusionModule
from thaw.training.scoring_generated import sampling

When = Count | Literal["last", "every"]


class SampleGrid(AfterEpochs):
    """Writes ``samples/epoch_0001.png``, ... from fixed noise with the run's full sampler.

    ``at_epochs`` are counted from 1; ``"last"`` and ``"every"`` may be among them.
    """

    @checked
    def __init__(
        self,
        run_dir: Path,
        sampler: Sampler,
        seed: int,
        at_epochs: Sequence[When] | When = (1, 5, 10, 20, 40, 60, "last"),
        num_samples: Count = 16,
    ) -> None:
        self.run_dir = run_dir
        self.sampler = sampler
        self.seed = derive_seed(seed, "samples")
        self.at_epochs = [at_epochs] if isinstance(at_epochs, int | str) else list(at_epochs)
        self.num_samples = num_samples

    def is_due(self, epoch: int, is_last: bool) -> bool:
        chosen = self.at_epochs
        return "every" in chosen or epoch in chosen or (is_last and "last" in chosen)

    def work(self, trainer: pl.Trainer, module: DiffusionModule) -> None:
        if not trainer.is_global_zero:
            return
        restorer = module.evaluated
        epoch = trainer.current_epoch + 1
        size = (self.num_samples, self.num_samples)
        with sampling(f"samples of epoch {epoch}", restorer, self.sampler, *size):
            (x_0,) = generate(restorer, self.sampler, module.prior, *size, self.seed)
        image = grid(restorer.pixel_range.to_uint8(x_0))
        save_png(image, self.run_dir / runs.SAMPLES / f"epoch_{epoch:04d}.png")
        for adapter in adapters(trainer):
            adapter.log_images("samples", image, epoch)
