"""Real digits, the packaged encoder and random features for the tests of the metrics."""

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from thaw.data.sources import MNIST, ImageSet, MNIST5k
from thaw.metrics.encoders import ClassifierEncoder, load_encoder
from thaw.metrics.suite import ScoreSuite

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.fixture(scope="session")
def digits() -> Tensor:
    """The 4,500 training digits of mnist_5k, uint8 [4500, 1, 28, 28], classes taking turns."""
    return MNIST5k().load()[0].images


@pytest.fixture(scope="session")
def encoder() -> ClassifierEncoder:
    return load_encoder("mnist")


@pytest.fixture
def suite(encoder: ClassifierEncoder) -> ScoreSuite:
    return ScoreSuite(encoder)


@pytest.fixture(scope="session")
def real_mnist() -> tuple[ImageSet, ImageSet]:
    """Training and test split of real MNIST; skips where there is none."""
    root = Path(os.environ.get("THAW_DATA", SHARED))
    if not (root / "MNIST" / "raw").is_dir():
        pytest.skip("real MNIST is not here: set THAW_DATA to a folder that holds MNIST/raw/")
    return MNIST(root).load()


def random_features(num: int, width: int, seed: int, shift: float = 0.0) -> Tensor:
    """Correlated non-negative features [num, width], float32, as after a ReLU."""
    rng = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=torch.Generator().manual_seed(1)) / width**0.5
    return (torch.randn(num, width, generator=rng) @ mixing + shift).relu()
