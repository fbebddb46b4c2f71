"""What every prior is: a law of x_T, and the noise that belongs to each draw."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self

import torch
from torch import Generator, Tensor, nn

from thaw.checks import check_between
from thaw.diffusion.degradations.base import Degradation

MAX_JITTER = 1000


class Prior(nn.Module, ABC):
    """p(x_T), with the noise that belongs to each draw; its state travels in the checkpoint.

    Args:
        jitter: standard deviation, in the units of the images, of Gaussian noise added to each x_T.
            A cold model that starts from many equal pixels has little to tell them apart by; a
            little noise breaks the symmetry (Bansal et al. 2022, section 5.2).

    Raises:
        ValueError: jitter is not a number from 0 to 1000.
    """

    def __init__(self, jitter: float = 0.0) -> None:
        super().__init__()
        check_between("prior.jitter", jitter, 0, MAX_JITTER)
        self.jitter = jitter

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # It moves with the model, but keeps its types whatever that becomes (``module.double()``).
        super()._apply(lambda x: x.to(fn(x).device), recurse)  # type: ignore[no-untyped-call]
        return self

    def check(self, degradation: Degradation) -> None:
        """Refuse a degradation whose fully degraded images this prior does not describe.

        Raises:
            ValueError: naming what is allowed.
        """

    def fit(self, images: Tensor, degradation: Degradation) -> None:
        """Learn from training images, uint8 ``[N, C, H, W]``, and what the degradation leaves."""

    def draw(
        self, num_samples: int, degradation: Degradation, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """(x_T, float32 ``[n, C, H, W]``, and its noise), on the generator's device."""
        x_T, noise = self.draw_exactly(num_samples, degradation, generator)
        if self.jitter:
            eps = torch.randn(x_T.shape, generator=generator, device=x_T.device)
            x_T = x_T + self.jitter * eps
        return x_T, noise

    @abstractmethod
    def draw_exactly(
        self, num_samples: int, degradation: Degradation, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """As :meth:`draw`, before any jitter."""

    def misfit(self, degradation: Degradation) -> str | None:
        """What x_T has that the draws lack, and what to do, in a line; None where that is little.

        It is warned of, and recorded with every score.
        """
        return None

    def describe(self, degradation: Degradation | None = None) -> str:
        """What is drawn from, as recorded with every score: ``gmm, 20 components``.

        With the degradation it is drawn for, any :meth:`misfit` too.
        """
        misfit = None if degradation is None else self.misfit(degradation)
        jitter = f", jitter {self.jitter:g}" if self.jitter else ""
        return self.label() + jitter + (f" ({misfit})" if misfit else "")

    def label(self) -> str:
        """The choice in conf/prior/ and what matters of it."""
        return type(self).__name__
