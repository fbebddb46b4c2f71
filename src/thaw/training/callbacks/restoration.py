"""How well validation images are restored, every few epochs."""

import pytorch_lightning as pl

from thaw.data.module import ImageDataModule
from thaw.diffusion.restoration import Restoration
from thaw.diffusion.samplers.base import Sampler
from thaw.metrics.suite import ScoreSuite
from thaw.reporting.panels import stage_title
from thaw.seeding import derive_seed
from thaw.training.callbacks.epoch_scores import EpochScores
from thaw.training.module import DiffusionModule
from thaw.training.restoration import restoring, score_stages


class Restorations(EpochScores):
    """Logs ``val/psnr_direct``, ``val/ssim_algorithm_2``, ... of images degraded all the way.

    For each stage after ``original`` PSNR, SSIM, RMSE and, with a suite, FID; with N as
    ``val/n_restored`` and FID's floor at that N as ``val/fid_floor_restored``. The draws are keyed
    on the seed alone: every epoch restores the same x_T.

    Args:
        data: whose first validation images are restored, once it is read.
        num_images: how many of them.
        sampler: usually one of few steps, which the two algorithms take too.
        suite: of the FID, or None.
        every_n_epochs: epochs between two; the last is always scored.
        batch_size: images restored at once.
        seed: of the draws.
    """

    def __init__(
        self,
        data: ImageDataModule,
        num_images: int,
        sampler: Sampler,
        suite: ScoreSuite | None,
        every_n_epochs: int,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__(every_n_epochs)
        self.data = data
        self.num_images = num_images
        self.sampler = sampler
        self.suite = suite
        self.batch_size = batch_size
        self.seed = seed

    def score(self, module: DiffusionModule, trainer: pl.Trainer) -> dict[str, float]:
        """The scores of each stage of all images, which the ranks share."""
        restoration = Restoration(module.evaluated, self.sampler)
        seed = derive_seed(self.seed, "val_restored", 0)
        place = (trainer.global_rank, trainer.world_size)
        images = self.data.val_images[: self.num_images]
        is_conditional = module.restorer.num_classes is not None
        labels = self.data.val_labels[: self.num_images] if is_conditional else None
        batches = restoration.batches(images, self.batch_size, seed, place=place, labels=labels)
        with restoring(restoration, len(images), self.batch_size, place):
            found = score_stages(batches, restoration, len(images), self.suite)
        scores = {
            f"{name}_{stage}": value
            for stage in restoration.stages[1:]
            for name, value in found[stage].items()
        }
        kept = {"n": "n_restored", "fid_floor": "fid_floor_restored"}
        return scores | {kept[key]: found[key] for key in kept if key in found}

    def described(self, module: DiffusionModule) -> dict[str, str]:
        restoration = Restoration(module.evaluated, self.sampler)
        how = (restoration.describe(), restoration.told())
        return {"restored_by": ", ".join(filter(None, how))}

    def in_words(self) -> list[str]:
        prefix = "val/psnr_"
        found = {key.removeprefix(prefix): self.latest[key] for key in self.latest
                 if key.startswith(prefix)}  # fmt: skip
        values = ", ".join(f"{stage_title(stage)} {value:.2f}" for stage, value in found.items())
        return [
            f"restored PSNR (dB): {values}",
            f"N {self.latest['val/n_restored']}, {self.latest['val/restored_by']}",
            f"{self.seconds:.0f} s",
        ]
