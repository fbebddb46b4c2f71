"""Scores of restored images: how close each is to its original, and whether they look real."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torchmetrics import MeanMetric, MeanSquaredError, Metric
from torchmetrics.functional.image import structural_similarity_index_measure
from torchmetrics.image import PeakSignalNoiseRatio

from thaw.metrics import table
from thaw.metrics.gathering import collect
from thaw.metrics.suite import ScoreSuite
from thaw.pixels import PixelRange

WINDOW = 11


class RestorationScores(nn.Module):
    """Every score of the table for restored images x_hat with originals x_0, over all processes.

    RMSE = sqrt(mean (x_hat - x_0)^2) over all pixels of all images, in the images' own units.
    PSNR = 20 log10((high - low) / RMSE) in dB, so infinite only where every image is exact.
    SSIM as :class:`SSIM`. Scores that are those of generated images too, such as FID, take the
    restored images in 0..255, whichever original each belongs to; they need a suite.
    """

    def __init__(self, pixel_range: tuple[float, float], suite: ScoreSuite | None = None) -> None:
        super().__init__()
        self.pixel_range = PixelRange(*pixel_range)
        self.suite = suite
        of_set = [score for score in table.RESTORED if score in table.GENERATED]
        of_pair = [score for score in table.RESTORED if score not in of_set]
        self.of_pair = collect(of_pair, pixel_range)
        self.of_set = collect(of_set, suite.reference) if suite is not None else None

    def update(self, x_hat: Tensor, x_0: Tensor) -> None:
        """Add restored images and originals, both float [N, C, H, W]."""
        x_hat, x_0 = x_hat.float().contiguous(), x_0.float().contiguous()
        self.of_pair.update(preds=x_hat, target=x_0)
        if self.suite is not None and self.of_set is not None:
            features, logits = self.suite.encoder.encode(self.pixel_range.to_uint8(x_hat))
            self.of_set.update(features=features, logits=logits)

    def compute(self) -> dict[str, float]:
        """The scores by name; those of generated images too only with a suite."""
        found = self.of_pair.compute() | (self.of_set.compute() if self.of_set else {})
        return {row.name: float(found[row.name]) for row in table.RESTORED if row.name in found}


def psnr(pixel_range: tuple[float, float]) -> Metric:
    """Peak signal-to-noise ratio in dB."""
    low, high = pixel_range
    return PeakSignalNoiseRatio(data_range=high - low)


def rmse(pixel_range: tuple[float, float]) -> Metric:
    """Root mean squared error in the images' own units."""
    return MeanSquaredError(squared=False)


class SSIM(MeanMetric):
    """Wang et al. 2004, eq. 13, with their Gaussian window of standard deviation 1.5 on 11 x 11.

    The mean over images of the mean over all places where the window lies inside; -1..1.
    """

    def __init__(self, pixel_range: tuple[float, float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.low, self.high = pixel_range

    def update(self, preds: Tensor, target: Tensor) -> None:  # type: ignore[override]
        """Add restored images and originals, both [N, C, H, W] in the pixel range."""
        # SSIM compares brightness to darkness, so darkness must be 0.
        width = self.high - self.low
        super().update(ssim((preds - self.low) / width, (target - self.low) / width))


def check_size(image_shape: Sequence[int]) -> None:
    """Refuse images, ``[..., H, W]``, with a side below SSIM's window of 11 pixels."""
    if min(image_shape[-2:]) < WINDOW:
        raise ValueError(f"SSIM needs images of at least {WINDOW} pixels a side")


def ssim(x_hat: Tensor, x_0: Tensor) -> Tensor:
    """SSIM [N] of images [N, C, H, W] in 0..1, as scikit-image and the authors' code have it.

    torchmetrics alone averages over the padded border too: on digits, whose border is empty, quite
    another number.
    """
    if not len(x_0):  # torchmetrics knows no batch without images
        return x_0.new_empty(0)
    _, places = structural_similarity_index_measure(
        x_hat, x_0, data_range=1.0, reduction="none", return_full_image=True
    )
    margin = WINDOW // 2
    inside: Tensor = places[..., margin:-margin, margin:-margin]
    return inside.mean(dim=(1, 2, 3))
