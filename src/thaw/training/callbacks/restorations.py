"""How well validation images are restored, every few epochs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from thaw.data.module import ImageDataModule
from thaw.diffusion.restoration import Restoration, stage_title
from thaw.diffusion.samplers.base import Sampler
from thaw.metrics import table
from thaw.metrics.suite import ScoreSuite
from thaw.seeding import derive_seed
from thaw.training.callbacks.epoch_scores import EpochScores
from thaw.training.module import DiffusionModule
from thaw.training.scoring_restored import score_restored


@dataclass(eq=False, repr=False)
class Restorations(EpochScores):
    """Logs ``val/psnr_direct``, ``val/ssim_algorithm_2``, ... of images degraded all the way.

    For each stage after ``original`` PSNR, SSIM, RMSE and, with a suite, FID; with N as
    ``val/n_restored`` and FID's floor at that N as ``val/fid_floor_restored``. The random numbers
    depend on the seed alone: every epoch restores the same x_T of the first validation images. The
    two algorithms take as many steps as ``sampler``, usually few.
    """

    data: ImageDataModule
    num_images: int
    sampler: Sampler
    suite: ScoreSuite | None

    def score(self, module: DiffusionModule) -> dict[str, float]:
        """The scores of each stage of all images, which the processes share."""
        restoration = Restoration(module.evaluated, self.sampler)
        is_conditional = module.restorer.num_classes is not None
        found = score_restored(
            restoration,
            self.data.val_images[: self.num_images],
            self.batch_size,
            derive_seed(self.seed, "val_restored", 0),
            self.suite,
            module.portion,
            self.data.val_labels[: self.num_images] if is_conditional else None,
        )
        names = {row.name for row in table.RESTORED}
        scores = {
            f"{name}_{stage}": value
            for stage in restoration.stages[1:]
            for name, value in found[stage].items()
            if name in names
        }
        kept = {name: f"{name}_restored" for name in ("n", *(row.floor for row in table.RESTORED))}
        return scores | {kept[key]: found[key] for key in kept if key in found}

    def describe(self, module: DiffusionModule) -> dict[str, str]:
        restoration = Restoration(module.evaluated, self.sampler)
        how = (restoration.describe(), restoration.labels_in_words())
        return {"restored_by": ", ".join(filter(None, how))}

    def in_words(self, row: Mapping[str, Any]) -> list[str]:
        main = table.RESTORED[0]
        prefix = f"val/{main.name}_"
        values = ", ".join(
            f"{stage_title(key.removeprefix(prefix))} {value:{main.format}}"
            for key, value in row.items()
            if key.startswith(prefix)
        )
        return [
            f"restored {main.label} ({main.unit}): {values}",
            f"N {int(row['val/n_restored'])}, {row['val/restored_by']}",
            f"{self.seconds:.0f} s",
        ]
