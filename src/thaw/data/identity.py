"""Whether images are those that a run was trained on, and in words what has changed."""

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

MAX_NAMED = 3


def class_changes(then: Any, now: Mapping[str, Any]) -> str:
    """The first classes that have changed, such as ``1 was dog, is fox``; empty for none.

    ``then`` is a stored :attr:`ImageDataModule.identity`; nothing is compared with anything else.
    """
    before = then.get("classes") if isinstance(then, Mapping) else None
    if not isinstance(before, list):
        return ""
    pairs = zip_longest(before, now["classes"], fillvalue="no class")
    changed = [f"{k} was {old}, is {new}" for k, (old, new) in enumerate(pairs) if old != new]
    more = f" and {len(changed) - MAX_NAMED} more" if len(changed) > MAX_NAMED else ""
    return ", ".join(changed[:MAX_NAMED]) + more


def changes(then: Any, now: Mapping[str, Any]) -> str:
    """What has changed about data, classes included; empty for nothing."""
    if not isinstance(then, Mapping):
        return ""
    before, after = ({key: data.get(key) for key in ("name", "checksum")} for data in (then, now))
    classes = class_changes(then, now)
    if before == after and not classes:
        return ""
    return f"{before} (now {after})" + (f", classes: {classes}" if classes else "")
