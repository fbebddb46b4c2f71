"""Restoring without training for it: the published rules side by side, and Gaussian data.

The data is N(MEAN, COVARIANCE) of four pixels in a row, so that x_0_hat is affine in x_t and the
posterior given y = A x_0 is known.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from theory_support import RANGE, exact_gaussian, restorer_of, seeded
from torch import Generator, Tensor

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.inpaint import Inpaint
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.degradations.line_noise import LineNoise
from thaw.diffusion.degradations.paired import Paired
from thaw.diffusion.degradations.snow import Snow
from thaw.diffusion.predictions import Clean
from thaw.diffusion.priors.normal import Normal
from thaw.diffusion.restoration import Restoration
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.cold import Cold
from thaw.diffusion.schedules import cosine, linear
from thaw.diffusion.zero_shot import DDNM, DPS, METHODS, Observation, RePaint, Rival, ZeroShot
from thaw.pixels import PixelRange
from thaw.seeding import generator

SHAPE = (1, 1, 4)
MEAN = torch.tensor([0.3, -0.2, 0.0, 0.1], dtype=torch.float64)
# Pixels that depend on each other, by the more the nearer they are.
DISTANCE = (torch.arange(4.0).double()[:, None] - torch.arange(4.0)).abs()
COVARIANCE = 0.25 * 0.7**DISTANCE
SCHEDULE = cosine(100)
WIDE = PixelRange(-3, 3)


class HardMask(Degradation):
    """x_1 keeps the first two pixels of each row; the others are -0.5."""

    num_steps = 1
    is_linear = True
    is_mask = True

    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        kept = (torch.arange(x_0.shape[3]) < 2) | (t == 0).view(-1, 1, 1, 1)
        return torch.where(kept, x_0, -0.5)

    def pseudo_inverse(self, y: Tensor, t: int, noise: Tensor) -> Tensor:
        return y * (torch.arange(y.shape[3]) < 2)


MASK = HardMask()
ROW = LineAverage(SHAPE, "row", "random")
PAIRS = LineAverage(SHAPE, "column", "random", group_size=2)
NO_NOISE = torch.empty(1, 0)


def gain(t: int, covariance: Tensor = COVARIANCE, schedule: Tensor = SCHEDULE) -> Tensor:
    """d x_0_hat / d x_t = a C (a^2 C + b^2)^-1, ``[4, 4]``."""
    ab = schedule[t]
    of_x_t = ab * covariance + (1 - ab) * torch.eye(4, dtype=torch.float64)
    return ab.sqrt() * covariance @ torch.linalg.inv(of_x_t)


def x_0_hat(x_t: Tensor, t: int, covariance: Tensor = COVARIANCE) -> Tensor:
    """E[x_0 | x_t] of vectors ``[B, 4]``."""
    return MEAN + (x_t - SCHEDULE[t].sqrt() * MEAN) @ gain(t, covariance).T


def optimal(covariance: Tensor = COVARIANCE) -> Restorer:
    def network(x_t: Tensor, t: Tensor) -> Tensor:
        return x_0_hat(x_t.flatten(1), int(t[0]), covariance).view_as(x_t)

    return restorer_of(network, exact_gaussian(SCHEDULE), pixel_range=WIDE)


def matrix(degradation: Degradation, t: int) -> Tensor:
    """A, the linear part of D(., t), ``[4, 4]``, from what it makes of each pixel."""
    pixels = torch.cat([torch.zeros(1, 4), torch.eye(4)]).double().view(5, *SHAPE)
    x_t = degradation(pixels, torch.full((5,), t), NO_NOISE.expand(5, 0)).flatten(1)
    return (x_t[1:] - x_t[0]).T


def observed(degradation: Degradation, x_0: Tensor, t: int) -> Observation:
    """What D makes of one image ``[4]``, for 1 or more trajectories."""
    x = x_0.view(1, *SHAPE)
    y = degradation(x, torch.tensor([t]), NO_NOISE)
    return Observation(degradation, WIDE, y, t, NO_NOISE, WIDE)


def sampled(
    method: ZeroShot, restorer: Restorer, x_T: Tensor, draws: Generator | None = None
) -> Tensor:
    """x_0 ``[B, 4]`` from x_T ``[B, 4]``."""
    with torch.inference_mode():
        start = x_T.view(-1, *SHAPE)
        return method.sample(restorer, start, start, draws).flatten(1).clone()


def posterior(a: Tensor, x_0: Tensor, covariance: Tensor = COVARIANCE) -> Tensor:
    """E[x_0 | A x_0] = MEAN + C A' (A C A')^+ A (x_0 - MEAN)."""
    return MEAN + covariance @ a.T @ torch.linalg.pinv(a @ covariance @ a.T) @ a @ (x_0 - MEAN)


# As published, with alpha_t = ab_t / ab_s for a step from t to s.


def ancestral(x_t: Tensor, x_0: Tensor, t: int, s: int, z: Tensor) -> Tensor:
    """Ho et al. 2020, equation 7, and the posterior's deviation."""
    ab_t, ab_s = SCHEDULE[t], SCHEDULE[s]
    alpha = ab_t / ab_s
    mean = ab_s.sqrt() * (1 - alpha) / (1 - ab_t) * x_0
    mean = mean + alpha.sqrt() * (1 - ab_s) / (1 - ab_t) * x_t
    return mean + ((1 - ab_s) / (1 - ab_t) * (1 - alpha)).sqrt() * z


