"""Masking an image around a point, further and further out."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Generator, Tensor

from thaw.checks import Count, NotNegative, Positive, checked
from thaw.diffusion.degradations.base import SMALLEST, Condition, Degradation, all_at
from thaw.pixels import PixelRange


def kept_shares(height: int, width: int, betas: Tensor) -> Tensor:
    """z_beta_1 ... z_beta_t at each distance from the centre, float64 ``[T + 1, H, W]``.

    Entry ``[t, i, j]`` is for a pixel i rows and j columns away, on either side; entry 0 is 1. The
    betas are standard deviations in pixels, float64 ``[T]``.
    """
    rows, columns = (torch.arange(side, dtype=torch.float64) for side in (height, width))
    squared_distance = rows[:, None] ** 2 + columns**2
    # expm1, for masks so close to 1 that the difference would be lost to rounding.
    masks = -torch.expm1(-squared_distance / (2 * betas.view(-1, 1, 1) ** 2))
    return torch.cat([torch.ones(1, height, width, dtype=torch.float64), masks.cumprod(0)])


class Inpaint(Degradation):
    """x_t = low + (x_0 - low) z_beta_1 ... z_beta_t (Bansal et al. 2022, section 4.2).

    z_beta = 1 - exp(-r^2 / (2 beta^2)), r the distance from the centre, and beta_t grows evenly:
    masked pixels turn black, the low end of the range, from the centre outwards. beta is a standard
    deviation in pixels, as in the authors' code; as a variance, as in their text, it would leave
    most of a digit as it is.

    Args:
        beta_start: beta_1, in pixels.
        beta_step: beta_t - beta_(t-1), in pixels.
        centre: ``middle``, or ``random``: a random pixel for each trajectory. The noise, int64
            ``[B, 2]``, is its row and column.
        condition: ``mask`` gives the network the mask as a channel of its own.
    """

    is_linear = True
    is_mask = True

    masked: Tensor
    middle: Tensor

    @checked
    def __init__(
        self,
        image_shape: Sequence[int],
        pixel_range: PixelRange,
        num_steps: Count = 50,
        beta_start: Positive = 1.0,
        beta_step: NotNegative = 0.1,
        centre: Literal["middle", "random"] = "middle",
        condition: Condition | None = None,
    ) -> None:
        super().__init__()
        self.num_steps = num_steps
        self.condition = condition
        self.low = pixel_range.low
        self.is_random = centre == "random"
        self.sides = (image_shape[1], image_shape[2])
        betas = beta_start + beta_step * torch.arange(num_steps, dtype=torch.float64)
        masked = 1 - kept_shares(*self.sides, betas)
        self.register_buffer("masked", masked.float(), persistent=False)
        middle = torch.tensor([(side - 1) // 2 for side in self.sides])
        self.register_buffer("middle", middle, persistent=False)

    def draw_noise(self, x_0: Tensor, generator: Generator | None = None) -> Tensor:
        if not self.is_random:
            return super().draw_noise(x_0, generator)
        pixels = torch.randint(
            self.sides[0] * self.sides[1], (len(x_0),), generator=generator, device=x_0.device
        )
        return torch.stack([pixels // self.sides[1], pixels % self.sides[1]], dim=1)

    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        masked = self.mask(x_0, t, noise).expand_as(x_0)
        return torch.lerp(x_0, torch.full_like(x_0, self.low), masked)

    def mask(self, x_t: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        centre = noise if self.is_random else self.middle.expand(len(t), 2)
        rows, columns = (
            (torch.arange(side, device=t.device) - centre[:, k : k + 1]).abs()
            for k, side in enumerate(self.sides)
        )
        masked = self.masked[t[:, None, None], rows[:, :, None], columns[:, None, :]]
        return masked.unsqueeze(1).to(x_t.dtype)

    def pseudo_inverse(self, y: Tensor, t: int, noise: Tensor) -> Tensor:
        """y / z, z the share of a pixel that the mask leaves."""
        left = 1 - self.mask(y, all_at(t, y), noise)
        kept = left > SMALLEST
        return torch.where(kept, y / torch.where(kept, left, 1.0), 0.0)
