"""Importance-sampled time steps: the published history, no bias, and an exact resume."""

import copy
import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from theory_support import restorer_of
from torch import Generator, Tensor, nn

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.objectives import MSE
from thaw.diffusion.predictions import Noise
from thaw.diffusion.schedules import linear
from thaw.diffusion.timesteps import LossSecondMoment
from thaw.diffusion.weightings import Weighting

CPU = torch.device("cpu")


def seeded(seed: int = 3) -> Generator:
    return Generator().manual_seed(seed)


def record(timesteps: LossSecondMoment, t: Tensor, losses: Tensor) -> None:
    """Errors ``[B, 1, 2, 3]`` and weights whose mean over each image is its loss."""
    spread = torch.tensor([0.2, 1.8, 1.0, 0.5, 1.5, 1.0]).view(1, 1, 2, 3)
    timesteps.record(t, 4 * losses.view(-1, 1, 1, 1) * spread, torch.full((len(t), 1, 1, 1), 0.25))


def filled(losses: Tensor, history: int = 3, uniform_share: float = 0.001) -> LossSecondMoment:
    """With ``losses[t - 1]`` recorded ``history`` times for each t."""
    timesteps = LossSecondMoment(history, uniform_share)
    timesteps.draw(1, Gaussian(linear(len(losses))), seeded(), CPU)
    t = torch.arange(1, len(losses) + 1).repeat(history)
    record(timesteps, t, losses.repeat(history))
    return timesteps


class Published:
    """``LossSecondMomentResampler`` of Nichol and Dhariwal's code, one loss after another."""

    def __init__(self, num_steps: int, history: int, uniform_share: float) -> None:
        self.history, self.uniform_share = history, uniform_share
        self.losses: list[list[float]] = [[] for _ in range(num_steps)]

    def update(self, t: list[int], losses: list[float]) -> None:
        for step, loss in zip(t, losses, strict=True):
            self.losses[step - 1] = [*self.losses[step - 1], loss][-self.history :]

    def probabilities(self) -> np.ndarray:
        num_steps = len(self.losses)
        if any(len(losses) < self.history for losses in self.losses):
            return np.full(num_steps, 1 / num_steps)
        weights = np.sqrt(np.mean(np.square(self.losses), axis=-1))
        weights /= weights.sum()
        return weights * (1 - self.uniform_share) + self.uniform_share / num_steps


@pytest.mark.parametrize(
    ("num_steps", "history", "batch"),
    [(3, 4, 50), (7, 10, 16), (40, 2, 9), (1, 1, 5), (5, 3, 1)],
)
def test_probabilities_are_those_of_the_published_resampler(
    num_steps: int, history: int, batch: int
) -> None:
    """Batches in which a step comes more often than the history is long, too."""
    timesteps = LossSecondMoment(history, uniform_share=0.01)
    published = Published(num_steps, history, uniform_share=0.01)
    draws, seen, degradation = seeded(), [], Gaussian(linear(num_steps))
    for _ in range(30):
        t, _factors = timesteps.draw(batch, degradation, draws, CPU)
        losses = t * torch.rand(batch, generator=draws)
        record(timesteps, t, losses)
        published.update(t.tolist(), losses.tolist())
        p = timesteps.probabilities().double().numpy()
        assert p[0] == 0
        np.testing.assert_allclose(p[1:], published.probabilities(), rtol=1e-5)
        seen.append(p)
    if num_steps > 1:  # both stages were met
        assert np.ptp(seen[0][1:]) == 0 or batch >= num_steps * history
        assert np.ptp(seen[-1][1:]) > 0.01 or min(timesteps.counts[1:]) < history


def test_the_expected_loss_is_that_of_uniform_steps() -> None:
    """sum_t p(t) L_t / (T p(t)) = mean_t L_t, with the p and the factors that are in use."""
    losses = torch.tensor([9.0, 0.5, 1.0, 4.0, 0.0])
    timesteps = filled(losses, uniform_share=0.05)
    p = timesteps.probabilities()[1:]
    t, factors = timesteps.draw(4000, Gaussian(linear(5)), seeded(), CPU)
    factor_of = torch.stack([factors[t == step].flatten()[0] for step in range(1, 6)])
    torch.testing.assert_close(factors.flatten(), factor_of[t - 1])
    assert p.sum().item() == pytest.approx(1, rel=1e-6)
    assert (p * factor_of * losses).sum().item() == pytest.approx(losses.mean().item(), rel=1e-6)
    # The draws follow that p: five standard deviations of a binomial share.
    shares = t.bincount(minlength=6)[1:] / 4000
    assert ((shares - p).abs() <= 5 * (p * (1 - p) / 4000).sqrt()).all()
    np.testing.assert_allclose(p, 0.95 * losses / losses.sum() + 0.01, rtol=1e-5)


