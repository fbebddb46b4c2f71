"""The parts of a batch: losses of the parts make that of the whole, and all draw alike."""

import os

import pytest
import torch
from torch import Generator

from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.generation import generate
from thaw.diffusion.objectives import MSE
from thaw.diffusion.predictions import Noise
from thaw.diffusion.priors.normal import Normal
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.gaussian import Ancestral
from thaw.diffusion.schedules import linear
from thaw.networks.cnn import CNN
from thaw.pixels import PixelRange
from thaw.ranks import OF_NODES, VARIABLES, Portion, forget_left_over, rank


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    degradation = Gaussian(linear(10))
    return Restorer(CNN((1, 8, 8), 10, hidden=[4, 4]), degradation, Noise(), PixelRange(-0.5, 0.5))


@pytest.mark.parametrize("num_items", [0, 1, 7])
@pytest.mark.parametrize("world_size", [1, 3])
def test_parts_are_disjoint_complete_in_order_and_as_equal_as_can_be(
    num_items: int, world_size: int
) -> None:
    items = list(range(num_items))
    parts = [items[Portion(k, world_size).of(num_items)] for k in range(world_size)]
    assert [item for each in parts for item in each] == items
    sizes = [len(each) for each in parts]
    assert max(sizes) - min(sizes) <= 1


LAUNCHED = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"RANK": "1"}, 0),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "1"}, 0),
        ({"RANK": "", "LOCAL_RANK": "x"}, 0),
        ({"RANK": "1", "LOCAL_RANK": "1"} | LAUNCHED, 1),
        ({"LOCAL_RANK": "1"} | LAUNCHED, 1),
        ({"RANK": "0", "WORLD_SIZE": "1", "TORCHELASTIC_RUN_ID": "none"}, 0),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "RANK": "1"}, 3),
    ],
)
def test_a_rank_that_no_launcher_has_set_is_forgotten(
    variables: dict[str, str], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = ("WORLD_SIZE", "MASTER_ADDR", "SLURM_NTASKS", "TORCHELASTIC_RUN_ID")
    for name in (*VARIABLES, *OF_NODES, *others):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    forget_left_over()
    assert rank() == expected
    is_kept = expected > 0 or "TORCHELASTIC_RUN_ID" in variables
    assert is_kept == any(name in os.environ for name in (*VARIABLES, *OF_NODES))


def test_the_losses_of_the_parts_average_to_that_of_the_batch(restorer: Restorer) -> None:
    x_0 = torch.rand(12, 1, 8, 8) - 0.5
    objective = MSE()

    def loss(*parts: slice) -> torch.Tensor:
        return objective(restorer, x_0, Generator().manual_seed(1), None, *parts)

    parts = torch.stack([loss(Portion(k, 3).of(12)) for k in range(3)])
    torch.testing.assert_close(parts.mean(), loss())
    assert len({value.item() for value in parts}) == 3


def test_processes_together_generate_what_one_generates(restorer: Restorer) -> None:
    world_size = 4

    def images(rank: int, num_processes: int) -> torch.Tensor:
        sampler, prior = Ancestral(5), Normal((1, 8, 8))
        portion = Portion(rank, num_processes)
        return torch.cat([*generate(restorer, sampler, prior, 11, 4, 7, portion=portion)])

    parts = [images(rank, world_size) for rank in range(world_size)]
    torch.testing.assert_close(torch.cat(parts), images(0, 1), rtol=0, atol=0)
    # Three batches: of four processes one gets an empty batch, which metrics need.
    assert [len(each) for each in parts].count(0) == 1
