"""Straight paths: InDI, rectified flow, and Algorithm 2 with the end of the path inferred."""

from itertools import pairwise

import pytest
import torch
from theory_support import RANGE, random_images, restorer_of, step
from torch import Generator, Tensor

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.bridge import Bridge
from thaw.diffusion.degradations.fade import Fade
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.inpaint import Inpaint
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.degradations.line_noise import LineNoise
from thaw.diffusion.degradations.pixelate import Pixelate
from thaw.diffusion.degradations.snow import Snow
from thaw.diffusion.priors.normal import Normal
from thaw.diffusion.restoration import Restoration
from thaw.diffusion.samplers.cold import Cold
from thaw.diffusion.samplers.grids import Quadratic
from thaw.diffusion.samplers.straight import InDI
from thaw.diffusion.schedules import flow, linear

SHAPE = (1, 12, 12)
LAST = 20
PURE = linear(30, rescale=True, zero_terminal_snr=True)
ENDS = {
    "pixelate": Pixelate(SHAPE),
    "orders of their own": LineAverage(SHAPE, "column", "shuffled"),
    "line noise": LineNoise(SHAPE, "row", "random"),
    "snow": Snow(RANGE, num_steps=9),
    "noise": Gaussian(PURE),
}
every_end = pytest.mark.parametrize("name", ENDS)
without_noise = pytest.mark.parametrize("name", [name for name in ENDS if name != "noise"])


def at(degradation: Degradation, x: Tensor, t: int, noise: Tensor) -> Tensor:
    x_t: Tensor = degradation(x, torch.full((len(x),), t), noise)
    return x_t


def drawn(degradation: Degradation, x_0: Tensor) -> Tensor:
    return degradation.draw_noise(x_0, Generator().manual_seed(3))


def wrong(x_t: Tensor, t: Tensor) -> Tensor:
    return 0.4 * (7 * x_t + t.view(-1, 1, 1, 1)).sin()


@every_end
def test_it_leads_straight_from_x_0_to_the_end_of_the_other(name: str) -> None:
    """Exactly at both ends, with the other's own noise."""
    other = ENDS[name]
    bridge = Bridge(SHAPE, other, LAST)
    x_0 = random_images(3, *SHAPE)
    noise = drawn(bridge, x_0)
    assert torch.equal(noise, drawn(other, x_0))
    y = at(other, x_0, other.num_steps, noise)
    assert torch.equal(at(bridge, x_0, 0, noise), x_0)
    assert torch.equal(at(bridge, x_0, LAST, noise), y)
    torch.testing.assert_close(at(bridge, x_0, 5, noise), 0.75 * x_0 + 0.25 * y, rtol=0, atol=1e-12)


@pytest.mark.parametrize("last", [LAST, 100, 1000])
def test_with_pure_noise_at_the_end_it_is_rectified_flow_bit_for_bit(last: int) -> None:
    bridge, rectified = Bridge(SHAPE, ENDS["noise"], last), Gaussian(flow(last))
    x_0 = random_images(3, *SHAPE).float()
    eps = drawn(bridge, x_0)
    assert eps.shape == x_0.shape
    for t in range(last + 1):
        assert torch.equal(at(bridge, x_0, t, eps), at(rectified, x_0, t, eps))


@every_end
@pytest.mark.parametrize(("t", "s"), [(20, 19), (20, 0), (13, 4), (1, 0)])
def test_a_step_is_algorithm_2_with_the_end_inferred(name: str, t: int, s: int) -> None:
    """And InDI's update, the Euler step of the flow, and ``Cold`` with the correction s / t."""
    bridge = Bridge(SHAPE, ENDS[name], LAST)
    x_t, x_0_hat = random_images(3, *SHAPE), random_images(3, *SHAPE, seed=1)
    noise = drawn(bridge, x_t)
    x_s = step(InDI(), x_t, x_0_hat, t, s, noise, bridge)
    tau_t, tau_s = t / LAST, s / LAST
    y_hat = (x_t - (1 - tau_t) * x_0_hat) / tau_t
    degraded_t, degraded_s = ((1 - tau) * x_0_hat + tau * y_hat for tau in (tau_t, tau_s))
    delta = tau_t - tau_s
    others = {
        "Algorithm 2": x_t - degraded_t + degraded_s,
        "InDI": delta / tau_t * x_0_hat + (1 - delta / tau_t) * x_t,
        "Euler": x_t - delta * (x_t - x_0_hat) / tau_t,
        "the flow between the ends": x_t - delta * (y_hat - x_0_hat),
        "Cold": step(Cold(correction=s / t), x_t, x_0_hat, t, s, noise, bridge),
    }
    for other in others.values():
        torch.testing.assert_close(x_s, other, rtol=0, atol=1e-6 if name == "noise" else 1e-12)


@every_end
@pytest.mark.parametrize("num_steps", [None, 1, 7])
def test_a_perfect_restorer_leads_along_the_path(name: str, num_steps: int | None) -> None:
    bridge = Bridge(SHAPE, ENDS[name], LAST)
    x_0 = random_images(3, *SHAPE)
    noise = drawn(bridge, x_0)
    restorer = restorer_of(lambda x_t, t: x_0, bridge)
    sampler = InDI(num_steps, grid=Quadratic())
    for state in sampler.trajectory(restorer, at(bridge, x_0, LAST, noise), noise):
        expected = at(bridge, x_0, state.t, noise)
        torch.testing.assert_close(state.x_t, expected, rtol=0, atol=1e-12)
    assert torch.equal(state.x_t, x_0)


