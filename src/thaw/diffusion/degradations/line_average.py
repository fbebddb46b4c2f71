"""Averaging the columns or rows of an image, one after another."""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Generator, Tensor

from thaw.checks import Count, Seed, checked, shown
from thaw.diffusion.degradations.base import Condition, Degradation, all_at
from thaw.seeding import generator

Axis = Literal["column", "row"]
Order = Literal["random", "outside_in", "inside_out", "last_to_first"]


def line_order(order: Order, num_lines: int, seed: int) -> Tensor:
    """The lines 0..num_lines - 1 in the order in which they are averaged, int64 ``[num_lines]``.

    ``outside_in`` is 1, n, 2, n - 1, ...; ``inside_out`` starts left of (or at) the middle and
    alternates right and left: 14, 15, 13, 16, ... of 28; ``last_to_first`` is n, n - 1, ..., so
    that lines are restored as one reads; ``random`` is one permutation by ``seed``.

    >>> line_order("outside_in", 6, seed=0).tolist()
    [0, 5, 1, 4, 2, 3]
    >>> line_order("inside_out", 6, seed=0).tolist()
    [2, 3, 1, 4, 0, 5]
    """
    if order == "random":
        return torch.randperm(num_lines, generator=generator(seed, "line_order"))
    lines = torch.arange(num_lines)
    if order == "last_to_first":
        return lines.flip(0)
    if order == "outside_in":
        return lines.minimum(num_lines - 0.5 - lines).argsort()
    middle = (num_lines - 1) // 2
    return (lines - middle - 0.25).abs().argsort()


class LineAverage(Degradation):
    """D(x_0, t) replaces the first t lines of an order by their mean over the line and group.

    The column and row averaging of the cold-diffusion study that thaw reproduces, after Bansal
    et al. 2022. With P_t the averaging of those lines, D(., t) = P_t is an orthogonal projection
    and the projections are nested: P_s P_t = P_max(s, t).

    >>> D = LineAverage((1, 2, 4), axis="column", order="outside_in")
    >>> x_0, t = torch.arange(8.0).view(1, 1, 2, 4), torch.tensor([2])
    >>> D(x_0, t, D.draw_noise(x_0))
    tensor([[[[2., 1., 2., 5.],
              [2., 5., 6., 5.]]]])

    Args:
        axis: ``column`` or ``row``.
        order: see :func:`line_order`; or ``shuffled``, a random order for each trajectory. The step
            of each line is then the noise, int64 ``[B, T]``. Or the lines (or groups) themselves,
            each once, counted from 0.
        group_size: adjacent lines that are averaged together, in one step, into one mean; it
            divides the number of lines.
        seed: seed for the random order.
        condition: ``mask`` gives the network a channel that marks the averaged lines.
    """

    is_projection = True
    is_linear = True

    step_of_line: Tensor

    @checked
    def __init__(
        self,
        image_shape: Sequence[int],
        axis: Axis,
        order: Order | Literal["shuffled"] | Sequence[Annotated[int, Ge(0)]],
        group_size: Count = 1,
        seed: Seed = 0,
        condition: Condition | None = None,
    ) -> None:
        super().__init__()
        self.condition = condition
        self.is_shuffled = order == "shuffled"
        side = image_shape[2] if axis == "column" else image_shape[1]
        if side % group_size:
            divisors = ", ".join(str(d) for d in range(1, side + 1) if side % d == 0)
            raise ValueError(
                f"group_size={group_size} does not divide the image's {side} {axis}s; choose one "
                f"of {divisors}"
            )
        self.num_steps = side // group_size
        self.group_size = group_size
        self.line_dim = 3 if axis == "column" else 2
        self.register_buffer("step_of_line", torch.empty(self.num_steps, dtype=torch.int64))
        if isinstance(order, str):
            lines = line_order("random" if order == "shuffled" else order, self.num_steps, seed)
        elif sorted(order) == list(range(self.num_steps)):
            lines = torch.tensor(order)
        else:
            raise ValueError(
                f"order must name each of {self.num_steps} lines or groups once, from 0, got "
                f"{shown(order)}"
            )
        self.step_of_line[lines] = torch.arange(1, self.num_steps + 1)

    def draw_noise(self, x_0: Tensor, generator: Generator | None = None) -> Tensor:
        if not self.is_shuffled:
            return super().draw_noise(x_0, generator)
        ranks = torch.rand(len(x_0), self.num_steps, generator=generator, device=x_0.device)
        return 1 + ranks.argsort(dim=1)

    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        groups = x_0.unflatten(self.line_dim, (self.num_steps, self.group_size))
        means = groups.mean((2, 4) if self.line_dim == 3 else (3, 4), keepdim=True)
        averaged = self.along_lines(self._is_averaged(t, noise)).unsqueeze(self.line_dim + 1)
        return torch.where(averaged, means, groups).flatten(self.line_dim, self.line_dim + 1)

    def pseudo_inverse(self, y: Tensor, t: int, noise: Tensor) -> Tensor:
        """D(y, t): an orthogonal projection is its own."""
        projected: Tensor = self(y, all_at(t, y), noise)
        return projected

    def mask(self, x_t: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        averaged = self._is_averaged(t, noise).repeat_interleave(self.group_size, dim=1)
        return self.along_lines(averaged).expand(-1, 1, *x_t.shape[2:]).to(x_t.dtype)

    def remainder(self, x_0: Tensor) -> Tensor:
        """The mean of each line, which does not depend on the order."""
        return self._at_last(x_0, x_0.new_zeros(len(x_0), self.num_steps))

    def along_lines(self, values: Tensor) -> Tensor:
        """``[B, L]``, a value a line or group, as ``[B, 1, 1, L]`` or ``[B, 1, L, 1]``."""
        return values[:, None, None, :] if self.line_dim == 3 else values[:, None, :, None]

    def _is_averaged(self, t: Tensor, noise: Tensor) -> Tensor:
        step_of_line = noise if self.is_shuffled else self.step_of_line
        return step_of_line <= t[:, None]
