"""Golden losses: twenty steps of training, hot and cold, that a refactor must reproduce.

They were recorded on a CPU in float32; float64, another number of threads and other convolution
kernels move them by 3e-7, thirty times less than TOLERANCE. A change of the theory, of the network
or of its initialisation moves them by far more. After one that is meant to, store the new ones:
``losses_of(name)``.
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

# fmt: off
GOLDEN = {
    "gaussian-noise-mse": [
        1.3810526, 1.3128083, 1.2037770, 1.1636997, 1.1088550, 1.0574899, 0.99952799, 0.96150368,
        0.94878888, 0.91128355, 0.93662816, 0.91275424, 0.87268370, 0.90084410, 0.86728925,
        0.89218593, 0.85070843, 0.84055173, 0.85016143, 0.80083728,
    ],
    "column_random-clean-l1": [
        0.44878182, 0.40607792, 0.36132506, 0.32269412, 0.28774935, 0.26303950, 0.24262428,
        0.23553956, 0.22013174, 0.20770052, 0.21058999, 0.20504710, 0.19459920, 0.18830153,
        0.17594050, 0.17866796, 0.16497305, 0.15604305, 0.16516362, 0.15288043,
    ],
}
# fmt: on


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
