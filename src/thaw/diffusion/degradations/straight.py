"""Straight paths: from an image to the end that a subclass gives."""

from abc import abstractmethod

import torch
from torch import Tensor

from thaw.diffusion.degradations.base import Degradation


class StraightPath(Degradation):
    """x_t = (1 - tau_t) x_0 + tau_t y, tau_t = t / T, y the end of the path of x_0.

    The path of inversion by direct iteration, InDI (Delbracio and Milanfar 2023, equation 4), and
    of rectified flow where y is noise (Liu et al. 2023).
    """

    @abstractmethod
    def y(self, x_0: Tensor, noise: Tensor) -> Tensor:
        """x_T, ``[B, C, H, W]`` of x_0's dtype, from what :meth:`draw` gave."""

    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        # Not 1 - tau, which would be rounded twice.
        kept = self.tau(x_0, self.num_steps - t)
        return kept * x_0 + self.tau(x_0, t) * self.y(x_0, noise)

    def tau(self, x: Tensor, t: Tensor) -> Tensor:
        """tau_t of each image x ``[B, C, H, W]``, ``[B, 1, 1, 1]`` of its dtype."""
        wide = torch.promote_types(x.dtype, torch.float32)
        return (t.to(wide) / self.num_steps).to(x.dtype).view(-1, 1, 1, 1)
