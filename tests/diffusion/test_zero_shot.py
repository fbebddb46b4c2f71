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
from thaw.diffusion.schedules import alpha_bar_of, cosine, linear
from thaw.diffusion.zero_shot import (
    DDNM,
    DPS,
    METHODS,
    Observation,
    RePaint,
    Rival,
    ZeroShot,
    converted,
)
from thaw.pixels import PixelRange
from thaw.seeding import generator

SHAPE = (1, 1, 4)
MEAN = torch.tensor([0.3, -0.2, 0.0, 0.1], dtype=torch.float64)
# Pixels that depend on each other, by the more the nearer they are.
DISTANCE = (torch.arange(4.0).double()[:, None] - torch.arange(4.0)).abs()
COVARIANCE = 0.25 * 0.7**DISTANCE
TABLE = cosine(100)
SCHEDULE = alpha_bar_of(TABLE)
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


def gain(t: int, covariance: Tensor = COVARIANCE) -> Tensor:
    """d x_0_hat / d x_t = a C (a^2 C + b^2)^-1, ``[4, 4]``."""
    ab = SCHEDULE[t]
    of_x_t = ab * covariance + (1 - ab) * torch.eye(4, dtype=torch.float64)
    return ab.sqrt() * covariance @ torch.linalg.inv(of_x_t)


def x_0_hat(x_t: Tensor, t: int, covariance: Tensor = COVARIANCE) -> Tensor:
    """E[x_0 | x_t] of vectors ``[B, 4]``."""
    return MEAN + (x_t - SCHEDULE[t].sqrt() * MEAN) @ gain(t, covariance).T


def optimal(covariance: Tensor = COVARIANCE) -> Restorer:
    def network(x_t: Tensor, t: Tensor) -> Tensor:
        return x_0_hat(x_t.flatten(1), int(t[0]), covariance).view_as(x_t)

    return restorer_of(network, exact_gaussian(TABLE), pixel_range=WIDE)


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
    found, x_T, draw = both(DDNM(5, repeats=1, clip=False), degradation, 1)
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
    assert method.num_evaluations(Gaussian(TABLE)) == 4 * repeats + 1


@pytest.mark.parametrize("degradation", [ROW, PAIRS, MASK], ids=["row", "pairs", "mask"])
def test_dps_is_its_published_algorithm(degradation: Degradation) -> None:
    found, x_T, draw = both(DPS(5, step_size=0.3, clip=False), degradation, 1)
    a = matrix(degradation, 1)
    expected = dps(a, X_0 @ a.T, x_T, TIMES, 0.3, draw)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("degradation", [ROW, PAIRS], ids=["row", "pairs"])
@pytest.mark.parametrize(
    "method",
    [DDNM(5, repeats=2, clip=False), DPS(5, step_size=0.3, clip=False)],
    ids=["ddnm", "dps"],
)
def test_the_range_in_which_an_image_is_seen_changes_nothing(
    method: ZeroShot, degradation: Degradation
) -> None:
    """For D that is linear, and ranges about 0, whatever the network makes of the misfit."""
    found, x_T, _ = both(method, degradation, 1)
    seen = observed(degradation, X_0, 1)
    narrow = PixelRange(-0.5, 0.5)
    y = converted(seen.y, WIDE, narrow)
    method.observation = Observation(degradation, narrow, y, 1, NO_NOISE, WIDE)
    again = sampled(method, optimal(), x_T, seeded(2))
    torch.testing.assert_close(again, found, rtol=0, atol=1e-10)
    method.observation = Observation(degradation, WIDE, seen.y + 10, 1, NO_NOISE, WIDE)
    assert (sampled(method, optimal(), x_T, seeded(2)) - found).abs().max() > 0.01


MANY = 5000
# Equally correlated: the mean of a row tells nothing of the differences within.
EQUAL = 0.1 * torch.eye(4, dtype=torch.float64) + 0.15


