"""The loop and the time grid that every sampler shares."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from thaw.checks import check_between, check_bool, check_whole, shown
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.grids import Grid, Trailing

MAX_GUIDANCE = 1000


class State(NamedTuple):
    """Where a trajectory is: step t, x_t, and the network's x_0_hat before it (None at first)."""

    t: int
    x_t: Tensor
    x_0_hat: Tensor | None


class Estimate(NamedTuple):
    """What the network made of x_t at step t: x_0_hat, clipped where the sampler clips."""

    t: int
    x_t: Tensor
    x_0_hat: Tensor


class Sampler(ABC):
    """x_T -> x_0 along the times t_0 > t_1 > ... > t_n = 0 of a grid.

    Each step asks the network for x_0_hat, may refine it, and steps: most samplers are their
    ``step``, solvers of second order are their ``refine``.

    Args:
        num_steps: n, 1..T; None takes all T.
        clip: whether x_0_hat is clipped to the range of the images before it is used.
        grid: which times; None is evenly spaced, :class:`~thaw.diffusion.samplers.grids.Trailing`.
        guidance: scale at which whoever has labels is to make the restorer
            :class:`~thaw.diffusion.guidance.Guided`; the loop itself does not look at it.

    Raises:
        ValueError: num_steps is not a whole number of at least 1, grid is no grid, or guidance is
            not a number from 0 to 1000.
    """

    is_refined: bool = False
    """Whether R(x, 1), one more pass, follows the last step."""

    def __init__(
        self,
        num_steps: int | None = None,
        clip: bool = True,
        grid: Grid | None = None,
        guidance: float = 1.0,
    ) -> None:
        if num_steps is not None:
            check_whole("sampler.num_steps", num_steps)
        check_bool("sampler.clip", clip)
        if not isinstance(grid, Grid | None):
            raise ValueError(
                f"sampler.grid must be a grid, got {shown(grid)}; choose it as a group, by "
                "sampler/grid=trailing, linspace, leading or quadratic"
            )
        self.num_steps = num_steps
        check_between("sampler.guidance", guidance, 0, MAX_GUIDANCE)
        self.clip = clip
        self.grid = grid or Trailing()
        self.guidance = guidance

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
        self.grid.check(degradation)

    def describe(self, degradation: Degradation) -> str:
        """Name, steps and what is not as usual, as logged beside every score: ``DDIM, 25 steps``.

        Network evaluations are named where they are not one a step.
        """
        steps = self.num_steps or degradation.num_steps
        evaluations = self.num_evaluations(degradation)
        parts = [type(self).__name__, f"{steps} steps"]
        parts += [f"{evaluations} evaluations"] if evaluations != steps else []
        parts += self.options()
        parts += ["refined"] if self.is_refined else []
        parts += [] if isinstance(self.grid, Trailing) else [f"{self.grid.name} grid"]
        parts += [] if self.clip else ["not clipped"]
        return ", ".join(parts)

    def options(self) -> list[str]:
        """This sampler's own settings in words, where they are not as usual."""
        return []

    def num_evaluations(self, degradation: Degradation) -> int:
        """How often the network is asked for one image: once a step, and in a last pass."""
        return (self.num_steps or degradation.num_steps) + self.is_refined

    def times(self, last: int) -> list[int]:
        """The n + 1 falling times of the grid from ``last``, of which no more than that many."""
        return self.grid.times(last, min(self.num_steps or last, last))

    def sample(
        self,
        restorer: Restorer,
        x_T: Tensor,
        noise: Tensor,
        generator: Generator | None = None,
        start: int | None = None,
    ) -> Tensor:
        """x_0 ``[B, C, H, W]`` from x_T ``[B, C, H, W]`` and the noise it was degraded with.

        Arguments and errors as :meth:`trajectory`.
        """
        x_0 = x_T
        for state in self.trajectory(restorer, x_T, noise, generator, start):
            x_0 = state.x_t
        return x_0

    def trajectory(
        self,
        restorer: Restorer,
        x_T: Tensor,
        noise: Tensor,
        generator: Generator | None = None,
        start: int | None = None,
    ) -> Iterator[State]:
        """Each state on the way, from (t_0, x_T) to (0, x_0), refined where this one does so.

        Args:
            restorer: the model.
            x_T: where to start, ``[B, C, H, W]``.
            noise: what it was degraded with.
            generator: of what the sampler draws; the global generator if None.
            start: the step that x_T is at, 1..T, if it is not T; the grid is laid over what is
                left, in no more steps than that.

        Raises:
            ValueError: this sampler does not fit the degradation, or there is no step ``start``.
        """
        degradation = restorer.degradation
        self.check(degradation)
        last = degradation.num_steps if start is None else start
        check_whole("start", last, 1, degradation.num_steps)
        times = self.times(last)
        x_t, before = x_T, None
        yield State(times[0], x_t, None)
        for t, s in pairwise(times):
            now = Estimate(t, x_t, self.restore(restorer, x_t, t, noise))
            x_0_hat = self.refine(now, s, before, restorer)
            x_t = self.step(x_t, x_0_hat, t, s, noise, degradation, generator)
            yield State(s, x_t, now.x_0_hat)
            before = now
        if self.is_refined:
            x_0 = self.last_pass(restorer, x_t, noise)
            yield State(0, x_0, x_0)

    def last_pass(self, restorer: Restorer, x_0: Tensor, noise: Tensor) -> Tensor:
        """R(x_0, 1) ``[B, C, H, W]``: a finished image taken for one degraded by a single step."""
        return self.restore(restorer, x_0, 1, noise)

    def restore(
        self, restorer: Restorer, x_t: Tensor, t: int, noise: Tensor | None = None
    ) -> Tensor:
        """x_0_hat ``[B, C, H, W]`` of images that are all at step t, clipped if this one clips."""
        x_0_hat: Tensor = restorer(x_t, torch.full((len(x_t),), t, device=x_t.device), noise)
        return x_0_hat.clamp(*restorer.pixel_range) if self.clip else x_0_hat

    def refine(self, now: Estimate, s: int, before: Estimate | None, restorer: Restorer) -> Tensor:
        """The x_0_hat ``[B, C, H, W]`` that the step from ``now.t`` to s is made with.

        Here the network's own. A solver of second order makes a better one out of the step
        ``before`` (None at the first) or by asking ``restorer`` again.
        """
        return now.x_0_hat

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
