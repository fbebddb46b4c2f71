"""Blur and noise in the basis of the cosine transform: the papers' equations and every limit."""

import math
from itertools import product

import pytest
import torch
from scipy import fft
from theory_support import exact_gaussian, random_images, restorer_of, seeded, step
from torch import Tensor

from thaw.diffusion.degradations.blur_noise import BlurNoise
from thaw.diffusion.degradations.gaussian import Noising
from thaw.diffusion.degradations.line_noise import LineNoise
from thaw.diffusion.objectives import MSE, trivial_loss
from thaw.diffusion.predictions import (
    EDM,
    Clean,
    Flow,
    Noise,
    Prediction,
    Velocity,
)
from thaw.diffusion.priors.normal import Normal
from thaw.diffusion.samplers.base import Sampler
from thaw.diffusion.samplers.cold import Cold, Dissipation, Naive
from thaw.diffusion.samplers.gaussian import DDIM, Ancestral
from thaw.diffusion.schedules import constant, cosine, edm, flow, linear

SHAPE = (2, 6, 8)
T = 20


def exact(degradation: BlurNoise) -> BlurNoise:
    """With float64 tables, so that identities hold to rounding."""
    for name, buffer in degradation.named_buffers():
        setattr(degradation, name, buffer.double())
    degradation.rows, degradation.columns = (
        torch.from_numpy(fft.dct(torch.eye(side).double().numpy(), axis=0, norm="ortho"))
        for side in SHAPE[1:]
    )
    signal, sigma, tau, eigenvalues = degradation._exact
    degradation.signal, degradation.sigma, degradation.tau = signal, sigma, tau
    degradation.eigenvalues = eigenvalues
    return degradation


def normal(seed: int) -> Tensor:
    return torch.randn(4, *SHAPE, generator=seeded(seed), dtype=torch.float64)


def at(degradation: Noising, x_0: Tensor, t: int, noise: Tensor) -> Tensor:
    x_t: Tensor = degradation(x_0, torch.full((len(x_0),), t), noise)
    return x_t


def test_the_basis_is_scipys_and_the_tables_are_cast_once() -> None:
    plain, precise = BlurNoise(SHAPE, cosine(T)), exact(BlurNoise(SHAPE, cosine(T)))
    x = random_images(4, *SHAPE)
    expected = torch.from_numpy(fft.dctn(x.numpy(), axes=(2, 3), norm="ortho"))
    torch.testing.assert_close(precise.to_basis(x), expected, rtol=0, atol=1e-13)
    torch.testing.assert_close(precise.from_basis(expected), x, rtol=0, atol=1e-13)
    torch.testing.assert_close(plain.to_basis(x.float()), expected.float(), rtol=0, atol=1e-6)
    for t in (1, 7, T):
        scales = plain.scales(torch.tensor([t]))
        for ours, theirs in zip(scales, precise.scales_at(t), strict=True):
            torch.testing.assert_close(ours[0, 0], theirs.float().expand_as(ours[0, 0]))


def blurring_diffusion(t: float) -> tuple[Tensor, Tensor]:
    """``get_alpha_sigma`` of Hoogeboom and Salimans 2022, appendix A, as published; t in 0..1.

    Its schedule of the noise is the cosine without an offset.
    """
    height, width = SHAPE[1:]
    sigma_blur = 20.0 * math.sin(t * math.pi / 2) ** 2
    dissipation_time = sigma_blur**2 / 2
    freqs_h = math.pi * torch.linspace(0, height - 1, height, dtype=torch.float64) / height
    freqs_w = math.pi * torch.linspace(0, width - 1, width, dtype=torch.float64) / width
    labda = freqs_h[:, None] ** 2 + freqs_w[None, :] ** 2
    scaling = torch.exp(-labda * dissipation_time) * (1 - 0.001) + 0.001
    a, sigma = math.cos(t * math.pi / 2), math.sin(t * math.pi / 2)
    return a * scaling, torch.tensor(sigma)


def test_a_and_b_are_those_of_blurring_diffusion() -> None:
    degradation = BlurNoise(SHAPE, cosine(1000, offset=0.0))
    for t in (1, 50, 300, 700, 990):
        alpha, sigma = blurring_diffusion(t / 1000)
        scales = degradation.scales_at(t)
        torch.testing.assert_close(scales.signal, alpha, rtol=1e-9, atol=1e-12)
        assert scales.sigma.item() == pytest.approx(sigma.item(), rel=1e-6)