def law(
    method: ZeroShot, degradation: Degradation, covariance: Tensor = COVARIANCE
) -> tuple[Tensor, Tensor, float]:
    """Error of the mean, deviation ``[4]``, and mean ||y - A x_0|| of many restored images."""
    x_T = torch.randn(MANY, 4, generator=seeded(1), dtype=torch.float64)
    method.observation = observed(degradation, X_0, 1)
    found = sampled(method, optimal(covariance), x_T, seeded(2))
    a = matrix(degradation, 1)
    mean = posterior(a, X_0, covariance)
    # Far from what is expected of x_0 without y, so that there is something to find.
    assert (mean - MEAN).abs().max() > 0.15
    distance = ((found - X_0) @ a.T).norm(dim=1).mean().item()
    return found.mean(0) - mean, found.std(0), distance


def test_ddnm_draws_from_the_posterior_where_the_rest_is_independent_of_what_is_seen() -> None:
    error, deviation, distance = law(DDNM(100, repeats=1, clip=False), ROW, EQUAL)
    assert distance < 1e-12
    exact = (EQUAL - EQUAL.mean()).diag().sqrt()
    assert (error.abs() < 4 * exact / math.sqrt(MANY)).all()
    # Of finite steps, as without an observation.
    assert ((deviation / exact - 1).abs() < 0.07).all()


@pytest.mark.parametrize("method", [RePaint, DDNM])
def test_repeats_find_the_posterior_mean_of_what_depends_on_it(method: type[ZeroShot]) -> None:
    """x_s is made to fit what was seen without regard to the rest: a known bias, until repeated."""
    errors = [law(method(100, repeats=n, clip=False), MASK)[0][2:].abs().max() for n in (1, 3, 10)]
    assert errors[0] > 0.06
    assert errors[1] < errors[0] / 1.5
    # Four standard errors; the mean is shifted by 0.6.
    assert errors[2] < 0.025


def test_dps_finds_the_posterior_mean_and_what_was_seen_to_its_step_size() -> None:
    for step_size in (0.05, 0.2):
        error, _, distance = law(DPS(100, step_size=step_size, clip=False), ROW)
        # Four standard errors.
        assert error.abs().max() < 0.018
        assert distance < step_size
    weak, *_ = law(DPS(100, step_size=0.02, clip=False), ROW)
    assert weak.abs().max() > 0.04


# Images in the range of a cold model, restored by a model of another one.


OTHER = PixelRange(-1, 1)
LINES = LineAverage((1, 8, 12), "column", "shuffled")


def pictures(count: int = 5) -> Tensor:
    return torch.randint(0, 256, (count, 1, 8, 12), generator=seeded(0), dtype=torch.uint8)


def rival(method: ZeroShot, network: Callable, degradation: Degradation | None = None) -> Rival:
    restorer = restorer_of(network, degradation or Gaussian(linear(20)), pixel_range=OTHER)
    return Rival(restorer, Normal((1, 8, 12)), method)


def blend(x_t: Tensor, t: Tensor) -> Tensor:
    return 0.7 * x_t.flip(3) + 0.01 * t.view(-1, 1, 1, 1)


INPAINT = Inpaint((1, 8, 12), RANGE, centre="random")
SNOW = Snow(RANGE)


@pytest.mark.parametrize(
    ("method", "degradation"),
    [(RePaint(5), INPAINT), (DDNM(5), INPAINT), (DDNM(5), LINES)],
    ids=["repaint", "ddnm-inpaint", "ddnm-lines"],
)
def test_a_model_that_knows_the_image_restores_it_in_the_range_that_it_is_asked_in(
    method: ZeroShot, degradation: Degradation
) -> None:
    images = pictures()
    known = OTHER.from_uint8(images)
    rivals = [rival(method, lambda x_t, t: known + 0 * x_t)]
    restorer = restorer_of(blend, degradation)
    restoration = Restoration(restorer, Cold(), t=4, rivals=rivals)
    (found,) = restoration.batches(images, len(images), seed=0)
    torch.testing.assert_close(found[method.stage], found["original"], rtol=0, atol=2e-6)
    assert not torch.equal(found["degraded"], found["original"])


