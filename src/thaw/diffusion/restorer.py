"""The restorer: all that a sampler sees of a trained model."""

from torch import Tensor, nn

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.predictions import Prediction
from thaw.pixels import PixelRange


class Restorer(nn.Module):
    """x_0_hat = R(x_t, t), whatever the network predicts (Bansal et al. 2022, section 3).

    Args:
        network: ``(x_t, t) -> [B, C, H, W]``.
        degradation: what the network learns to undo.
        prediction: how the network's output is read.
        pixel_range: the (low, high) of the images, which samplers clip x_0_hat to.

    Raises:
        ValueError: prediction and degradation do not fit.
    """

    def __init__(
        self,
        network: nn.Module,
        degradation: Degradation,
        prediction: Prediction,
        pixel_range: PixelRange,
    ) -> None:
        super().__init__()
        prediction.check(degradation)
        self.network = network
        self.degradation = degradation
        self.prediction = prediction
        self.pixel_range = pixel_range

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """x_0_hat ``[B, C, H, W]`` from x_t ``[B, C, H, W]`` and its steps, int64 ``[B]``."""
        return self.prediction.decode(self.network(x_t, t), x_t, t, self.degradation)