def test_a_step_is_the_posterior_of_blurring_diffusion() -> None:
    """Their ``denoise``: coefficients of z_t and of the noise that it predicts, by frequency."""
    degradation = exact(BlurNoise(SHAPE, cosine(T)))
    for t, s in ((T, T - 1), (9, 8), (9, 3), (2, 1)):
        (alpha_t, sigma_t), (alpha_s, sigma_s) = map(degradation.scales_at, (t, s))
        alpha_ts = alpha_t / alpha_s
        alpha_st = 1 / alpha_ts
        sigma2_ts = sigma_t**2 - alpha_ts**2 * sigma_s**2
        sigma2_denoise = 1 / (1 / sigma_s**2 + alpha_ts**2 / sigma2_ts)
        coeff_term1 = alpha_ts * sigma2_denoise / sigma2_ts
        coeff_term2 = alpha_st * sigma2_denoise / sigma_s**2
        x_t, x_0_hat, z = normal(0), random_images(4, *SHAPE), normal(5)
        u_t = degradation.to_basis(x_t)
        u_eps = (u_t - alpha_t * degradation.to_basis(x_0_hat)) / sigma_t
        mean = coeff_term1 * u_t + coeff_term2 * (u_t - sigma_t * u_eps)
        expected = degradation.from_basis(mean + sigma2_denoise.sqrt() * degradation.to_basis(z))
        for sampler in (Ancestral(), DDIM(eta=1.0)):
            x_s = step(sampler, x_t, x_0_hat, t, s, x_t, degradation, seeded(5))
            torch.testing.assert_close(x_s, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("schedule", [cosine(T), flow(T), linear(T), edm(T)])
def test_without_blur_it_is_gaussian_noise(schedule: Tensor) -> None:
    """x_t, each prediction, each sampler: to rounding."""
    blurred, gaussian = (
        exact(BlurNoise(SHAPE, schedule, blur_to_noise=0.0)),
        exact_gaussian(schedule),
    )
    x_0, noise, t = random_images(4, *SHAPE), normal(1), torch.tensor([0, 1, 9, T])
    x_t = gaussian(x_0, t, noise)
    torch.testing.assert_close(blurred(x_0, t, noise), x_t, rtol=0, atol=1e-12)
    for prediction in (Noise(), Velocity(), Flow()):
        ours, theirs = (prediction.target(x_0, noise, t, each) for each in (blurred, gaussian))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    x_T = noise * schedule[-1].norm()

    def network(x: Tensor, t: Tensor) -> Tensor:
        return (x + t.view(-1, 1, 1, 1)).sin()

    for sampler in (DDIM(7), DDIM(7, eta=0.5), Ancestral()):
        ours, theirs = (
            sampler.sample(restorer_of(network, each), x_T, noise, seeded())
            for each in (blurred, gaussian)
        )
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


def dct_blur(x: Tensor, blur: float) -> Tensor:
    """``DCTBlur`` of the code of Rissanen et al. 2022: exp(-frequencies^2 blur^2 / 2)."""
    height, width = x.shape[2:]
    freqs_h = math.pi * torch.linspace(0, height - 1, height, dtype=torch.float64) / height
    freqs_w = math.pi * torch.linspace(0, width - 1, width, dtype=torch.float64) / width
    squared = freqs_h[:, None] ** 2 + freqs_w[None, :] ** 2
    damped = (
        fft.dctn(x.numpy(), axes=(2, 3), norm="ortho") * torch.exp(-squared * blur**2 / 2).numpy()
    )
    return torch.from_numpy(fft.idctn(damped, axes=(2, 3), norm="ortho"))


HEAT = {"growth": "exponential", "min_damping": 0.0}


def heat(**changes: float | str | None) -> BlurNoise:
    return exact(BlurNoise(SHAPE, constant(T), **HEAT | changes))  # type: ignore[arg-type]


def test_without_noise_it_is_blur_by_the_cosine_transform() -> None:
    """Whatever the schedule of the noise that is left out."""
    x_0, noise = random_images(4, *SHAPE), normal(1)
    for schedule in (cosine(T), constant(T), flow(T), edm(T)):
        cold = exact(BlurNoise(SHAPE, schedule, blur_to_noise=None, **HEAT))  # type: ignore[arg-type]
        assert not cold.leaves_nothing
        for t in (1, 8, T):
            width = 0.5 * 40 ** ((t - 1) / (T - 1))
            expected = dct_blur(x_0, width)
            torch.testing.assert_close(at(cold, x_0, t, noise), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("sampler", [DDIM(), DDIM(eta=0.5), Ancestral()], ids=["0", "0.5", "1"])
def test_without_noise_the_brightness_never_changes(sampler: Sampler) -> None:
    """Whatever the network says: it is not blurred, and there is nothing else to take back."""
    cold = exact(BlurNoise(SHAPE, cosine(T), blur_to_noise=None))
    x_0, other = random_images(4, *SHAPE), random_images(4, *SHAPE, seed=9)
    wrong = restorer_of(lambda x_t, t: other, cold)
    x_T, brightness = at(cold, x_0, T, normal(1)), x_0.mean((1, 2, 3))
    for state in sampler.trajectory(wrong, x_T, normal(1), seeded(2)):
        torch.testing.assert_close(state.x_t.mean((1, 2, 3)), brightness, rtol=0, atol=1e-12)


def test_heat_is_that_of_rissanen() -> None:
    """Widths even in their logarithm from 0.5 to 20, and noise of 0.01 at every step."""
    degradation, x_0, noise = heat(), random_images(4, *SHAPE), normal(1)
    widths = torch.linspace(math.log(0.5), math.log(20), T, dtype=torch.float64).exp()
    for t in (1, 8, T):
        expected = dct_blur(x_0, widths[t - 1].item()) + 0.01 * noise
        torch.testing.assert_close(at(degradation, x_0, t, noise), expected, rtol=0, atol=1e-12)
    assert torch.equal(at(degradation, x_0, 0, noise), x_0)


def test_heat_is_sampled_as_rissanen_do() -> None:
    """Their algorithm 2 in T steps, with the network that predicts the mean of the next image."""
    degradation = heat()
    widths = [0.0, *torch.linspace(math.log(0.5), math.log(20), T).double().exp().tolist()]

    def network(x_t: Tensor, t: Tensor) -> Tensor:
        return (0.9 * x_t + t.view(-1, 1, 1, 1) / T).sin() / 2

    u, draws = normal(1) / 10, seeded(3)
    for k in range(T, 0, -1):
        u = dct_blur(network(u, torch.full((4,), k)), widths[k - 1])
        if k > 1:
            u = u + 0.0125 * torch.randn(u.shape, generator=draws, dtype=u.dtype)
    x_0 = Dissipation().sample(
        restorer_of(network, degradation), normal(1) / 10, normal(1), seeded(3)
    )
    torch.testing.assert_close(x_0, u, rtol=0, atol=1e-6)
    assert (
        Dissipation(5).describe(degradation) == "Dissipation, 5 steps, correction 0, noise 0.0125"
    )


def test_with_the_noise_of_training_it_is_algorithm_1_with_new_noise() -> None:
    degradation, x_0_hat = heat(), random_images(4, *SHAPE)
    x_s = step(Dissipation(noise=0.01), normal(1), x_0_hat, 9, 5, normal(2), degradation, seeded(4))
    expected = step(Naive(), normal(1), x_0_hat, 9, 5, normal(4), degradation)
    torch.testing.assert_close(x_s, expected, rtol=0, atol=1e-12)


def test_with_a_correction_the_mean_of_x_t_is_kept_in_part() -> None:
    degradation, x_t, x_0_hat = heat(), normal(1), random_images(4, *SHAPE)
    sampler = Dissipation(correction=0.9, noise=0.2)
    x_s = step(sampler, x_t, x_0_hat, 9, 5, normal(2), degradation, seeded(4))
    m_t, m_s = (at(degradation, x_0_hat, t, torch.zeros_like(x_t)) for t in (9, 5))
    expected = m_s + 0.9 * (x_t - m_t) + 0.2 * normal(4)
    torch.testing.assert_close(x_s, expected, rtol=0, atol=1e-12)


def test_the_knob_goes_straight_from_blur_to_blurring_diffusion_and_on_to_noise() -> None:
    x_0, noise, schedule = random_images(4, *SHAPE), normal(1), cosine(T)
    cold, warm, both, less = (
        exact(BlurNoise(SHAPE, schedule, blur_to_noise=ratio)) for ratio in (None, 4.0, 1.0, 0.25)
    )
    for t in (1, 9, T):
        ends = [at(each, x_0, t, noise) for each in (cold, both)]
        expected = 0.75 * ends[0] + 0.25 * ends[1]
        torch.testing.assert_close(at(warm, x_0, t, noise), expected, rtol=0, atol=1e-12)
    same = exact(BlurNoise(SHAPE, schedule, max_blur=5.0))
    torch.testing.assert_close(at(less, x_0, 9, noise), at(same, x_0, 9, noise), rtol=0, atol=1e-12)
    assert [each.leaves_nothing for each in (cold, warm, both, less)] == [False, False, True, True]


def test_the_normal_prior_is_for_what_ends_in_noise() -> None:
    prior = Normal(SHAPE)
    prior.check(BlurNoise(SHAPE, cosine(T)))
    x_T, eps = prior.draw(3, BlurNoise(SHAPE, edm(T)), seeded())
    torch.testing.assert_close(x_T, eps * (1 + 80**2) ** 0.5)
    for degradation in (heat(), BlurNoise(SHAPE, cosine(T), blur_to_noise=4.0)):
        with pytest.raises(ValueError, match="x_T of BlurNoise shows something of the image"):
            prior.check(degradation)
    with pytest.raises(ValueError, match="x_T of LineNoise shows"):
        prior.check(LineNoise(SHAPE, "column", "random"))


def test_blur_that_shrinks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^min_blur must be at most max_blur=0.2, got 0.5"):
        heat(max_blur=0.2)
    with pytest.raises(ValueError, match="Noise cannot read x_0"):
        restorer_of(lambda x, t: x, heat(), Noise())
    with pytest.raises(ValueError, match="EDM needs a degradation of the kind Gaussian, got Blur"):
        restorer_of(lambda x, t: x, heat(), EDM())
    with pytest.raises(ValueError, match=r"sigma up to 80: take another schedule$"):
        restorer_of(lambda x, t: x, BlurNoise(SHAPE, edm(T)), Velocity())


NOISINGS: dict[str, Noising] = {
    "heat": heat(),
    "blur_noise": exact(BlurNoise(SHAPE, cosine(T))),
    "flow": exact(BlurNoise(SHAPE, flow(T), max_blur=3.0)),
    "warm": exact(BlurNoise(SHAPE, cosine(T), blur_to_noise=4.0)),
    "cold": exact(BlurNoise(SHAPE, cosine(T), blur_to_noise=None)),
}
LINES = LineNoise(SHAPE, "column", "random", num_steps=T, overlap=0.3)
LINES.signal, LINES.sigma = LINES.table.unbind(-1)
NOISINGS["lines"] = LINES
EVERY: list[Sampler] = [DDIM(), DDIM(6, eta=0.5), Ancestral(), Ancestral(variance="large"), Cold(),
                        Naive(7)]  # fmt: skip
TRACES = [(name, Dissipation()) for name in ("heat", "cold")]


@pytest.mark.parametrize(("name", "sampler"), [*product(NOISINGS, EVERY), *TRACES])
def test_a_perfect_restorer_leads_back(name: str, sampler: Sampler) -> None:
    degradation, x_0, noise = NOISINGS[name], random_images(4, *SHAPE), normal(1)
    x_T = at(degradation, x_0, T, noise)
    found = sampler.sample(restorer_of(lambda x, t: x_0, degradation), x_T, noise, seeded())
    torch.testing.assert_close(found, x_0, rtol=0, atol=1e-12)


@pytest.mark.parametrize("prediction", [Clean(), Velocity(), Flow()])
@pytest.mark.parametrize("name", NOISINGS)
def test_what_is_predicted_decodes_to_the_clean_image(name: str, prediction: Prediction) -> None:
    degradation, t = NOISINGS[name], torch.tensor([1, 4, 12, T])
    x_0, noise = random_images(4, *SHAPE), normal(1)
    target = prediction.target(x_0, noise, t, degradation)
    x_0_hat = prediction.decode(target, degradation(x_0, t, noise), t, degradation)
    torch.testing.assert_close(x_0_hat, x_0, rtol=0, atol=1e-9)


@pytest.mark.parametrize("prediction", [Velocity(), Flow()])
@pytest.mark.parametrize("name", [name for name in NOISINGS if name != "cold"])
def test_whoever_knows_the_image_predicts_without_an_error(
    name: str, prediction: Prediction
) -> None:
    """So the loss can come to 0: nothing in the target is noise that x_t does not show."""
    degradation, x_0 = NOISINGS[name], random_images(1, *SHAPE).expand(64, *SHAPE)

    def network(x_t: Tensor, t: Tensor) -> Tensor:
        """Of all the noise this sees only what is in x_t: where b is 0 it answers 0."""
        signal, sigma = degradation.scales(t)
        z_0, is_noisy = degradation.to_basis(x_0), sigma > 0
        eps = (degradation.to_basis(x_t) - signal * z_0) / torch.where(is_noisy, sigma, 1.0)
        q, p = prediction.mixture(degradation.scales(t))  # type: ignore[attr-defined]
        return degradation.from_basis(is_noisy * (p * eps + q * z_0))

    restorer, objective = restorer_of(network, degradation, prediction), MSE()
    loss = objective(restorer, x_0, seeded())
    trivial = trivial_loss(objective, restorer, x_0, seeded())
    assert loss.item() < 1e-12
    assert trivial > 5e-3
