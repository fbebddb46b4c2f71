"""A model of a hundred weights, five batches, and a trainer without anything else."""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.objectives import MSE
from thaw.diffusion.predictions import Clean
from thaw.diffusion.priors.empirical import Empirical
from thaw.diffusion.restorer import Restorer
from thaw.pixels import PixelRange
from thaw.training.ema import EMA
from thaw.training.module import DiffusionModule

SHAPE = (1, 8, 8)
RANGE = PixelRange(-0.5, 0.5)


class Network(nn.Sequential):
    """Two convolutions that do not look at t."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 1, 3, padding=1))

    def forward(self, x_t: Tensor, t: Tensor | None = None) -> Tensor:
        output: Tensor = super().forward(x_t)
        return output


def make_restorer(network: nn.Module | None = None) -> Restorer:
    """The same weights at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = network or Network()
    return Restorer(network, LineAverage(SHAPE, "column", "random"), Clean(), RANGE)


def make_module(
    restorer: Restorer | None = None,
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
    ema: EMA | None = None,
) -> DiffusionModule:
    prior = Empirical(SHAPE, RANGE, num_images=4)
    restorer = restorer or make_restorer()
    prior.fit(torch.zeros(4, *SHAPE, dtype=torch.uint8), restorer.degradation)
    parts = (restorer, prior, MSE(), optimizer)
    return DiffusionModule(*parts, None, 0, {}, ema)


def batches(shape: tuple[int, int, int] = SHAPE) -> list[tuple[Tensor, Tensor]]:
    """Five of four images each, the same at every call."""
    draws = torch.Generator().manual_seed(0)
    images = torch.rand(5, 4, *shape, generator=draws) - 0.5
    return [(x_0, torch.zeros(4, dtype=torch.int64)) for x_0 in images]


def fit(
    module: DiffusionModule,
    shape: tuple[int, int, int] = SHAPE,
    loader: DataLoader[Any] | None = None,
    **settings: Any,
) -> pl.Trainer:
    """Train on and validate with ``batches``, or a loader, on a CPU, writing nothing."""
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    trainer = pl.Trainer(
        accelerator="cpu", num_sanity_val_steps=0, **dict.fromkeys(quiet, False) | settings
    )
    loaders = [DataLoader(batches(shape), batch_size=None) for _ in range(2)]  # type: ignore[arg-type]
    trainer.fit(module, loader or loaders[0], loaders[1])
    return trainer
