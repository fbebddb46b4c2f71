"""Random features for the tests of the metrics."""

import torch
from torch import Tensor


def random_features(num: int, width: int, seed: int, shift: float = 0.0) -> Tensor:
    """Correlated non-negative features [num, width], float32, as after a ReLU."""
    rng = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=torch.Generator().manual_seed(1)) / width**0.5
    return (torch.randn(num, width, generator=rng) @ mixing + shift).relu()
