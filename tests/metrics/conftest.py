"""Real digits, the packaged encoder and random features for the tests of the metrics."""

from pathlib import Path

import pytest
from torch import Tensor

from thaw.data.sources import MNIST, ImageSet, MNIST5k
from thaw.metrics.encoders import ClassifierEncoder, load_encoder
from thaw.metrics.suite import ScoreSuite


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
def real_mnist(mnist_root: Path) -> tuple[ImageSet, ImageSet]:
    """Training and test split of real MNIST; skips where there is none."""
    return MNIST(mnist_root).load()
