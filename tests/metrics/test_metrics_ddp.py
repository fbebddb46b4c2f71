"""Scores of two processes are those of one process that saw all images."""

import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from thaw.metrics.encoders import load_encoder
from thaw.metrics.restored import RestorationScores
from thaw.metrics.suite import ScoreSuite

# Unequal shares, several batches on one rank and one on the other.
SHARES = ((0, 90, 170), (170, 230))


def score(images: Tensor, shares: tuple[int, ...], device: str = "cpu") -> dict[str, float]:
    suite = ScoreSuite(load_encoder("mnist")).to(device)
    restoration = RestorationScores((0.0, 1.0))
    for start, stop in pairwise(shares):
        batch = images[start:stop]
        suite.update(batch)
        restoration.update((batch.float() / 255 + 0.001 * start).sqrt(), batch.float() / 255)
    histogram = {f"class_{k}": count for k, count in enumerate(suite.class_histogram())}
    return suite.compute() | restoration.compute() | histogram


def one_rank(rank: int, folder: str, images: Tensor) -> None:
    torch.set_num_threads(1)
    url = f"file://{folder}/rendezvous"
    dist.init_process_group("gloo", init_method=url, rank=rank, world_size=2)
    try:
        torch.save(score(images, SHARES[rank]), Path(folder) / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


@pytest.mark.skipif(sys.platform == "win32", reason="gloo needs a POSIX system here")
def test_two_processes_give_the_scores_of_one(digits: Tensor, tmp_path: Path) -> None:
    images = digits[:230].clone()
    mp.spawn(one_rank, args=(str(tmp_path), images), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert first == second
    assert first["n"] == 230
    expected = score(images, (0, 90, 170, 230))
    assert first == pytest.approx(expected, rel=1e-4, abs=1e-6)
