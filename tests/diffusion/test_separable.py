"""Row and column operators: the product by its definition, the exact identity, types, autocast."""

import torch
from torch import Generator, Tensor

from thaw.diffusion.degradations.separable import Separable

T, H, W = 4, 5, 7


def tables(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random operators, the first of each the identity, float64."""
    draws = Generator().manual_seed(seed)
    rows = torch.randn(T + 1, H, H, generator=draws, dtype=torch.float64)
    columns = torch.randn(T + 1, W, W, generator=draws, dtype=torch.float64)
    rows[0], columns[0] = torch.eye(H), torch.eye(W)
    return rows, columns


def images(num_images: int = 6, dtype: torch.dtype = torch.float32) -> Tensor:
    draws = Generator().manual_seed(1)
    return torch.randn(num_images, 3, H, W, generator=draws, dtype=torch.float64).to(dtype)


def degrade(x_0: Tensor, t: list[int]) -> Tensor:
    degradation = Separable(*tables())
    return degradation(x_0, torch.tensor(t), degradation.draw_noise(x_0))


def test_it_is_rows_and_columns_of_each_channel_each_image_at_its_own_step() -> None:
    rows, columns = tables()
    x_0, steps = images(), [3, 0, 4, 1, 4, 2]
    x_t = degrade(x_0, steps)
    for image, out, t in zip(x_0.double(), x_t, steps, strict=True):
        for channel, found in zip(image, out, strict=True):
            expected = rows[t] @ channel @ columns[t].T
            torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-5)


def test_the_operators_follow_from_the_arguments_so_no_checkpoint_holds_them() -> None:
    degradation = Separable(*tables())
    assert not degradation.state_dict()
    assert {name for name, _ in degradation.named_buffers()} == {"rows", "columns"}
