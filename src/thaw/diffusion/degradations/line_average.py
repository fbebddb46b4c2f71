"""Averaging the columns or rows of an image, one after another."""

from collections.abc import Sequence

import torch
from torch import Tensor

from thaw.checks import check_choice, check_whole
from thaw.diffusion.degradations.base import Degradation
from thaw.seeding import generator

AXES = ("column", "row")
ORDERS = ("random", "outside_in", "inside_out")


def line_order(order: str, num_lines: int, seed: int) -> Tensor:
    """The lines 0..num_lines - 1 in the order in which they are averaged, int64 ``[num_lines]``.

    ``outside_in`` is 1, n, 2, n - 1, ...; ``inside_out`` starts left of (or at) the middle and
    alternates right and left: 14, 15, 13, 16, ... of 28; ``random`` is one permutation by ``seed``.

    Raises:
        ValueError: unknown order.
    """
    if order == "random":
        return torch.randperm(num_lines, generator=generator(seed, "line_order"))
    if order == "outside_in":
        return torch.tensor([i // 2 if i % 2 == 0 else num_lines - 1 - i // 2
                             for i in range(num_lines)])  # fmt: skip
    if order == "inside_out":
        middle = (num_lines - 1) // 2
        return torch.tensor([middle - i // 2 if i % 2 == 0 else middle + 1 + i // 2
                             for i in range(num_lines)])  # fmt: skip
    raise ValueError(f"unknown order {order!r}; the orders are {', '.join(ORDERS)}")


class LineAverage(Degradation):
    """D(x_0, t) replaces the first t lines of an order by their mean over the line and group.

    The column and row averaging of the cold-diffusion study that thaw reproduces, after Bansal
    et al. 2022. With P_t the averaging of those lines, D(., t) = P_t is an orthogonal projection
    and the projections are nested: P_s P_t = P_max(s, t).

    Args:
        image_shape: (C, H, W).
        axis: ``column`` or ``row``.
        order: ``random``, ``outside_in`` or ``inside_out``; see :func:`line_order`.
        group_size: adjacent lines that are averaged together, in one step, into one mean.
        seed: of the random order.

    Raises:
        ValueError: unknown axis or order, or a group size that does not divide the image side.
    """

    step_of_line: Tensor

    def __init__(
        self,
        image_shape: Sequence[int],
        axis: str,
        order: str,
        group_size: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_choice("degradation.axis", axis, AXES)
        check_choice("degradation.order", order, ORDERS)
        check_whole("degradation.group_size", group_size)
        side = image_shape[2] if axis == "column" else image_shape[1]
        if side % group_size:
            divisors = ", ".join(str(d) for d in range(1, side + 1) if side % d == 0)
            raise ValueError(
                f"degradation.group_size={group_size} does not divide the image's {side} {axis}s;"
                f" choose one of {divisors}"
            )
        self.num_steps = side // group_size
        self.group_size = group_size
        self.line_dim = 3 if axis == "column" else 2
        self.register_buffer("step_of_line", torch.empty(self.num_steps, dtype=torch.int64))
        lines = line_order(order, self.num_steps, seed)
        self.step_of_line[lines] = torch.arange(1, self.num_steps + 1)

    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        groups = x_0.unflatten(self.line_dim, (self.num_steps, self.group_size))
        is_column = self.line_dim == 3
        means = groups.mean((2, 4) if is_column else (3, 4), keepdim=True)
        averaged = self.step_of_line <= t[:, None]
        averaged = (
            averaged[:, None, None, :, None] if is_column else averaged[:, None, :, None, None]
        )
        return torch.where(averaged, means, groups).flatten(self.line_dim, self.line_dim + 1)
