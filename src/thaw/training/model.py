"""All of an experiment that its weights belong to: what a checkpoint holds, without Lightning."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from thaw.diffusion.objectives import Objective
from thaw.diffusion.priors.base import Prior
from thaw.diffusion.restorer import Restorer
from thaw.training.ema import EMA


class Model(nn.Module):
    """A restorer with its prior and objective, the average of its weights, and how it is trained.

    Sampling and scoring need no more; :class:`~thaw.training.module.DiffusionModule` trains it.

    Args:
        restorer: the model, trained through its network.
        prior: the distribution of x_T; kept here so that it is saved in the checkpoint.
        objective: ``(restorer, x_0, generator, labels) -> loss``.
        optimizer: ``parameters -> Optimizer``.
        lr_scheduler: ``(optimizer, num_steps) -> LRScheduler``, or None for a constant rate.
        seed: seed for every draw.
        provenance: plain data stored in each checkpoint under the key ``thaw``.
        ema: an average of the restorer's weights to keep, or None.
    """

    def __init__(
        self,
        restorer: Restorer,
        prior: Prior,
        objective: Objective,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        lr_scheduler: Callable[..., LRScheduler] | None,
        seed: int,
        provenance: dict[str, Any],
        ema: EMA | None = None,
    ) -> None:
        super().__init__()
        self.restorer = restorer
        self.prior = prior
        self.objective = objective
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.seed = seed
        self.provenance = provenance
        self.ema = ema

    @property
    def evaluated(self) -> Restorer:
        """The model that is scored, drawn and validated: the average where one is kept."""
        return self.restorer if self.ema is None else self.ema.average