def test_without_a_gradient_steps_are_uniform_and_nothing_is_recorded() -> None:
    timesteps = filled(torch.tensor([9.0, 0.1, 0.1, 0.1]))
    kept = copy.deepcopy(timesteps.state_dict())
    restorer = restorer_of(lambda x_t, t: x_t.sin(), Gaussian(linear(4)), Noise())
    x_0 = torch.zeros(6, 1, 3, 3)
    with torch.no_grad():
        validation = MSE(timesteps=timesteps)(restorer, x_0, seeded())
    assert validation.equal(MSE()(restorer, x_0, seeded()))
    assert all(kept[key].equal(value) for key, value in timesteps.state_dict().items())
    assert not MSE(timesteps=timesteps)(restorer, x_0, seeded()).equal(validation)


class ByStep(Weighting[Degradation]):
    """w_t = t."""

    def __call__(self, degradation: Degradation, prediction: object, t: Tensor) -> Tensor:
        return t.view(-1, 1, 1, 1)


def test_the_recorded_loss_is_weighted_but_not_corrected() -> None:
    """What is recorded is L_t itself, whose second moment the method needs."""
    timesteps = filled(torch.tensor([8.0, 1.0]), history=1, uniform_share=0.0)
    restorer = restorer_of(
        lambda x_t, t: t.view(-1, 1, 1, 1).expand_as(x_t), LineAverage((1, 2, 2), "row", "random")
    )
    MSE(ByStep(), timesteps)(restorer, torch.zeros(64, 1, 2, 2), seeded())
    assert timesteps.losses.flatten().tolist() == pytest.approx([0, 1, 2 * 2**2])


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_overflowed_is_not_remembered(loss: float) -> None:
    timesteps = filled(torch.tensor([3.0, 1.0]))
    kept = copy.deepcopy(timesteps.state_dict())
    record(timesteps, torch.tensor([1, 2]), torch.tensor([loss, loss]))
    assert all(kept[key].equal(value) for key, value in timesteps.state_dict().items())


@pytest.mark.parametrize("losses", [[0.0, 0.0], [1e30, 3e30], [1e-30, 3e-30]])
def test_probabilities_stay_finite_whatever_the_size_of_the_losses(losses: list[float]) -> None:
    p = filled(torch.tensor(losses), uniform_share=0.0).probabilities()[1:]
    expected = [0.25, 0.75] if sum(losses) else [0.5, 0.5]
    assert p.tolist() == pytest.approx(expected, rel=1e-6)


def training() -> tuple[nn.Module, Callable[[int], float]]:
    """An objective with history, and the step that trains a scale by it and gives the loss."""
    scale = nn.Parameter(torch.tensor(0.0))
    objective = MSE(timesteps=LossSecondMoment(history=2))
    restorer = restorer_of(lambda x_t, t: scale * x_t, Gaussian(linear(4)), Noise())
    x_0 = torch.rand(16, 1, 4, 4, generator=seeded()) - 0.5
    state = nn.Module()
    state.scale, state.objective = scale, objective

    def step(number: int) -> float:
        loss = objective(restorer, x_0, seeded(number))
        (gradient,) = torch.autograd.grad(loss, scale)
        scale.data -= 0.1 * gradient
        return loss.item()

    return state, step


def test_a_resumed_run_draws_what_the_undisturbed_one_does() -> None:
    state, step = training()
    for number in range(10):
        step(number)
    file = io.BytesIO()
    torch.save(state.state_dict(), file)
    undisturbed = [step(number) for number in range(10, 20)]
    file.seek(0)
    resumed_state, resumed_step = training()  # has drawn nothing, knows no T
    resumed_state.load_state_dict(torch.load(file, weights_only=True))
    assert [resumed_step(number) for number in range(10, 20)] == undisturbed
    # The history is what makes it so.
    file.seek(0)
    forgetful_state, forgetful_step = training()
    forgetful_state.scale.data.copy_(torch.load(file, weights_only=True)["scale"])
    assert [forgetful_step(number) for number in range(10, 20)] != undisturbed
