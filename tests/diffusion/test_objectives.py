"""Objectives: the loss by hand, the steps that are trained, and the generators."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from theory_support import random_images, restorer_of
from torch import Generator, Tensor

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.objectives import L1, MSE, Huber, Objective
from thaw.diffusion.predictions import Clean, Noise
from thaw.diffusion.schedules import linear
from thaw.diffusion.weightings import Weighting

BATCH = (16, 1, 6, 4)


def seeded(seed: int = 3) -> Generator:
    return Generator().manual_seed(seed)


def network(x_t: Tensor, t: Tensor) -> Tensor:
    return (x_t * t.view(-1, 1, 1, 1)).cos()


@pytest.mark.parametrize(("objective", "power"), [(MSE(), 2), (L1(), 1)], ids=["mse", "l1"])
def test_the_noise_loss_is_the_one_by_hand(objective: Objective, power: int) -> None:
    schedule, x_0 = linear(50), random_images(*BATCH)
    loss = objective(restorer_of(network, Gaussian(schedule), Noise()), x_0, seeded())
    draws = seeded()
    t = torch.randint(1, 51, (16,), generator=draws).numpy()
    noise = torch.randn(BATCH, generator=draws, dtype=torch.float64).numpy()
    signal, sigma = (column[t].reshape(-1, 1, 1, 1) for column in schedule.numpy().T)
    x_t = signal * x_0.numpy() + sigma * noise
    error = np.cos(x_t * t.reshape(-1, 1, 1, 1)) - noise
    assert loss.shape == ()
    assert loss.item() == pytest.approx((np.abs(error) ** power).mean(), rel=1e-6)


@pytest.mark.parametrize(("objective", "power"), [(MSE(), 2), (L1(), 1)], ids=["mse", "l1"])
def test_the_clean_loss_is_the_one_by_hand(objective: Objective, power: int) -> None:
    x_0 = random_images(*BATCH)
    degradation = LineAverage(BATCH[1:], "column", "outside_in")
    loss = objective(restorer_of(network, degradation, Clean()), x_0, seeded())
    t = torch.randint(1, 5, (16,), generator=seeded()).numpy()
    x_t = x_0.numpy().copy()
    for image, step in zip(x_t, t, strict=True):
        for column in [0, 3, 1, 2][:step]:
            image[..., column] = image[..., column].mean()
    error = np.cos(x_t * t.reshape(-1, 1, 1, 1)) - x_0.numpy()
    assert loss.item() == pytest.approx((np.abs(error) ** power).mean(), rel=1e-12)


@pytest.mark.parametrize("delta", [0.05, 1.0, 100.0])
def test_huber_is_the_one_by_hand(delta: float) -> None:
    x_0, output = random_images(*BATCH), 3 * random_images(*BATCH, seed=1)
    degradation = LineAverage(BATCH[1:], "column", "random")
    restorer = restorer_of(lambda x_t, t: output, degradation, Clean())
    e = (output - x_0).abs().numpy()
    expected = np.where(e <= delta, e**2 / 2, delta * (e - delta / 2)).mean()
    assert Huber(delta)(restorer, x_0, seeded()).item() == pytest.approx(expected, rel=1e-12)
    # Far from the threshold it is half of the one or a multiple of the other.
    if delta == 100:
        assert expected == pytest.approx(MSE()(restorer, x_0, seeded()).item() / 2)


class ByStep(Weighting[Degradation]):
    """w_t = t, so that a test can tell the weights apart."""

    def __call__(self, degradation: Degradation, prediction: object, t: Tensor) -> Tensor:
        return t.view(-1, 1, 1, 1)


@pytest.mark.parametrize(
    ("kind", "power"), [(MSE, 2), (L1, 1), (lambda **by: Huber(100.0, **by), None)]
)
def test_each_images_error_has_the_weight_of_its_step(
    kind: Callable[..., Objective], power: int | None
) -> None:
    x_0, output = random_images(*BATCH), random_images(*BATCH, seed=1)
    degradation = LineAverage(BATCH[1:], "column", "random")
    restorer = restorer_of(lambda x_t, t: output, degradation, Clean())
    loss = kind(weighting=ByStep())(restorer, x_0, seeded())
    t = torch.randint(1, 5, (16,), generator=seeded()).numpy()
    e = (output - x_0).abs().numpy()
    of_image = (e**power if power else e**2 / 2).mean((1, 2, 3))
    assert loss.item() == pytest.approx((t * of_image).mean(), rel=1e-12)


@pytest.mark.parametrize(
    "degradation",
    [Gaussian(linear(5)), LineAverage((1, 6, 4), "column", "random"), Gaussian(linear(1))],
    ids=["gaussian-5", "columns-4", "gaussian-1"],
)
def test_every_step_from_1_to_T_is_trained_equally_often(degradation: Degradation) -> None:  # noqa: N802
    """Sampling starts at T, so T is among them; 0 has nothing to learn, so it is not."""
    seen: list[Tensor] = []

    def spy(x_t: Tensor, t: Tensor) -> Tensor:
        seen.append(t)
        return x_t

    restorer, draws = restorer_of(spy, degradation), seeded()
    for _ in range(20):
        L1()(restorer, torch.zeros(100, 1, 6, 4), draws)
    counts = torch.cat(seen).bincount().tolist()
    num_steps = degradation.num_steps
    assert counts[0] == 0
    assert len(counts) == num_steps + 1
    # Five standard deviations of a binomial count of 2,000 draws.
    share = 1 / num_steps
    bound = 5 * (2000 * share * (1 - share)) ** 0.5
    assert all(abs(count - 2000 * share) <= bound for count in counts[1:])
