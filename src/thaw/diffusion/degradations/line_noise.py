"""Noise in place of the residual that averaging removes: the hybrid of hot and cold diffusion."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from thaw.checks import Count, NotNegative, Seed, Share, checked
from thaw.diffusion.degradations.base import Condition
from thaw.diffusion.degradations.gaussian import Noising, Scales
from thaw.diffusion.degradations.line_average import Axis, LineAverage, Order
from thaw.diffusion.schedules import variance_preserving

NOTHING = 1e-12


def staggered_cosine(num_steps: int, num_lines: int, overlap: float) -> Tensor:
    """ab of the lines in their order, float64 ``[T + 1, n]``: 1 before a line's window, 0 after.

    Within it ab = cos^2(pi / 2 p), p the share of the window that has passed.
    """
    window = 1 / (1 + (num_lines - 1) * (1 - overlap))
    begin = torch.linspace(0, 1 - window, num_lines, dtype=torch.float64)
    time = torch.linspace(0, 1, num_steps + 1, dtype=torch.float64)
    passed = ((time[:, None] - begin) / window).clamp(0, 1)
    alpha_bar = (math.pi / 2 * passed).cos() ** 2
    # Without rounding errors once a line's window is over.
    return torch.where(alpha_bar < NOTHING, 0.0, alpha_bar)


class LineNoise(Noising):
    """x_t = P x_0 + a_c(t) (1 - P) x_0 + b_c(t) spread (1 - P) eps, with a_c^2 + b_c^2 = 1.

    P averages every line (column or row), c. Each line goes from clean to its mean plus noise,
    a_c(t) = cos(pi / 2 p), over a window of steps of its own, p being the share of the window that
    has passed (Nichol and Dhariwal 2021, equation 17, with no offset); the windows follow the order
    of the lines. The line means stay to the end. The residual, which ``LineAverage`` removes, is
    replaced by noise. With spread 0, overlap 0 and one step a line the two are the same.

    Args:
        axis: ``column`` or ``row``.
        order: order of the lines' windows, as of ``LineAverage``.
        group_size: adjacent lines that share a mean and a window; it divides the number of lines.
        seed: seed for the random order.
        overlap: 0 (one window after the other) to 1 (all at once). A window lasts the share
            w = 1 / (1 + (n - 1) (1 - overlap)) of T, for n lines.
        spread: standard deviation of the noise: 0 is cold, 1 hot.
        condition: ``mask`` gives the network 1 - a_c(t) as a channel.
    """

    signal: Tensor
    sigma: Tensor

    @checked
    def __init__(
        self,
        image_shape: Sequence[int],
        axis: Axis,
        order: Order,
        group_size: Count = 1,
        seed: Seed = 0,
        num_steps: Count = 100,
        overlap: Share = 0.75,
        spread: NotNegative = 1.0,
        condition: Condition | None = None,
    ) -> None:
        super().__init__()
        self.average = LineAverage(image_shape, axis, order, group_size, seed, condition)
        self.condition = condition
        self.num_steps = num_steps
        self.spread = float(spread)
        # (a, b) by rank in the order, not by line. Not a buffer, so that it stays in float64.
        by_rank = staggered_cosine(num_steps, self.average.num_steps, overlap)
        self.table = variance_preserving(by_rank)
        signal, sigma = self.table.float().unbind(-1)
        self.register_buffer("signal", signal, persistent=False)
        self.register_buffer("sigma", sigma, persistent=False)
        # A copy on the CPU for samplers, whose steps must not wait for the device.
        self._step_of_line = self.average.step_of_line.clone()
        self.register_load_state_dict_post_hook(self._load_order)  # type: ignore[no-untyped-call]

    def scales(self, t: Tensor) -> Scales:
        order = self.average.step_of_line
        return self._of_coordinates(self.signal[t], self.sigma[t], order)

    def scales_at(self, t: int) -> Scales:
        a, b = self.table[t : t + 1].unbind(-1)
        signal, sigma = self._of_coordinates(a, b, self._step_of_line)
        return Scales(signal[0], sigma[0])

    def to_basis(self, x: Tensor) -> Tensor:
        """(P x, x), ``[B, 2, C, H, W]``: what stays clean, and what the residual is taken of."""
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        return torch.stack([self.average.remainder(x), x], dim=1)

    def from_basis(self, z: Tensor) -> Tensor:
        """P x + (1 - P) y of coordinates (P x, y), so that (P x, x) is x bit for bit."""
        means, y = z.unbind(1)
        return y + (means - self.average.remainder(y))

    def _of_coordinates(self, signal: Tensor, sigma: Tensor, step_of_line: Tensor) -> Scales:
        """From one value a rank, ``[B, n]``; the means keep (1, 0)."""
        a, b = self._at_lines(signal, step_of_line), self._at_lines(sigma, step_of_line)
        kept, replaced = torch.ones_like(a), torch.zeros_like(b)
        return Scales(torch.stack([kept, a], dim=1), torch.stack([replaced, b], dim=1))

    def _at_lines(self, by_rank: Tensor, step_of_line: Tensor) -> Tensor:
        """``[B, n]``, one value a rank, as ``[B, 1, 1, W]``, or ``[B, 1, H, 1]`` for rows."""
        of_line = by_rank[:, step_of_line - 1].repeat_interleave(self.average.group_size, dim=1)
        return self.average.along_lines(of_line)

    def _load_order(self, *_: object) -> None:
        self._step_of_line = self.average.step_of_line.cpu()

    def mask(self, x_t: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        spoilt = 1 - self.scales(t).signal[:, 1]
        return spoilt.expand(-1, 1, *x_t.shape[2:]).to(x_t.dtype)
