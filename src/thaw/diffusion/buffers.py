"""Buffers whose shapes and types are known once they are fitted, or read from a checkpoint."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


def take_stored_shapes(
    module: nn.Module, state_dict: Mapping[str, Tensor], prefix: str, *_: Any
) -> None:
    """A pre-hook of ``load_state_dict``: own buffers get the shapes and types of the stored."""
    for name, buffer in module.named_buffers(recurse=False):
        stored = state_dict.get(prefix + name)
        if stored is not None:
            setattr(module, name, buffer.new_empty(stored.shape, dtype=stored.dtype))
