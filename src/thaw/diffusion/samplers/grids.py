"""Time grids: which of the steps T, ..., 1 a sampler takes on its way to 0."""

from abc import ABC, abstractmethod

import torch

from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.needs import Part


class Grid(Part, ABC):
    """t_0 > t_1 > ... > t_n = 0, whole numbers; with n = T every grid is each step once."""

    @property
    def name(self) -> str:
        return type(self).__name__.lower()

    @abstractmethod
    def times(self, last: int, num_steps: int) -> list[int]:
        """``num_steps + 1`` falling times, the final one 0; ``1 <= num_steps <= last`` (T)."""


class Trailing(Grid):
    """t_k = round(T (1 - k / n)): even from T down to 0 (Lin et al. 2023, Table 2, trailing).

    >>> Trailing().times(1000, 4)
    [1000, 750, 500, 250, 0]
    """

    def times(self, last: int, num_steps: int) -> list[int]:
        return _whole(torch.linspace(last, 0, num_steps + 1, dtype=torch.float64))


class Linspace(Grid):
    """n times even from T down to 1, then 0 (Lin et al. 2023, Table 2, linspace).

    Nichol and Dhariwal 2021 respace so. The last step, from 1 to 0, removes next to no noise.

    >>> Linspace().times(1000, 4)
    [1000, 667, 334, 1, 0]
    """

    def times(self, last: int, num_steps: int) -> list[int]:
        below = _whole(torch.linspace(last - 1, 0, num_steps, dtype=torch.float64))
        return [*(1 + t for t in below), 0]


class Leading(Grid):
    """1 + k floor(T / n), k = n - 1, ..., 0, then 0 (Lin et al. 2023, Table 2, leading).

    As in DDIM's own code (Song et al. 2021). It starts below T, from images degraded up to T: a
    small error where both are all but noise of the same scale, and none of the cold algorithms
    allows it.

    >>> Leading().times(1000, 4)
    [751, 501, 251, 1, 0]
    """

    needs = Gaussian

    def check(self, degradation: Gaussian) -> None:
        norms = degradation.schedule.norm(dim=1)
        if not torch.allclose(norms, torch.ones_like(norms)):
            raise ValueError(
                "the leading grid starts below T, where x_t of this schedule is on another scale "
                "than x_T: use sampler/grid=trailing"
            )

    def times(self, last: int, num_steps: int) -> list[int]:
        stride = last // num_steps
        return [*(1 + k * stride for k in reversed(range(num_steps))), 0]


class Quadratic(Grid):
    """t_k = round(T (1 - k / n)^2), denser near the clean image (Song et al. 2021, appendix D.2).

    Their code starts at 0.8 T, this one at T. Times that rounding makes equal are spread out.

    >>> Quadratic().times(1000, 4)
    [1000, 562, 250, 62, 0]
    >>> Quadratic().times(5, 5)
    [5, 4, 3, 2, 1, 0]
    """

    def times(self, last: int, num_steps: int) -> list[int]:
        fraction = torch.linspace(1, 0, num_steps + 1, dtype=torch.float64)
        ranks = torch.arange(num_steps, -1, -1)
        return _whole((last * fraction**2).round().maximum(ranks))


def _whole(times: torch.Tensor) -> list[int]:
    whole: list[int] = times.round().long().tolist()
    return whole
