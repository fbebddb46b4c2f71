"""The share of the correction, lambda: what lies between Algorithms 1 and 2, and next to DDIM."""

from itertools import pairwise

import pytest
import torch
from theory_support import exact_gaussian, random_images, restorer_of, step
from torch import Generator, Tensor

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.blur import Blur
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.restoration import Restoration
from thaw.diffusion.samplers.cold import Cold, Naive
from thaw.diffusion.samplers.gaussian import DDIM, Ancestral
from thaw.diffusion.schedules import cosine, edm, flow, linear

SHAPE = (1, 12, 12)
LINES = LineAverage(SHAPE, "column", "random")
DEGRADATIONS = {
    "lines": LINES,
    "orders of their own": LineAverage(SHAPE, "row", "shuffled"),
    "blur": Blur(SHAPE, num_steps=6, kernel_size=5, sigma=1.0),
    "noise": Gaussian(linear(10)),
}
every_degradation = pytest.mark.parametrize("name", DEGRADATIONS)


def wrong(x_t: Tensor, t: Tensor) -> Tensor:
    return 0.4 * (7 * x_t + t.view(-1, 1, 1, 1)).sin()


def at(degradation: Degradation, x: Tensor, t: int, noise: Tensor) -> Tensor:
    x_t: Tensor = degradation(x, torch.full((len(x),), t), noise)
    return x_t


def start(degradation: Degradation) -> tuple[Tensor, Tensor]:
    """x_T in float32, as in a run, and its noise."""
    x_0 = random_images(3, *SHAPE).float()
    noise = degradation.draw_noise(x_0, Generator().manual_seed(0))
    return at(degradation, x_0, degradation.num_steps, noise), noise


@every_degradation
@pytest.mark.parametrize("num_steps", [None, 3])
@pytest.mark.parametrize("sampler", [Cold, Naive, Cold(correction=0)], ids=["2", "1", "0"])
def test_0_and_1_are_the_two_algorithms_bit_for_bit(
    name: str, num_steps: int | None, sampler: Cold | type[Cold]
) -> None:
    """As they stand in the paper, written out."""
    degradation = DEGRADATIONS[name]
    x_t, noise = start(degradation)
    restorer = restorer_of(wrong, degradation)
    chosen = sampler() if isinstance(sampler, type) else sampler
    chosen = chosen.at_most(num_steps or degradation.num_steps)
    found = chosen.sample(restorer, x_t, noise)
    for t, s in pairwise(chosen.times(degradation.num_steps)):
        x_0_hat = restorer(x_t, torch.full((3,), t), noise).clamp(-0.5, 0.5)
        at_t, at_s = (at(degradation, x_0_hat, step, noise) for step in (t, s))
        x_t = x_t - at_t + at_s if chosen.correction else at_s
    assert torch.equal(found, x_t)


