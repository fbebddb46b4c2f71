"""What tests of every folder share."""

import os
from pathlib import Path

import pytest
import torch

# Tensors are small here: a second thread costs more than it brings, above all beside other workers.
torch.set_num_threads(1)

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """The folder that holds the real MNIST, where the machine has it."""
    root = Path(os.environ.get("THAW_DATA") or REPOSITORY.parent / "shared" / "data")
    if not (root / "MNIST" / "raw").is_dir():
        pytest.skip("needs the real MNIST: set THAW_DATA to a folder that holds MNIST/raw/")
    return root


@pytest.fixture(autouse=True)
def same_start() -> None:
    """Each test begins with the same global generator, whichever tests ran before it."""
    torch.manual_seed(0)
