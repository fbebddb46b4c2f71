"""The contract of every degradation, tried on images: what a new one has to keep."""

from itertools import product

import torch
from torch import Generator, Tensor

from thaw.diffusion.degradations.base import Degradation, all_at

# For values of order one: rounding of float32 stays below the first, every degradation's change
# is above the second.
ROUNDING, CHANGE = 1e-5, 1e-3


def breaches(degradation: Degradation, x_0: Tensor) -> list[str]:
    """What this degradation breaks of the contract, a sentence each; an empty list is good.

        x_0 = PixelRange(-0.5, 0.5).from_uint8(images[:4])
        assert breaches(Veil((1, 28, 28), PixelRange(-0.5, 0.5)), x_0) == []

    Tried with noise of its own, from seeds, at some steps from 0 to T.

    Args:
        degradation: already fitted, where it has a ``fit``.
        x_0: images ``[B, C, H, W]`` that it takes, floats in their range, two or more; with
            partners ``[B, 2C, H, W]``.
    """
    last: object = getattr(degradation, "num_steps", None)
    if not isinstance(last, int) or last < 1:
        return [f"num_steps must be a whole number of at least 1, got {last}"]
    broken = _of_noise(degradation, x_0)
    # Beyond this nothing is comparable.
    return broken or _of_forward(degradation, *degradation.draw(x_0, _seeded(0)))


def _of_noise(degradation: Degradation, x_0: Tensor) -> list[str]:
    before = torch.random.get_rng_state()
    once, again, other = (degradation.draw(x_0, _seeded(seed))[1] for seed in (0, 0, 1))
    promises = {
        f"draw_noise returns {len(once)} items for {len(x_0)} images": len(once) == len(x_0),
        "draw_noise draws from the global generator, not from the one it is given": torch.equal(
            torch.random.get_rng_state(), before
        ),
        "draw_noise differs between equal generators": torch.equal(once, again),
        "draw_noise does not depend on its generator": degradation.takes_partners
        or not once.numel()
        or not torch.equal(once, other),
    }
    return [sentence for sentence, is_kept in promises.items() if not is_kept]


def _of_forward(degradation: Degradation, x_0: Tensor, noise: Tensor) -> list[str]:
    def at(t: int | Tensor, x: Tensor) -> Tensor:
        x_t: Tensor = degradation(x, all_at(t, x) if isinstance(t, int) else t, noise)
        return x_t

    last = degradation.num_steps
    given, given_noise = x_0.clone(), noise.clone()
    mixed = torch.tensor([0, last, 1, (last + 1) // 2]).repeat(len(x_0))[: len(x_0)]
    x_t = at(mixed, x_0)
    kinds = [(x.shape, x.dtype, x.device) for x in (x_t, x_0)]
    if kinds[0] != kinds[1]:
        return [f"x_t has another shape, type or device than x_0: {kinds[0]}, not {kinds[1]}"]
    alone = [
        degradation(x_0[k : k + 1], mixed[k : k + 1], noise[k : k + 1]) for k in range(len(x_0))
    ]
    steps = sorted({1, min(2, last), (last + 1) // 2, max(1, last - 1), last})
    # D_s D_r = D_max(s, r), idempotent at s = r.
    twice = [_largest(at(s, at(r, x_0)) - at(max(s, r), x_0)) for s, r in product(steps, steps)]
    promises = {
        "x_t at t = 0 is not exactly x_0": torch.equal(at(0, x_0), x_0),
        "x_t differs when computed again with the same noise": torch.equal(at(mixed, x_0), x_t),
        "x_t is still x_0 at t = T / 2 or T, of some image": all(
            _largest(change) > CHANGE
            for t in (max(1, last // 2), last)
            for change in at(t, x_0) - x_0
        ),
        "images at steps of their own differ from the same ones alone": _largest(
            torch.cat(alone) - x_t
        )
        < ROUNDING,
        "is_projection is True, but degrading twice is not degrading once, by the larger step": (
            not degradation.is_projection or max(twice) < ROUNDING
        ),
        "is_projection is False, but degrading twice is degrading once, by the larger step": (
            degradation.is_projection or max(twice) >= ROUNDING
        ),
        "forward changes the x_0 that it is given": torch.equal(x_0, given),
        "forward changes the noise that it is given": torch.equal(noise, given_noise),
    }
    return [sentence for sentence, is_kept in promises.items() if not is_kept]


def _seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def _largest(difference: Tensor) -> float:
    return difference.abs().max().item()
