"""Mixing each image with its partner: a degraded picture of the same thing."""

import torch
from torch import Generator, Tensor

from thaw.checks import Count, checked
from thaw.diffusion.degradations.base import Degradation


class Paired(Degradation):
    """x_t = (1 - tau_t) x_0 + tau_t y, tau_t = t / T, where y is the partner of x_0.

    The straight path of InDI (Delbracio and Milanfar 2023, equation 4) between the images of a pair
    that somebody has measured. The noise is y, ``[B, C, H, W]``: nothing is drawn, the images bring
    it along.
    """

    takes_partners = True

    @checked
    def __init__(self, num_steps: Count = 20) -> None:
        super().__init__()
        self.num_steps = num_steps

    def draw(self, images: Tensor, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        x_0, y = images.chunk(2, dim=1)
        return x_0, y

    def draw_noise(self, x_0: Tensor, generator: Generator | None = None) -> Tensor:
        raise ValueError(
            "Paired takes the partner of each image for its noise, and an image alone has none: "
            "draw(images) has both"
        )

    def noise_of(self, x_t: Tensor, t: int) -> Tensor:
        if t != self.num_steps:
            raise ValueError(
                f"degraded images are the partners, at t = T = {self.num_steps}: leave out t={t}, "
                "or give the clean images too (partners=)"
            )
        return x_t

    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        share = (t / self.num_steps).to(x_0.dtype).view(-1, 1, 1, 1)
        return torch.lerp(x_0, noise.to(x_0.dtype), share)
