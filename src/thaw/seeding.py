"""Random generators keyed on their purpose: no draw depends on what was drawn before it."""

import hashlib

import torch
from torch import Generator


def derive_seed(seed: int, *key: int | str) -> int:
    """A 63-bit seed hashed from ``seed`` and a ``key`` such as ``("train", step)``.

    Hashing, unlike adding, keeps neighbouring seeds and keys independent of one another.
    """
    digest = hashlib.blake2b(repr((int(seed), *key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, *key: int | str, device: torch.device | str = "cpu") -> Generator:
    """A torch generator on ``device`` seeded by :func:`derive_seed`; no global one is touched."""
    return Generator(device=device).manual_seed(derive_seed(seed, *key))
