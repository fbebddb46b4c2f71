"""The Gaussian samplers side by side with diffusers' schedulers: same tensors, same noise."""

from collections.abc import Callable

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Generator, Tensor

from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.predictions import Noise
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.gaussian import DDIM, Ancestral
from thaw.diffusion.schedules import cosine, linear

RestorerOf = Callable[..., Restorer]
SHAPE = (4, 1, 6, 5)
SCHEDULES = {"linear": linear, "squaredcos_cap_v2": cosine}


def seeded(seed: int = 7) -> Generator:
    return Generator().manual_seed(seed)


def network(x_t: Tensor, t: Tensor) -> Tensor:
    """Some noise predictor that is roughly right, so that trajectories stay tame."""
    return 0.95 * x_t + 0.1 * (2 * x_t + t.view(-1, 1, 1, 1) / 100).sin()


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("clip", [True, False])
def test_each_ancestral_step_is_theirs(
    name: str, variance: str, clip: bool, restorer_of: RestorerOf
) -> None:
    published = DDPMScheduler(
        num_train_timesteps=1000,
        beta_schedule=name,
        variance_type=f"fixed_{variance}",
        clip_sample=clip,
        clip_sample_range=0.5,
    )
    degradation = Gaussian(SCHEDULES[name](1000))
    sampler = Ancestral(variance=variance)
    noise = torch.randn(SHAPE, generator=seeded(1))
    x_0 = torch.rand(SHAPE, generator=seeded(2)) - 0.5
    for t in (1, 2, 10, 500, 900, 999):
        steps = torch.full((4,), t)
        x_t = degradation(x_0, steps, noise)
        eps_hat = network(x_t, steps)
        x_0_hat = restorer_of(network, degradation, Noise())(x_t, steps)
        x_0_hat = x_0_hat.clamp(-0.5, 0.5) if clip else x_0_hat
        x_s = sampler.step(x_t, x_0_hat, t, t - 1, noise, degradation, seeded())
        # Their index t - 1 is our step t: their table has no entry for the clean image.
        theirs = published.step(eps_hat, t - 1, x_t, generator=seeded()).prev_sample
        torch.testing.assert_close(x_s, theirs, rtol=0, atol=2e-4)


@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("clip", [True, False])
def test_the_ancestral_loop_is_theirs(variance: str, clip: bool, restorer_of: RestorerOf) -> None:
    published = DDPMScheduler(
        num_train_timesteps=100,
        variance_type=f"fixed_{variance}",
        clip_sample=clip,
        clip_sample_range=0.5,
    )
    x_T = torch.randn(SHAPE, generator=seeded(1))
    theirs, draws = x_T, seeded()
    for index in published.timesteps.tolist():
        eps_hat = network(theirs, torch.full((4,), index + 1))
        theirs = published.step(eps_hat, index, theirs, generator=draws).prev_sample
    restorer = restorer_of(network, Gaussian(linear(100)), Noise())
    x_0 = Ancestral(variance=variance, clip=clip).sample(restorer, x_T, x_T, seeded())
    torch.testing.assert_close(x_0, theirs, rtol=0, atol=2e-4)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("num_steps", [10, 50])
def test_the_ddim_loop_is_theirs(
    name: str, eta: float, num_steps: int, restorer_of: RestorerOf
) -> None:
    """Clipped, with eps re-derived from the clipped image; their ``trailing`` grid is ours."""
    published = DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule=name,
        clip_sample=True,
        clip_sample_range=0.5,
        timestep_spacing="trailing",
    )
    published.set_timesteps(num_steps)
    sampler = DDIM(num_steps, eta)
    assert (published.timesteps + 1).tolist() == sampler.times(1000)[:-1]
    x_T = torch.randn(SHAPE, generator=seeded(1))
    theirs, draws = x_T, seeded()
    for index in published.timesteps.tolist():
        theirs = published.step(
            network(theirs, torch.full((4,), index + 1)),
            index,
            theirs,
            eta=eta,
            use_clipped_model_output=True,
            generator=draws,
        ).prev_sample
    restorer = restorer_of(network, Gaussian(SCHEDULES[name](1000)), Noise())
    x_0 = sampler.sample(restorer, x_T, x_T, seeded())
    torch.testing.assert_close(x_0, theirs, rtol=0, atol=5e-5)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("t", [100, 500, 900])
def test_an_unclipped_ddim_step_is_theirs(eta: float, t: int, restorer_of: RestorerOf) -> None:
    published = DDIMScheduler(
        num_train_timesteps=1000, clip_sample=False, timestep_spacing="trailing"
    )
    published.set_timesteps(10)
    degradation = Gaussian(linear(1000))
    steps = torch.full((4,), t)
    x_t = torch.randn(SHAPE, generator=seeded(1))
    x_0_hat = restorer_of(network, degradation, Noise())(x_t, steps)
    x_s = DDIM(eta=eta).step(x_t, x_0_hat, t, t - 100, x_t, degradation, seeded())
    eps_hat = network(x_t, steps)
    theirs = published.step(eps_hat, t - 1, x_t, eta=eta, generator=seeded()).prev_sample
    torch.testing.assert_close(x_s, theirs, rtol=0, atol=5e-5)
