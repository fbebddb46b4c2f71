"""Linear degradations that act on the rows of an image and then on its columns."""

import torch
from torch import Tensor

from thaw.diffusion.degradations.base import SMALLEST, Degradation


class Separable(Degradation):
    """x_t = A_t x_0 B_t^T for each channel, with A_0 = 1 and B_0 = 1.

    A_t and B_t are composed once, so that a step costs two matrix products for every t.

    Args:
        rows: A, float64 ``[T + 1, H, H]``.
        columns: B, float64 ``[T + 1, W, W]``.
    """

    is_linear = True

    rows: Tensor
    columns: Tensor

    def __init__(self, rows: Tensor, columns: Tensor) -> None:
        super().__init__()
        self.num_steps = len(rows) - 1
        self.register_buffer("rows", rows.float(), persistent=False)
        self.register_buffer("columns", columns.float(), persistent=False)

    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        with torch.autocast(x_0.device.type, enabled=False):
            x = x_0.to(torch.promote_types(x_0.dtype, torch.float32))
            x = torch.einsum("bij,bcjk->bcik", self.rows[t].to(x.dtype), x)
            x = torch.einsum("bcik,blk->bcil", x, self.columns[t].to(x.dtype))
        # Even a product with 1 is rounded where a GPU is told to multiply in less than float32.
        return torch.where(t.view(-1, 1, 1, 1) == 0, x_0, x.to(x_0.dtype))

    def pseudo_inverse(self, y: Tensor, t: int, noise: Tensor) -> Tensor:
        """By the singular values of A_t and B_t, whose products are those of both together."""
        u, s, v = torch.linalg.svd(self.rows[t].to(y.dtype))
        p, r, q = torch.linalg.svd(self.columns[t].to(y.dtype))
        both = s[:, None] * r
        kept = both > SMALLEST * both[0, 0]
        inverse = torch.where(kept, 1 / torch.where(kept, both, 1.0), 0.0)
        inverted: Tensor = v.T @ ((u.T @ y @ p) * inverse) @ q
        return inverted
