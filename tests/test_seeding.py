"""Keyed generators: reproducible, independent of one another, and of the global one."""

import math
import tracemalloc

import torch

from thaw.seeding import derive_seed, generator, seed_global


def test_seeds_are_the_same_on_every_machine() -> None:
    """Written down, because a changed hash would silently change every published number."""
    assert derive_seed(0, "train", 3) == 882505000269604046
    assert derive_seed(0) != derive_seed(1)


def test_every_seed_and_key_has_a_seed_of_its_own() -> None:
    keys = [(), ("train",), ("val",), ("train", 0), ("train", 1), (0, "train"), ("train", 0, 0)]
    keys += [("1",), (1,), ("train", "0"), ("train0",)]
    keys += [("train", step) for step in range(2, 2000)]
    seeds = [derive_seed(seed, *key) for seed in (0, 1, 2**32 - 1) for key in keys]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_generator_repeats_and_leaves_the_global_one_alone() -> None:
    before = torch.random.get_rng_state()
    first, again = (torch.randn(5, generator=generator(3, "a", 1)) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_neighbouring_keys_draw_independently() -> None:
    draws = torch.stack(
        [torch.randn(4000, generator=generator(0, "train", step)) for step in range(12)]
    )
    correlations = torch.corrcoef(draws) - torch.eye(12)
    # Five standard errors; one of 66 pairs beyond that has a chance below 1e-4.
    assert correlations.abs().max() < 5 / math.sqrt(4000)


def test_seeding_again_and_again_leaves_nothing_behind() -> None:
    """Torch's own manual_seed keeps a stack a call where there is a device not yet used."""
    with torch.random.fork_rng():
        seed_global(0, torch.device("cpu"))
        tracemalloc.start()
        for seed in range(1000):
            seed_global(seed, torch.device("cpu"))
        left, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert left < 10_000
