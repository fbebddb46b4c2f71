"""The loop and the time grid that every sampler shares."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field
from itertools import pairwise
from typing import Annotated, Generic, NamedTuple, Self

from annotated_types import Interval
from torch import Generator, Tensor

from thaw.checks import Count, NotNegative, check, checked
from thaw.diffusion.degradations.base import Degradation, all_at
from thaw.diffusion.guidance import guided
from thaw.diffusion.needs import D, Part, check_needs
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.grids import Grid, Trailing

SAMPLED = "sampled"


class State(NamedTuple):
    """A point of a trajectory: step t, x_t, and the network's x_0_hat before it (None at first)."""

    t: int
    x_t: Tensor
    x_0_hat: Tensor | None


class Estimate(NamedTuple):
    """x_0_hat of x_t at step t, clipped where the sampler clips."""

    t: int
    x_t: Tensor
    x_0_hat: Tensor


@dataclass(frozen=True)
class Path(Generic[D]):
    """What stays the same along a trajectory: the model, the noise of x_T and the labels.

    ``generator`` is the source of what the sampler draws, None for the global one; ``labels``,
    int64 ``[B]``, are the classes, None for no labels.
    """

    restorer: Restorer
    degradation: D
    noise: Tensor
    generator: Generator | None = None
    labels: Tensor | None = None


@checked
@dataclass(eq=False)
class Sampler(Part[D], ABC):
    """x_T -> x_0 along the times t_0 > t_1 > ... > t_n = 0 of a grid.

    Each step asks the network for x_0_hat, may improve it, and steps: most samplers are their
    ``step``, solvers of second order are their ``improve``.

    Args:
        num_steps: n, 1..T; None takes all T.
        clip: whether each x_0_hat of the network is clipped to the range of the images.
        grid: the times.
        guidance: scale of :func:`~thaw.diffusion.guidance.guided`, where there are labels.
        refine: whether a last pass R(x, 1) follows the last step.
    """

    num_steps: Count | None = None
    _: KW_ONLY
    clip: bool = True
    grid: Grid = field(default_factory=Trailing)
    guidance: NotNegative = 1.0
    refine: bool = False

    @property
    def stage(self) -> str:
        """Name of the images that it restores, among those of the other samplers."""
        return SAMPLED

    def check(self, degradation: Degradation) -> None:
        if self.num_steps is not None and self.num_steps > degradation.num_steps:
            raise ValueError(
                f"num_steps={self.num_steps} is more than the {degradation.num_steps} steps of "
                f"{type(degradation).__name__}"
            )
        self.grid.check(check_needs(self.grid, degradation))

    def at_most(self, num_steps: int) -> Self:
        """The same sampler in no more than so many steps."""
        chosen = copy.copy(self)
        chosen.num_steps = min(self.num_steps or num_steps, num_steps)
        return chosen

    def to_restore(self) -> "Sampler[D]":
        """The sampler as it restores images, where that is another than it generates them by."""
        return self

    def describe(self, degradation: D) -> str:
        """Name, steps and unusual settings, as logged beside every score: ``DDIM, 25 steps``.

        Network evaluations are named where they are not one a step.
        """
        steps = self.num_steps or degradation.num_steps
        evaluations = self.num_evaluations(degradation)
        parts = [type(self).__name__, f"{steps} steps"]
        parts += [f"{evaluations} evaluations"] if evaluations != steps else []
        parts += self.options()
        parts += ["refined"] if self.refine else []
        parts += [] if isinstance(self.grid, Trailing) else [f"{self.grid.name} grid"]
        parts += [] if self.clip else ["not clipped"]
        parts += [] if self.guidance == 1 else [f"guidance {self.guidance:g}"]
        return ", ".join(parts)

    def options(self) -> list[str]:
        """This sampler's own settings in words, where they are unusual."""
        return []

    def num_evaluations(self, degradation: D) -> int:
        """Network evaluations an image: one a step, and the last pass."""
        return (self.num_steps or degradation.num_steps) + self.refine

    def times(self, last: int) -> list[int]:
        """The n + 1 falling times of the grid from ``last``, with n no more than that."""
        return self.grid.times(last, min(self.num_steps or last, last))

    def sample(
        self,
        restorer: Restorer,
        x_T: Tensor,
        noise: Tensor,
        generator: Generator | None = None,
        start: int | None = None,
        labels: Tensor | None = None,
    ) -> Tensor:
        """x_0 ``[B, C, H, W]``, the end of the :meth:`trajectory` with the same arguments."""
        x_0 = x_T
        for state in self.trajectory(restorer, x_T, noise, generator, start, labels):
            x_0 = state.x_t
        return x_0

    def trajectory(
        self,
        restorer: Restorer,
        x_T: Tensor,
        noise: Tensor,
        generator: Generator | None = None,
        start: int | None = None,
        labels: Tensor | None = None,
    ) -> Iterator[State]:
        """Each state on the way, from (t_0, x_T) to (0, x_0), and the refined x_0 if there is one.

        x_T ``[B, C, H, W]`` is at step ``start``, 1..T (None is T), degraded with ``noise``; the
        grid is laid over what is left, in no more steps than that. The generator (the global one
        if None) is for what the sampler draws; labels, int64 ``[B]``, are the classes.
        """
        degradation = check_needs(self, restorer.degradation)
        self.check(degradation)
        last = degradation.num_steps if start is None else start
        check_step("start", last, degradation)
        path = Path(restorer, degradation, noise, generator, labels)
        times = self.times(last)
        x_t, before = x_T, None
        yield State(times[0], x_t, None)
        for t, s in pairwise(times):
            now = self.estimate(t, x_t, path)
            x_t = self.step(self.improve(now, s, path, before), s, path)
            yield State(s, x_t, now.x_0_hat)
            before = now
        if self.refine:
            x_0 = self.last_pass(path, x_t)
            yield State(0, x_0, x_0)

    def last_pass(self, path: Path[D], x_0: Tensor) -> Tensor:
        """R(x_0, 1) ``[B, C, H, W]``: a finished image taken for one degraded by a single step."""
        return self.estimate(1, x_0, path).x_0_hat

    def estimate(self, t: int, x_t: Tensor, path: Path[D]) -> Estimate:
        """x_0_hat of images x_t that are all at step t, clipped if this sampler clips."""
        restorer, steps = path.restorer, all_at(t, x_t)
        x_0_hat = guided(restorer, x_t, steps, path.noise, path.labels, self.guidance)
        return Estimate(t, x_t, x_0_hat.clamp(*restorer.pixel_range) if self.clip else x_0_hat)

    def improve(self, now: Estimate, s: int, path: Path[D], before: Estimate | None) -> Estimate:
        """``now`` with a better x_0_hat; ``before`` is the last step's, None at the first step."""
        return now

    @abstractmethod
    def step(self, now: Estimate, s: int, path: Path[D]) -> Tensor:
        """x_s ``[B, C, H, W]`` from x_t and x_0_hat at ``now.t``, for any s < t."""


def check_step(name: str, t: int, degradation: Degradation) -> None:
    """Refuse a step outside 1..T."""
    check(name, t, Annotated[int, Interval(ge=1, le=degradation.num_steps)])
