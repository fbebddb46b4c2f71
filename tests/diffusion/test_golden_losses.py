"""Golden losses: twenty steps of training, hot and cold, that a refactor must reproduce.

They were recorded on a CPU in float32. Threads, vector units and convolution kernels move them by
less than TOLERANCE; a change of the theory, of the network or of its initialisation moves them by
far more. After a change that is meant to move them, print ``losses_of(...)`` and store the new ones.
"""

import pytest
import torch
from torch import Generator, Tensor

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.objectives import L1, MSE, Objective
from thaw.diffusion.predictions import Clean, Noise, Prediction
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.schedules import linear
from thaw.networks.cnn import CNN
from thaw.pixels import PixelRange

SHAPE = (1, 28, 28)
TOLERANCE = 1e-5  # relative

GOLDEN = {
    "gaussian-noise-mse": [],
    "column_random-clean-l1": [],
}


def family(name: str) -> tuple[Degradation, Prediction, Objective]:
    if name == "gaussian-noise-mse":
        return Gaussian(linear(100)), Noise(), MSE()
    return LineAverage(SHAPE, "column", "random", seed=0), Clean(), L1()


def fixed_images() -> Tensor:
    """Sixteen smooth patterns in [-0.5, 0.5], without a random number."""
    k = torch.arange(16, dtype=torch.float64).view(16, 1, 1, 1)
    y = torch.arange(28, dtype=torch.float64).view(1, 1, 28, 1) / 28
    x = torch.arange(28, dtype=torch.float64).view(1, 1, 1, 28) / 28
    return (0.5 * torch.sin((k + 1) * y + 2 * x + k) * torch.cos((k % 5) * x)).float()


def losses_of(name: str) -> list[float]:
    degradation, prediction, objective = family(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = CNN(SHAPE, degradation.num_steps, hidden=[4, 4])
    restorer = Restorer(network, degradation, prediction, PixelRange(-0.5, 0.5))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    x_0, losses = fixed_images(), []
    for step in range(20):
        loss = objective(restorer, x_0, Generator().manual_seed(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", GOLDEN)
def test_twenty_steps_give_the_golden_losses(name: str) -> None:
    assert losses_of(name) == pytest.approx(GOLDEN[name], rel=TOLERANCE)
