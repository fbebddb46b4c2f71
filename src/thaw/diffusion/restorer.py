"""The restorer: all that a sampler sees of a trained model."""

from typing import Any

import torch
from torch import Tensor, nn

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.inference import Chunked
from thaw.diffusion.needs import check_needs
from thaw.diffusion.predictions import Prediction
from thaw.pixels import PixelRange

NO_LABEL = -1


class Restorer(nn.Module):
    """x_0_hat = R(x_t, t), whatever the network predicts (Bansal et al. 2022, section 3).

    A network with ``num_classes`` takes labels, each -1 (none) or a class. Its p(y),
    ``class_frequencies``, is uniform until :meth:`fit_labels`, and is stored in the checkpoint.

    Args:
        network: ``(x_t, t) -> [B, C, H, W]``, or ``(x_t, t, labels)`` if it is class-conditional.
        degradation: the degradation that the network learns to undo.
        prediction: how the network's output is read.
        pixel_range: (low, high) of the images, to which samplers clip x_0_hat.
    """

    class_frequencies: Tensor

    def __init__(
        self,
        network: nn.Module,
        degradation: Degradation,
        prediction: Prediction[Any],
        pixel_range: PixelRange,
    ) -> None:
        super().__init__()
        check_needs(prediction, degradation)
        prediction.check(degradation)
        self.network = network
        self.chunked = Chunked()
        self.degradation = degradation
        self.prediction = prediction
        self.pixel_range = pixel_range
        if self.num_classes is not None:
            uniform = torch.full((self.num_classes,), 1 / self.num_classes)
            self.register_buffer("class_frequencies", uniform)

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    @property
    def num_classes(self) -> int | None:
        """The number of classes of a class-conditional model; None for an unconditional one."""
        return getattr(self.network, "num_classes", None)

    @property
    def label_dropout(self) -> float:
        """Share of the labels hidden in training."""
        return float(getattr(self.network, "label_dropout", 0.0))

    def forward(self, x_t: Tensor, t: Tensor, noise: Tensor | None = None) -> Tensor:
        """x_0_hat ``[B, C, H, W]`` from x_t ``[B, C, H, W]`` and its steps, int64 ``[B]``.

        Without labels: a conditional model answers unconditionally.
        """
        output = self.predict(x_t, t, noise=noise)
        return self.prediction.decode(output, x_t, t, self.degradation)

    def predict(
        self, x_t: Tensor, t: Tensor, labels: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """The network's own output, ``[B, C, H, W]`` of x_t's type, which may be less than its own.

        Labels are int64 ``[B]``, None for -1 throughout. The noise is for the degradation's
        ``condition``; None where it is deterministic.
        """
        weights = next((weight.dtype for weight in self.network.parameters()), x_t.dtype)
        wide = torch.promote_types(x_t.dtype, weights)
        if wide != x_t.dtype:
            return self.predict(x_t.to(wide), t, labels, noise).to(x_t.dtype)
        x, time = self.prediction.network_input(x_t, t, self.degradation)
        if self.degradation.condition == "mask":
            known = x_t.new_empty(len(x_t), 0) if noise is None else noise
            x = torch.cat([x, self.degradation.mask(x_t, t, known)], dim=1)
        if self.num_classes is None:
            return self.chunked(self.network, x, time)
        given = torch.full_like(t, NO_LABEL) if labels is None else labels
        return self.chunked(self.network, x, time, given)

    def fit(self, images: Tensor) -> None:
        """What degradation and prediction learn of training images, uint8 ``[N, C, H, W]``."""
        self.degradation.fit(images)
        self.prediction.fit(images, self.pixel_range)

    def fit_labels(self, labels: Tensor) -> None:
        """Set p(y) from training labels, int64 ``[N]``; no effect without classes."""
        if self.num_classes is not None:
            counts = labels.bincount(minlength=self.num_classes)
            self.class_frequencies.copy_(counts / len(labels))
