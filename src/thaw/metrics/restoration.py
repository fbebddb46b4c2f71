"""Restoration scores: how close restored images are to their originals."""

from collections.abc import Sequence

from torch import Tensor, nn
from torchmetrics import MeanMetric, MeanSquaredError, Metric
from torchmetrics.functional.image import structural_similarity_index_measure
from torchmetrics.image import PeakSignalNoiseRatio

from thaw.metrics.fid import FrechetDistance
from thaw.metrics.suite import ScoreSuite
from thaw.pixels import PixelRange

WINDOW = 11


class RestorationScores(nn.Module):
    """PSNR, SSIM and RMSE of restored images x_hat against the originals x_0.

    RMSE = sqrt(mean (x_hat - x_0)^2) over all pixels of all images, in the images' own units.
    PSNR = 20 log10((high - low) / RMSE) in dB, so infinite only where every image is exact.
    SSIM, Wang et al. 2004, eq. 13, with their Gaussian window of standard deviation 1.5 on 11 x 11
    pixels, is the mean over images of the mean over all places where the window lies inside.
    With a suite also FID, from the suite's reference, of the restored images as they are written,
    in 0..255: it sees whether they look like the data, whichever image each belongs to.
    All add up over processes.
    """

    def __init__(self, pixel_range: tuple[float, float], suite: ScoreSuite | None = None) -> None:
        """Take the images' range (low, high); values beyond it are not clipped but for FID.

        Raises:
            ValueError: the suite has no reference yet.
        """
        super().__init__()
        if suite is not None and suite.reference is None:
            raise ValueError(f"encoder {suite.name} has no reference yet: call fit_reference first")
        self.low, self.high = pixel_range
        self.psnr = PeakSignalNoiseRatio(data_range=self.high - self.low)
        self.ssim = MeanMetric()
        self.rmse = MeanSquaredError(squared=False)
        self.suite = suite
        self.fid: FrechetDistance | None = None
        if suite is not None and suite.reference is not None:
            self.fid = FrechetDistance(suite.reference.mean, suite.reference.cov)

    def reset(self) -> None:
        """Forget all images."""
        for metric in self._metrics().values():
            metric.reset()

    def update(self, x_hat: Tensor, x_0: Tensor) -> None:
        """Add restored images and originals, both float [N, C, H, W].

        Raises:
            ValueError: their shapes differ, a side is below SSIM's window of 11 pixels, or they do
                not fit the encoder.
        """
        if x_hat.shape != x_0.shape or x_0.dim() != 4:
            raise ValueError(
                f"restored and original images must both be [N, C, H, W], not "
                f"{list(x_hat.shape)} and {list(x_0.shape)}"
            )
        check_size(x_0.shape)
        x_hat, x_0 = x_hat.float().contiguous(), x_0.float().contiguous()
        self.psnr.update(x_hat, x_0)
        self.rmse.update(x_hat, x_0)
        # SSIM compares brightness to darkness, so it needs darkness to be 0.
        width = self.high - self.low
        self.ssim.update(ssim((x_hat - self.low) / width, (x_0 - self.low) / width))
        if self.suite is not None and self.fid is not None:
            features, _ = self.suite.encode(PixelRange(self.low, self.high).to_uint8(x_hat))
            self.fid.update(features)

    def compute(self) -> dict[str, float]:
        """``psnr`` in dB, ``ssim`` in -1..1, ``rmse`` in the images' units; perhaps ``fid``."""
        return {name: float(metric.compute()) for name, metric in self._metrics().items()}

    def _metrics(self) -> dict[str, Metric]:
        metrics: dict[str, Metric] = {"psnr": self.psnr, "ssim": self.ssim, "rmse": self.rmse}
        return metrics if self.fid is None else metrics | {"fid": self.fid}


def check_size(image_shape: Sequence[int]) -> None:
    """Refuse images, ``[..., H, W]``, with a side below SSIM's window of 11 pixels.

    Raises:
        ValueError: they are too small.
    """
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
