"""Snow that falls on an image, more and more of it."""

import math
from typing import Annotated

import torch
from annotated_types import Ge, Interval
from torch import Generator, Tensor
from torch.nn import functional

from thaw.checks import Count, checked
from thaw.diffusion.degradations.base import Degradation
from thaw.pixels import PixelRange

# The noise that flakes are cut from, as in ImageNet-C at its severities 3 to 5.
MEAN, DEVIATION = 0.55, 0.3
# The first step in the paper's code: few flakes without motion.
FIRST_THRESHOLD, FIRST_BLUR = 1.15, 0.05
# Length of a streak in pixels, in the paper's code.
STREAK = 11


def enlarged(cells: Tensor, zoom: float, height: int, width: int) -> Tensor:
    """The middle ``[B, height, width]`` of noise ``[B, 1, h, w]`` of ``zoom`` pixels a cell.

    Bilinear between the middles of the cells, which must extend beyond the edge.
    """
    field = functional.interpolate(cells, scale_factor=zoom, mode="bilinear").squeeze(1)
    top, left = (field.shape[1] - height) // 2, (field.shape[2] - width) // 2
    return field[:, top : top + height, left : left + width]


def drift(field: Tensor, angle: Tensor) -> Tensor:
    """The values that pass over each pixel while the field moves: ``[B, STREAK, H, W]``.

    The field ``[B, H + STREAK - 1, W + STREAK - 1]`` moves by one pixel a moment, rounded to whole
    pixels; halfway its middle is over the image. The angle ``[B]`` is in radians: 0 is along a row,
    pi / 2 down a column.
    """
    height, width = (side - STREAK + 1 for side in field.shape[1:])
    moment = torch.arange(STREAK, device=field.device) - STREAK // 2
    down, right = (
        (moment * pace[:, None]).round().long() + STREAK // 2 for pace in (angle.sin(), angle.cos())
    )
    rows = torch.arange(height, device=field.device)[:, None]
    columns = torch.arange(width, device=field.device)
    first = down * field.shape[2] + right
    pixels = (rows * field.shape[2] + columns).flatten() + first[:, :, None]
    return field.flatten(1).gather(1, pixels.flatten(1)).view(-1, STREAK, height, width)


class Snow(Degradation):
    """x_t = min(x_0 + l_t + rotated(l_t), high), l_t a layer of snow (Bansal et al. 2022, 4.4).

    The snow of ImageNet-C (Hendrycks and Dietterich 2019, section 3) made gradual: enlarged noise
    is set to 0 below a threshold, blurred along its motion, and added to every channel together
    with a copy rotated by 180 degrees. From t = 1 to T the threshold falls (more flakes) and the
    motion blur grows (longer streaks). As in their experiments the image under the snow keeps its
    brightness. Every image has its own flakes and direction: the noise, ``[B, 11, H, W]``, holds
    the values that pass over each pixel during the exposure.

    Args:
        threshold: threshold of the flakes at T, for noise of mean 0.55 and standard deviation 0.3.
        zoom: size of a flake in pixels.
        blur: standard deviation of the motion blur at T in pixels, over streaks of 11.
    """

    threshold: Tensor
    exposure: Tensor

    @checked
    def __init__(
        self,
        pixel_range: PixelRange,
        num_steps: Count = 200,
        threshold: Annotated[float, Interval(ge=0, le=FIRST_THRESHOLD)] = 0.7,
        zoom: Annotated[float, Ge(1)] = 2.5,
        blur: Annotated[float, Ge(FIRST_BLUR)] = 16.0,
    ) -> None:
        super().__init__()
        self.num_steps = num_steps
        self.pixel_range = pixel_range
        self.zoom = float(zoom)
        even = torch.linspace(0, 1, num_steps, dtype=torch.float64)
        fallen = FIRST_THRESHOLD + (threshold - FIRST_THRESHOLD) * even
        clean = torch.full((1,), math.inf, dtype=torch.float64)
        self.register_buffer("threshold", torch.cat([clean, fallen]).float(), persistent=False)
        sigma = FIRST_BLUR + (blur - FIRST_BLUR) * torch.cat([even[:1], even])
        moment = torch.arange(STREAK, dtype=torch.float64) - STREAK // 2
        exposure = (-0.5 * (moment / sigma[:, None]) ** 2).softmax(1)
        self.register_buffer("exposure", exposure.float(), persistent=False)

    def draw_noise(self, x_0: Tensor, generator: Generator | None = None) -> Tensor:
        num_images, device = len(x_0), x_0.device
        height, width = (side + STREAK - 1 for side in x_0.shape[2:])
        sides = [math.ceil(side / self.zoom) + 2 for side in (height, width)]
        # Always in float32, so that a generator gives the same snow for every type of images.
        cells = torch.randn(
            num_images, 1, *sides, generator=generator, device=device, dtype=torch.float32
        )
        turn = torch.rand(num_images, generator=generator, device=device, dtype=torch.float32)
        with torch.autocast(device.type, enabled=False):
            field = MEAN + DEVIATION * enlarged(cells, self.zoom, height, width)
        return drift(field, math.pi * turn).to(x_0.dtype)

    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        low, high = self.pixel_range
        is_snow = noise >= self.threshold[t].view(-1, 1, 1, 1)
        flakes = noise.clamp(max=1) * is_snow
        layer = (self.exposure[t][:, :, None, None] * flakes).sum(1, keepdim=True)
        snow = (high - low) * (layer + layer.flip(2, 3))
        return torch.minimum(x_0 + snow, x_0.clamp(min=high).to(snow.dtype)).to(x_0.dtype)
