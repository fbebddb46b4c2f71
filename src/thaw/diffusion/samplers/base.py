"""The loop and the time grid that every sampler shares."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from thaw.checks import check_bool, check_whole
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.restorer import Restorer


class State(NamedTuple):
    """Where a trajectory is: the step t, x_t, and the x_0_hat it was reached by (None at T)."""

    t: int
    x_t: Tensor
    x_0_hat: Tensor | None


class Sampler(ABC):
    """x_T -> x_0 along T = t_0 > t_1 > ... > t_n = 0, one network evaluation a step.

    Args:
        num_steps: n, the number of network evaluations, 1..T; None takes all T.
        clip: whether x_0_hat is clipped to the range of the images before it is used.

    Raises:
        ValueError: num_steps is not a whole number of at least 1.
    """

    def __init__(self, num_steps: int | None = None, clip: bool = True) -> None:
        if num_steps is not None:
            check_whole("sampler.num_steps", num_steps)
        check_bool("sampler.clip", clip)
        self.num_steps = num_steps
        self.clip = clip

    def check(self, degradation: Degradation) -> None:
        """Refuse what this sampler cannot do.

        Raises:
            ValueError: more steps than the degradation has, or a degradation that does not fit.
        """
        if self.num_steps is not None and self.num_steps > degradation.num_steps:
            raise ValueError(
                f"sampler.num_steps={self.num_steps} is more than the {degradation.num_steps} "
                f"steps of {type(degradation).__name__}"
            )

    def describe(self, degradation: Degradation) -> str:
        """Name and number of steps, as logged beside every score: ``DDIM, 25 steps``."""
        return f"{type(self).__name__}, {self.num_steps or degradation.num_steps} steps"

    def times(self, last: int) -> list[int]:
        """The grid from ``last`` (T) down to 0, evenly spaced and rounded."""
        grid = torch.linspace(last, 0, (self.num_steps or last) + 1, dtype=torch.float64)
        times: list[int] = grid.round().long().tolist()
        return times

    def sample(
        self,
        restorer: Restorer,
        x_T: Tensor,
        noise: Tensor,
        generator: Generator | None = None,
    ) -> Tensor:
        """x_0 ``[B, C, H, W]`` from x_T ``[B, C, H, W]`` and the noise it was degraded with."""
        x_0 = x_T
        for state in self.trajectory(restorer, x_T, noise, generator):
            x_0 = state.x_t
        return x_0

    def trajectory(
        self,
        restorer: Restorer,
        x_T: Tensor,
        noise: Tensor,
        generator: Generator | None = None,
    ) -> Iterator[State]:
        """Each state on the way, from (T, x_T) to (0, x_0)."""
        degradation = restorer.degradation
        self.check(degradation)
        times = self.times(degradation.num_steps)
        x_t = x_T
        yield State(times[0], x_t, None)
        for t, s in pairwise(times):
            x_0_hat = restorer(x_t, torch.full((len(x_t),), t, device=x_t.device))
            if self.clip:
                x_0_hat = x_0_hat.clamp(*restorer.pixel_range)
            x_t = self.step(x_t, x_0_hat, t, s, noise, degradation, generator)
            yield State(s, x_t, x_0_hat)

    @abstractmethod
    def step(
        self,
        x_t: Tensor,
        x_0_hat: Tensor,
        t: int,
        s: int,
        noise: Tensor,
        degradation: Degradation,
        generator: Generator | None,
    ) -> Tensor:
        """x_s from x_t and x_0_hat, for any s < t."""