@every_degradation
def test_between_them_a_step_is_between_theirs(name: str) -> None:
    degradation = DEGRADATIONS[name]
    x_0_hat, x_t = random_images(3, *SHAPE), random_images(3, *SHAPE, seed=1)
    noise = degradation.draw_noise(x_t, Generator().manual_seed(0))
    last = degradation.num_steps
    one, two, between = (
        step(sampler, x_t, x_0_hat, last, last // 2, noise, degradation)
        for sampler in (Naive(), Cold(), Cold(correction=0.25))
    )
    assert (one - two).abs().max() > 0.01
    torch.testing.assert_close(between, 0.75 * one + 0.25 * two, rtol=0, atol=1e-7)


def test_it_changes_linearly_from_T_to_0() -> None:  # noqa: N802
    sampler = Cold(correction=0.8, correction_end=0.2)
    found = [sampler.correction_at(t, LINES) for t in (12, 6, 1, 0)]
    assert found == pytest.approx([0.8, 0.5, 0.25, 0.2])
    assert [Cold(correction=0.8).correction_at(t, LINES) for t in (12, 1)] == [0.8, 0.8]
    x_t, noise = start(LINES)
    restorer = restorer_of(wrong, LINES)
    (_, *states) = sampler.trajectory(restorer, x_t, noise)
    for t, state in zip(range(12, 0, -1), states, strict=True):
        constant = Cold(correction=0.2 + 0.6 * t / 12)
        x_0_hat = restorer(x_t, torch.full((3,), t), noise).clamp(-0.5, 0.5)
        x_t = step(constant, x_t, x_0_hat, t, t - 1, noise, LINES)
        torch.testing.assert_close(state.x_t, x_t, rtol=0, atol=1e-5)


def test_it_is_named_where_it_is_neither_algorithm() -> None:
    names = {
        "Cold, 12 steps": [Cold(), Cold(correction_end=1), Cold(correction=1, correction_end=1.0)],
        "Naive, 12 steps": [Naive()],
        "Cold, 12 steps, correction 0": [Cold(correction=0)],
        "Cold, 12 steps, correction 0.5": [Cold(correction=0.5, correction_end=0.5)],
        "Cold, 12 steps, correction 1 to 0, not clipped": [Cold(correction_end=0, clip=False)],
    }
    for name, samplers in names.items():
        assert [each.describe(LINES) for each in samplers] == [name] * len(samplers)


def test_restored_images_are_named_after_an_algorithm_where_it_is_one() -> None:
    restorer = restorer_of(wrong, LINES)
    both = ("original", "degraded", "direct", "algorithm_1", "algorithm_2")
    for sampler in (Cold(), Cold(correction=0), Cold(correction=1, correction_end=1)):
        assert Restoration(restorer, sampler).stages == both
    images = torch.randint(0, 256, (3, *SHAPE), dtype=torch.uint8)
    plain, other = (
        next(Restoration(restorer, sampler).batches(images, 3, seed=0))
        for sampler in (Cold(), Cold(correction_end=0))
    )
    assert tuple(other) == (*both, "sampled")
    assert all(torch.equal(plain[stage], other[stage]) for stage in both)
    assert (other["sampled"] - other["algorithm_2"]).abs().max() > 0.01


@pytest.mark.parametrize("key", ["correction", "correction_end"])
def test_it_is_from_0_to_1(key: str) -> None:
    for value in (-0.1, 1.1, "half"):
        with pytest.raises(ValueError, match=f"^{key} must be a number from 0 to 1"):
            Cold(**{key: value})  # type: ignore[arg-type]


TABLES = {"cosine": cosine(40), "flow": flow(40), "edm": edm(40)}
every_table = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
STEPS = [(40, 39), (40, 10), (25, 24), (7, 2), (2, 1), (3, 0)]
every_step = pytest.mark.parametrize(("t", "s"), STEPS)


def normal(seed: int) -> Tensor:
    draws = Generator().manual_seed(seed)
    return torch.randn(3, *SHAPE, generator=draws, dtype=torch.float64)


@every_table
@every_step
@pytest.mark.parametrize("correction", [0.0, 0.3, 1.0])
def test_with_the_noise_inferred_it_is_ddim_whatever_the_correction(
    correction: float, t: int, s: int, table: Tensor
) -> None:
    noising, (a_t, b_t), x_t, x_0_hat = exact_gaussian(table), table[t], normal(0), normal(1)
    inferred = (x_t - a_t * x_0_hat) / b_t
    x_s = step(Cold(correction=correction), x_t, x_0_hat, t, s, inferred, noising)
    expected = step(DDIM(), x_t, x_0_hat, t, s, x_t, noising)
    torch.testing.assert_close(x_s, expected, rtol=1e-9, atol=1e-12)


@every_table
@every_step
def test_the_correction_b_s_by_b_t_is_ddim_whatever_the_noise(
    t: int, s: int, table: Tensor
) -> None:
    noising, x_t, x_0_hat = exact_gaussian(table), normal(0), normal(1)
    correction = (table[s, 1] / table[t, 1]).item()
    x_s = step(Cold(correction=correction), x_t, x_0_hat, t, s, normal(2), noising)
    expected = step(DDIM(), x_t, x_0_hat, t, s, x_t, noising)
    torch.testing.assert_close(x_s, expected, rtol=1e-9, atol=1e-12)


@every_table
@every_step
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_with_noise_drawn_anew_the_mean_is_that_of_ddims_eta(
    eta: float, t: int, s: int, table: Tensor
) -> None:
    """And the deviation of what is drawn is b_s - lambda b_t, where DDIM's is sigma.

    DDIM's step is mean + sigma z, with z known here by the generator's seed.
    """
    noising, (a_t, b_t), (a_s, b_s) = exact_gaussian(table), table[t], table[s]
    x_t, x_0_hat = normal(0), normal(1)
    sigma = eta * b_s / b_t * (b_t**2 - b_s**2 * a_t**2 / a_s**2).sqrt()
    correction = (b_s**2 - sigma**2).sqrt() / b_t
    assert 0 <= correction <= 1
    if eta == 1:
        assert correction == pytest.approx((a_t * b_s**2 / (a_s * b_t**2)).item(), abs=1e-12)
    ddim = Ancestral() if eta == 1 else DDIM(eta=eta)
    drawn = step(ddim, x_t, x_0_hat, t, s, x_t, noising, Generator().manual_seed(5))
    mean = drawn - sigma * normal(5)
    of_ours = b_s - correction * b_t
    found = step(Cold(correction=correction.item()), x_t, x_0_hat, t, s, normal(6), noising)
    torch.testing.assert_close(found - of_ours * normal(6), mean, rtol=1e-9, atol=1e-12)
    noise_left = (correction * b_t) ** 2 + of_ours**2
    assert noise_left <= b_s**2 * (1 + 1e-12)
    if eta > 0 and s > 0 and correction > 0:
        assert noise_left < b_s**2 * (1 - 1e-6)


def test_images_are_restored_with_a_share_of_their_own() -> None:
    """``restoring`` replaces the correction, also a changing one; without it both are the same."""
    restorer = restorer_of(wrong, LINES)
    generating = Cold(4, correction=0.75, correction_end=0.2, restoring=1.0)
    assert generating.describe(LINES) == "Cold, 4 steps, correction 0.75 to 0.2"
    restoration = Restoration(restorer, generating)
    assert (restoration.stages[-1], restoration.describe()) == ("algorithm_2", "Cold, 4 steps")
    assert Restoration(restorer, Cold(4, correction=0.75)).stages[-1] == "sampled"
    x_T, noise = start(LINES)
    assert torch.equal(
        restoration.restored(x_T, noise)["algorithm_2"], Cold(4).sample(restorer, x_T, noise)
    )
    plain = Cold(4, correction=0.75, correction_end=0.2)
    assert torch.equal(generating.sample(restorer, x_T, noise), plain.sample(restorer, x_T, noise))