def ddnm(a: Tensor, y: Tensor, x_T: Tensor, times: list[int], draw: Callable[[], Tensor]) -> Tensor:
    """Wang et al. 2023, Algorithm 1: the null space of A from x_0_hat, the rest from y."""
    inverse = torch.linalg.pinv(a)
    x_t = x_T
    for t, s in pairwise(times):
        x_0 = x_0_hat(x_t, t)
        x_0 = y @ inverse.T + x_0 - x_0 @ (inverse @ a).T
        x_t = ancestral(x_t, x_0, t, s, draw() if s else torch.zeros(4))
    return x_t


def repaint(
    known: Tensor, x_0: Tensor, x_T: Tensor, times: list[int], repeats: int, draw: Callable
) -> Tensor:
    """Lugmayr et al. 2022, Algorithm 1."""
    x_t = x_T
    for t, s in pairwise(times):
        for u in range(repeats if s else 1):
            unknown = ancestral(x_t, x_0_hat(x_t, t), t, s, draw() if s else torch.zeros(4))
            ab_s = SCHEDULE[s]
            of_x_0 = ab_s.sqrt() * x_0 + (1 - ab_s).sqrt() * draw()
            x_s = known * of_x_0 + (1 - known) * unknown
            if s and u < repeats - 1:
                alpha = SCHEDULE[t] / ab_s
                x_t = alpha.sqrt() * x_s + (1 - alpha).sqrt() * draw()
        x_t = x_s
    return x_t


def dps(
    a: Tensor, y: Tensor, x_T: Tensor, times: list[int], step_size: float, draw: Callable
) -> Tensor:
    """Chung et al. 2023, Algorithm 1, zeta' / ||y - A x_0_hat|| on the gradient of the square."""
    x_t = x_T
    for t, s in pairwise(times):
        x_0 = x_0_hat(x_t, t)
        rest = y - x_0 @ a.T
        of_square = -2 * rest @ a @ gain(t)
        zeta = step_size / 2 / rest.norm(dim=1, keepdim=True)
        x_t = ancestral(x_t, x_0, t, s, draw() if s else torch.zeros(4)) - zeta * of_square
    return x_t


X_0 = torch.tensor([0.9, 0.2, -0.6, 0.4], dtype=torch.float64)
TIMES = [100, 80, 60, 40, 20, 0]


def both(method: ZeroShot, degradation: Degradation, t: int) -> tuple[Tensor, Tensor, Callable]:
    """x_0 of a method, x_T, and the draws that it made after it."""
    x_T = torch.randn(3, 4, generator=seeded(1), dtype=torch.float64)
    method.observation = observed(degradation, X_0, t)
    found = sampled(method, optimal(), x_T, seeded(2))
    draws = seeded(2)
    return found, x_T, lambda: torch.randn(3, 4, generator=draws, dtype=torch.float64)


@pytest.mark.parametrize("degradation", [ROW, PAIRS, MASK], ids=["row", "pairs", "mask"])
def test_ddnm_is_its_published_algorithm(degradation: Degradation) -> None:
    found, x_T, draw = both(DDNM(5, clip=False), degradation, 1)
    a = matrix(degradation, 1)
    expected = ddnm(a, X_0 @ a.T, x_T, TIMES, draw)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    # What was seen stays as it is.
    torch.testing.assert_close(found @ a.T, (X_0 @ a.T).expand(3, 4), rtol=0, atol=1e-10)


@pytest.mark.parametrize("repeats", [1, 3])
def test_repaint_is_its_published_algorithm(repeats: int) -> None:
    method = RePaint(5, repeats=repeats, clip=False)
    found, x_T, draw = both(method, MASK, 1)
    known = torch.tensor([1.0, 1, 0, 0])
    expected = repaint(known, X_0, x_T, TIMES, repeats, draw)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    assert method.num_evaluations(Gaussian(SCHEDULE)) == 4 * repeats + 1


@pytest.mark.parametrize("degradation", [ROW, PAIRS, MASK], ids=["row", "pairs", "mask"])
def test_dps_is_its_published_algorithm(degradation: Degradation) -> None:
    found, x_T, draw = both(DPS(5, step_size=0.3, clip=False), degradation, 1)
    a = matrix(degradation, 1)
    expected = dps(a, X_0 @ a.T, x_T, TIMES, 0.3, draw)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
