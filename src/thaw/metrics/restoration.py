"""Restoration scores: how close restored images are to their originals."""

from torch import Tensor, nn
from torchmetrics import MeanSquaredError
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure

WINDOW = 11


class RestorationScores(nn.Module):
    """PSNR, SSIM and RMSE of restored images x_hat against the originals x_0.

    RMSE = sqrt(mean (x_hat - x_0)^2) over all pixels of all images, in the images' own units.
    PSNR = 20 log10((high - low) / RMSE) in dB, so infinite only where every image is exact.
    SSIM, Wang et al. 2004, eq. 13, is the mean over images, with their Gaussian window of standard
    deviation 1.5 on 11 x 11 pixels. All are torchmetrics' own, so they add up over processes.
    """

    def __init__(self, pixel_range: tuple[float, float]) -> None:
        """Take the images' range (low, high); values beyond it are not clipped."""
        super().__init__()
        low, high = pixel_range
        self.psnr = PeakSignalNoiseRatio(data_range=high - low)
        self.ssim = StructuralSimilarityIndexMeasure(data_range=high - low)
        self.rmse = MeanSquaredError(squared=False)

    def reset(self) -> None:
        """Forget all images."""
        for metric in (self.psnr, self.ssim, self.rmse):
            metric.reset()

    def update(self, x_hat: Tensor, x_0: Tensor) -> None:
        """Add restored images and originals, both float [N, C, H, W].

        Raises:
            ValueError: their shapes differ, or a side is below SSIM's window of 11 pixels.
        """
        if x_hat.shape != x_0.shape or x_0.dim() != 4:
            raise ValueError(
                f"restored and original images must both be [N, C, H, W], not "
                f"{list(x_hat.shape)} and {list(x_0.shape)}"
            )
        if min(x_0.shape[2:]) < WINDOW:
            raise ValueError(f"SSIM needs images of at least {WINDOW} pixels a side")
        x_hat, x_0 = x_hat.float().contiguous(), x_0.float().contiguous()
        for metric in (self.psnr, self.ssim, self.rmse):
            metric.update(x_hat, x_0)

    def compute(self) -> dict[str, float]:
        """`psnr` in dB, `ssim` in -1..1, `rmse` in the images' units."""
        metrics = {"psnr": self.psnr, "ssim": self.ssim, "rmse": self.rmse}
        return {name: float(metric.compute()) for name, metric in metrics.items()}
