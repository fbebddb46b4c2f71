"""Blur and noise together, frequency by frequency: from blur alone to noise alone."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from thaw.checks import NotNegative, Positive, Share, checked
from thaw.diffusion.degradations.gaussian import Noising, Scales
from thaw.diffusion.schedules import NOTHING_LEFT, alpha_bar_of

Growth = Literal["sine", "exponential"]


def blur_widths(growth: Growth, num_steps: int, min_blur: float, max_blur: float) -> Tensor:
    """The standard deviation of the blur in pixels, float64 ``[T + 1]``, 0 at t = 0.

    ``sine`` is max_blur sin^2(pi t / 2T) (Hoogeboom and Salimans 2022), ``exponential`` goes evenly
    in its logarithm from min_blur at t = 1 to max_blur at T (Rissanen et al. 2022).
    """
    t = torch.arange(num_steps + 1, dtype=torch.float64)
    if growth == "sine":
        return max_blur * (math.pi / 2 * t / num_steps).sin() ** 2
    # A single step is the last.
    share = (t - 1) / (num_steps - 1) if num_steps > 1 else t
    widths: Tensor = min_blur * (max_blur / min_blur) ** share * (t > 0)
    return widths


def dct_matrix(side: int) -> Tensor:
    """The orthonormal DCT-II as a matrix, float64 ``[side, side]``: row k is of frequency k."""
    k = torch.arange(side, dtype=torch.float64)
    matrix: Tensor = (2 / side) ** 0.5 * (math.pi / side * k[:, None] * (k + 0.5)).cos()
    matrix[0] /= 2**0.5
    return matrix


class BlurNoise(Noising):
    """x_t = U (a_t d_t U' x_0 + b_t U' eps), U' the cosine transform (DCT) of an image.

    Blurring diffusion (Hoogeboom and Salimans 2022): heat dissipates by d_t = exp(-lambda tau_t),
    with lambda = pi^2 (i^2 / H^2 + j^2 / W^2) for frequency (i, j) and tau_t = width_t^2 / 2, and
    (a_t, b_t) is a schedule. No d_t falls below ``min_damping``. With (1, 0.01), see
    :func:`~thaw.diffusion.schedules.constant`, it is inverse heat dissipation (Rissanen et al.
    2022).

    ``blur_to_noise`` is one knob between cold and hot, after warm diffusion's ratio (Hsueh et al.
    2025, arXiv 2511.16904); how it turns is thaw's own. At 1 blur and noise are as they are given;
    r below 1 blurs by r width_t alone, at 0 it is Gaussian noise; r above 1 goes the share s = 1 /
    r of the way from the blurred image to x_t, (1 - s) U d_t U' x_0 + s x_t, at None (s = 0) it is
    blur alone.

    Args:
        schedule: (signal, sigma), float64 ``[T + 1, 2]``, from :mod:`thaw.diffusion.schedules`.
        max_blur: standard deviation of the blur at T, in pixels.
        min_blur: that at t = 1 where the growth is exponential.
        growth: how it grows, see :func:`blur_widths`.
        min_damping: the smallest d_t, which keeps a trace of the highest frequencies.
        blur_to_noise: r, 0 or more; None is infinite.
    """

    signal: Tensor
    sigma: Tensor
    tau: Tensor
    eigenvalues: Tensor
    rows: Tensor
    columns: Tensor

    @checked
    def __init__(
        self,
        image_shape: Sequence[int],
        schedule: Tensor,
        max_blur: Positive = 20.0,
        min_blur: Positive = 0.5,
        growth: Growth = "sine",
        min_damping: Share = 0.001,
        blur_to_noise: NotNegative | None = 1.0,
    ) -> None:
        super().__init__()
        if growth == "exponential" and min_blur > max_blur:
            raise ValueError(f"min_blur must be at most max_blur={max_blur:g}, got {min_blur:g}")
        _, height, width = image_shape
        ratio = math.inf if blur_to_noise is None else blur_to_noise
        self.num_steps = len(schedule) - 1
        self.spread = min(1.0, 1 / ratio) if ratio else 1.0
        self.min_damping = min_damping
        signal, sigma = 1 - self.spread * (1 - schedule[:, 0]), schedule[:, 1]
        # The table of the brightness, which no blur changes.
        self.schedule = torch.stack([signal, self.spread * sigma], dim=1)
        left = alpha_bar_of(self.schedule[-1]).item()
        self.leaves_nothing = self.ends_in_noise = left < NOTHING_LEFT
        self.noise_is_known = not self.leaves_nothing
        widths = min(1.0, ratio) * blur_widths(growth, self.num_steps, min_blur, max_blur)
        down, across = (
            (math.pi * torch.arange(side, dtype=torch.float64) / side) ** 2
            for side in (height, width)
        )
        # In float64 on the CPU for samplers, in float32 on the device for training.
        self._exact = (signal, sigma, widths**2 / 2, down[:, None] + across)
        names = ("signal", "sigma", "tau", "eigenvalues")
        tables = dict(zip(names, self._exact, strict=True))
        tables |= {"rows": dct_matrix(height), "columns": dct_matrix(width)}
        for name, table in tables.items():
            self.register_buffer(name, table.float(), persistent=False)

    def scales(self, t: Tensor) -> Scales:
        signal, sigma, tau = (
            table[t].view(-1, 1, 1, 1) for table in (self.signal, self.sigma, self.tau)
        )
        return Scales(signal * self._damping(tau, self.eigenvalues), sigma)

    def scales_at(self, t: int) -> Scales:
        signal, sigma, tau, eigenvalues = self._exact
        return Scales(signal[t] * self._damping(tau[t], eigenvalues), sigma[t])

    def _damping(self, tau: Tensor, eigenvalues: Tensor) -> Tensor:
        return self.min_damping + (1 - self.min_damping) * (-tau * eigenvalues).exp()

    def to_basis(self, x: Tensor) -> Tensor:
        return _product(self.rows, x, self.columns.mT)

    def from_basis(self, z: Tensor) -> Tensor:
        return _product(self.rows.mT, z, self.columns)

    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        # There and back is rounded.
        return torch.where(t.view(-1, 1, 1, 1) == 0, x_0, super().forward(x_0, t, noise))


def _product(left: Tensor, x: Tensor, right: Tensor) -> Tensor:
    """left x right for each channel, in float32 or wider."""
    with torch.autocast(x.device.type, enabled=False):
        wide = torch.promote_types(x.dtype, torch.float32)
        return left.to(wide) @ x.to(wide) @ right.to(wide)
