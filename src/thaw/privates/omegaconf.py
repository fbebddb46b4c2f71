"""Private names of OmegaConf."""

from typing import Any

from omegaconf import DictConfig


def root_of(node: DictConfig) -> DictConfig:
    """The whole configuration that a node is part of.

    Missing: a public way from a node to its parent; an error holds the node alone.
    """
    root: Any = node._get_root()
    assert isinstance(root, DictConfig)
    return root


def key_of(node: DictConfig) -> str | None:
    """The dotted key of a node in its configuration; None for a root.

    Missing: a public way to it; ``full_key`` is an attribute of errors alone.
    """
    key: str | None = node._get_full_key(None)
    return key
