"""Noise in place of what averaging removes: the hybrid of hot and cold diffusion."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from thaw.checks import check_between, check_whole
from thaw.diffusion.degradations.line_average import SHUFFLED, LineAverage
from thaw.diffusion.degradations.noising import Noising

MAX_SPREAD = 100
NOTHING = 1e-12


class LineNoise(Noising):
    """x_t = P x_0 + a_c(t) (1 - P) x_0 + b_c(t) spread (1 - P) eps, with a_c^2 + b_c^2 = 1.

    P averages every line (column or row), c. Each line goes from clean to its mean plus noise,
    a_c(t) = cos(pi / 2 p), over a window of steps of its own, p being the share of the window that
    has passed; the windows follow the order of the lines. The line means stay to the end: what is
    averaged by :class:`~thaw.diffusion.degradations.line_average.LineAverage` is forgotten there,
    so that one x_T gives one image, and replaced by noise here. With spread 0, overlap 0 and a
    step a line the two are the same.

    The cosine is that of Nichol and Dhariwal 2021, equation 17, with no offset.

    Args:
        image_shape: (C, H, W).
        axis: ``column`` or ``row``.
        order: ``random``, ``outside_in`` or ``inside_out``: whose window comes first.
        group_size: adjacent lines that share a mean and a window.
        seed: of the random order.
        num_steps: T.
        overlap: 0 (one window after the other) to 1 (all at once). A window lasts the share
            w = 1 / (1 + (n - 1) (1 - overlap)) of T, for n lines.
        spread: standard deviation of the noise: 0 is cold, 1 hot.
        condition: ``mask`` tells the network how far each line has gone, None nothing.

    Raises:
        ValueError: one of them is out of its range.
    """

    signal: Tensor
    sigma: Tensor

    def __init__(
        self,
        image_shape: Sequence[int],
        axis: str,
        order: str,
        group_size: int = 1,
        seed: int = 0,
        num_steps: int = 100,
        overlap: float = 0.75,
        spread: float = 1.0,
        condition: str | None = None,
    ) -> None:
        super().__init__()
        check_whole("degradation.num_steps", num_steps)
        check_between("degradation.overlap", overlap, 0, 1)
        check_between("degradation.spread", spread, 0, MAX_SPREAD)
        if order == SHUFFLED:
            raise ValueError(
                "degradation.order=shuffled belongs to the averaging of lines; here choose "
                "random, outside_in or inside_out"
            )
        self.average = LineAverage(image_shape, axis, order, group_size, seed, condition)
        self.condition = condition
        self.num_steps = num_steps
        self.spread = float(spread)
        alpha_bar = self._staggered_cosine(overlap).repeat_interleave(group_size, dim=1)
        self.alpha_bar = self.average.along_lines(alpha_bar).squeeze(1)
        self.register_buffer("signal", self.alpha_bar.sqrt().float(), persistent=False)
        self.register_buffer("sigma", (1 - self.alpha_bar).sqrt().float(), persistent=False)

    def _staggered_cosine(self, overlap: float) -> Tensor:
        """ab, float64 ``[T + 1, n]`` of n lines: 1 before a line's window, 0 after it."""
        num_lines = self.average.num_steps
        window = 1 / (1 + (num_lines - 1) * (1 - overlap))
        rank = self.average.step_of_line.double() - 1
        begin = rank * (1 - window) / max(num_lines - 1, 1)
        time = torch.linspace(0, 1, self.num_steps + 1, dtype=torch.float64)
        passed = ((time[:, None] - begin) / window).clamp(0, 1)
        alpha_bar = (math.pi / 2 * passed).cos() ** 2
        # Rounding would leave a trace of a line whose window is over.
        return torch.where(alpha_bar < NOTHING, 0.0, alpha_bar)

    def scales(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return self.signal[t][:, None], self.sigma[t][:, None]

    def alpha_bar_at(self, t: int) -> Tensor:
        return self.alpha_bar[t]

    def residual(self, x: Tensor) -> Tensor:
        return x - self.average.remainder(x)

    def mask(self, x_t: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """1 - a_c(t): 0 before a line's window, 1 after it."""
        spoilt = 1 - self.scales(t)[0]
        return spoilt.expand(-1, 1, *x_t.shape[2:]).to(x_t.dtype)

    def remainder(self, x_0: Tensor) -> Tensor:
        """The mean of each line."""
        return self.average.remainder(x_0)

    def complete(self, remainder: Tensor, noise: Tensor) -> Tensor:
        """The line means and, around them, the noise."""
        return self._at_last(remainder, noise)