@without_noise
def test_noise_at_the_end_comes_behind_that_of_the_other(name: str) -> None:
    other = ENDS[name]
    plain, noisy = Bridge(SHAPE, other, LAST), Bridge(SHAPE, other, LAST, noise=0.1)
    x_0 = random_images(4000, *SHAPE) if name == "pixelate" else random_images(50, *SHAPE)
    noise, own = drawn(noisy, x_0), drawn(other, x_0)
    difference = {t: at(noisy, x_0, t, noise) - at(plain, x_0, t, own) for t in (0, 5, LAST)}
    assert not difference[0].any()
    assert difference[LAST].std().item() == pytest.approx(0.1, rel=0.05)
    assert abs(difference[LAST].mean().item()) < 0.01
    torch.testing.assert_close(difference[5], 0.25 * difference[LAST], rtol=0, atol=1e-12)


def test_noise_in_half_precision_keeps_whole_numbers_whole() -> None:
    """Centres of masks far from 0, next to n in one tensor."""
    shape = (1, 4, 600)
    bridge = Bridge(shape, Inpaint(shape, RANGE, centre="random"), LAST, noise=0.1)
    x_0 = torch.zeros(20, *shape, dtype=torch.bfloat16)
    own, _ = bridge._split(x_0, drawn(bridge, x_0))
    assert torch.equal(own, drawn(bridge.other, x_0))


@every_end
def test_what_x_T_shows_and_its_prior_are_those_of_the_other(name: str) -> None:  # noqa: N802
    other = ENDS[name]
    bridge = Bridge(SHAPE, Bridge(SHAPE, other, 3), LAST)
    assert bridge.end is other
    for known in ("leaves_nothing", "ends_in_noise", "noise_is_known", "condition"):
        assert getattr(bridge, known) == getattr(other, known)
    x_0 = random_images(3, *SHAPE)
    noise = drawn(bridge, x_0)
    try:
        remainder = other.remainder(x_0)
    except ValueError as error:
        with pytest.raises(ValueError, match=str(error)):
            bridge.remainder(x_0)
        return
    assert torch.equal(bridge.remainder(x_0), remainder)
    assert torch.equal(bridge.complete(remainder, noise), other.complete(remainder, noise))


def test_the_normal_prior_starts_a_bridge_to_noise() -> None:
    prior = Normal(SHAPE)
    early = Bridge(SHAPE, Gaussian(linear(100)), LAST)
    assert prior.misfit(Bridge(SHAPE, ENDS["noise"], LAST)) is None
    assert prior.misfit(early) == prior.misfit(early.end)
    assert "of the image's variance" in str(prior.misfit(early))


def test_the_mask_of_the_other_grows_with_the_path() -> None:
    other = Inpaint(SHAPE, RANGE, num_steps=6, centre="random", condition="mask")
    for noise_at_end in (0.0, 0.1):
        bridge = Bridge(SHAPE, other, LAST, noise=noise_at_end)
        x_0 = random_images(3, *SHAPE)
        noise = drawn(bridge, x_0)
        last = other.mask(x_0, torch.full((3,), 6), drawn(other, x_0))
        found = bridge.mask(x_0, torch.tensor([0, 5, LAST]), noise)
        expected = torch.tensor([0, 0.25, 1.0]).view(-1, 1, 1, 1) * last
        torch.testing.assert_close(found, expected.double(), rtol=0, atol=1e-12)


def test_restored_by_both_algorithms_and_along_the_path() -> None:
    bridge = Bridge(SHAPE, ENDS["pixelate"], LAST)
    names = Restoration(restorer_of(wrong, bridge), InDI(4)).stages
    assert names == ("original", "degraded", "direct", "algorithm_1", "algorithm_2", "sampled")
    hot = Bridge(SHAPE, ENDS["noise"], LAST)
    assert Restoration(restorer_of(wrong, hot), InDI(4)).stages[2:] == ("direct", "sampled")
    assert InDI(4).describe(bridge) == "InDI, 4 steps"


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(
        ValueError, match="^noise must be 0 on the way to Gaussian, whose x_T shows"
    ):
        Bridge(SHAPE, ENDS["noise"], noise=0.1)
    with pytest.raises(ValueError, match="^num_steps must be a whole number of at least 2, got 1"):
        Bridge(SHAPE, Fade(), 1)
    with pytest.raises(ValueError, match="^to must be a Degradation, got 'blur'"):
        Bridge(SHAPE, "blur")  # type: ignore[arg-type]
    x_T = random_images(1, *SHAPE)
    with pytest.raises(
        ValueError, match="InDI needs a degradation of the kind StraightPath, got Fade"
    ):
        InDI().sample(restorer_of(wrong, Fade()), x_T, x_T)


def test_times_are_shares_of_its_own_steps() -> None:
    """Whatever the other's steps are."""
    few, many = (Bridge(SHAPE, Fade(steps), LAST) for steps in (1, 50))
    x_0 = random_images(3, *SHAPE)
    noise = drawn(few, x_0)
    for t, s in pairwise(range(LAST, -1, -1)):
        assert torch.equal(at(few, x_0, t, noise), at(many, x_0, t, noise))
        assert (at(few, x_0, t, noise) - at(few, x_0, s, noise)).abs().max() > 1e-3