def test_every_method_is_a_stage_of_the_same_x_t_whatever_other_stages_there_are() -> None:
    methods: list[ZeroShot] = [RePaint(5, repeats=2), DDNM(4, repeats=1), DPS(6)]
    restorer = restorer_of(blend, INPAINT)
    rivals = [rival(method, blend) for method in methods]
    restoration = Restoration(restorer, Cold(3), t=9, refine=True, rivals=rivals)
    assert restoration.stages[-3:] == tuple(METHODS) == ("repaint", "ddnm", "dps")
    images = pictures()
    before = restoration.num_calls()
    batches = list(restoration.batches(images, 3, seed=7))
    assert restoration.num_calls() - before == 2 * restoration.num_evaluations()
    for k, found in enumerate(batches):
        assert tuple(found) == restoration.stages
        for name, (alone,) in zip(METHODS, zip(rivals, strict=True), strict=True):
            other = Restoration(restorer, Cold(), t=9, rivals=[alone])
            again = list(other.batches(images, 3, seed=7))[k]
            assert torch.equal(found[name], again[name])
            assert torch.equal(found["degraded"], again["degraded"])
    # By hand: the noise of x_t is that of the cold run, the draws those of the method.
    draws, own = generator(7, "restore", 1), generator(7, "restore", 1, "ddnm")
    x_0 = RANGE.from_uint8(images[3:])
    noise = INPAINT.draw_noise(x_0, draws)
    x_t = INPAINT(x_0, torch.tensor([9, 9]), noise)
    assert torch.equal(rivals[1].restored(restorer, x_t, 9, noise, own, None), batches[1]["ddnm"])
    evaluations = {"direct": 1, "algorithm_1": 3, "algorithm_1_refined": 4, "algorithm_2": 3,
                   "algorithm_2_refined": 4, "repaint": 9, "ddnm": 4, "dps": 6}  # fmt: skip
    assert restoration.evaluations() == evaluations
    assert set(restoration.seconds) == set(evaluations)


class Told(torch.nn.Module):
    """A class-conditional network that keeps the labels that it is given."""

    def __init__(self, label_dropout: float) -> None:
        super().__init__()
        self.num_classes, self.label_dropout = 3, label_dropout
        self.anchor = torch.nn.Parameter(torch.zeros(()))
        self.seen: set[tuple[int, ...]] = set()

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        self.seen.add(tuple(labels.tolist()))
        return 0.5 * x_t


def test_a_conditional_rival_is_told_the_labels_that_the_run_is_told() -> None:
    images, labels = pictures(2), torch.tensor([2, 0])

    def seen(label_dropout: float, own: torch.nn.Module) -> set[tuple[int, ...]]:
        network = Told(label_dropout)
        hot = Restorer(network, Gaussian(linear(20)), Clean(), OTHER)
        rivals = [Rival(hot, Normal((1, 8, 12)), DDNM(3))]
        restorer = Restorer(own, LINES, Clean(), RANGE)
        told = labels if isinstance(own, Told) else None
        restoration = Restoration(restorer, Cold(), rivals=rivals)
        list(restoration.batches(images, 2, seed=0, labels=told))
        return network.seen

    plain = restorer_of(blend, LINES).network
    assert seen(0, Told(0)) == {(2, 0)}
    assert seen(0.1, plain) == {(-1, -1)}
    with pytest.raises(ValueError, match="has not learnt to go without labels"):
        seen(0, plain)


@pytest.mark.parametrize(
    ("method", "degradation", "expected"),
    [
        (RePaint(), LINES, "repaint needs a degradation that masks pixels, as inpaint does, and"),
        (DDNM(), SNOW, "ddnm needs a linear degradation with a pseudo-inverse, and Snow has none"),
        (DPS(), Gaussian(linear(5)), "dps restores what is degraded in a known way, got Gaussian"),
        (DPS(), Paired(), "dps restores what is degraded in a known way, got Paired"),
    ],
    ids=["repaint", "ddnm", "noise", "pairs"],
)
def test_what_a_method_cannot_invert_is_refused(
    method: ZeroShot, degradation: Degradation, expected: str
) -> None:
    rivals = [rival(method.at_most(20), blend)]
    with pytest.raises(ValueError, match=expected):
        Restoration(restorer_of(blend, degradation), Cold(), rivals=rivals)


def test_a_rival_is_a_gaussian_model() -> None:
    with pytest.raises(ValueError, match="DPS needs a degradation of the kind Gaussian, got Line"):
        rival(DPS(5), blend, LineNoise((1, 8, 12), "row", "random"))
