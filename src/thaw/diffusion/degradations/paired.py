"""Mixing each image with its partner: a degraded picture of the same thing."""

from torch import Generator, Tensor

from thaw.checks import Count, checked
from thaw.diffusion.degradations.straight import StraightPath


class Paired(StraightPath):
    """The straight path to the partner of x_0, between the images of a pair that was measured.

    The noise is the partner, ``[B, C, H, W]``: nothing is drawn, the images bring it along.
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

    def draw_degraded(
        self, images: Tensor, t: int, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        if t != self.num_steps:
            raise ValueError(
                f"degraded images are the partners, at t = T = {self.num_steps}: leave out t={t}, "
                "or give the clean images too (partners=)"
            )
        return images, images

    def y(self, x_0: Tensor, noise: Tensor) -> Tensor:
        return noise.to(x_0.dtype)
