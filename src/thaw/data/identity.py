"""Whether images are those that a run was trained on, and in words what is other about them."""

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

MAX_NAMED = 3


def class_changes(then: Any, now: Mapping[str, Any]) -> str:
    """The first classes that are others by their number, as ``1 was dog, is fox``; empty for none.

    Args:
        then: the identity that is stored of the data (``ImageDataModule.identity``); one of before
            class names were stored has none to compare.
        now: that of the data as they are.
    """
    before = then.get("classes") if isinstance(then, Mapping) else None
    if not isinstance(before, list):
        return ""
    pairs = zip_longest(before, now["classes"], fillvalue="no class")
    changed = [f"{k} was {old}, is {new}" for k, (old, new) in enumerate(pairs) if old != new]
    more = f" and {len(changed) - MAX_NAMED} more" if len(changed) > MAX_NAMED else ""
    return ", ".join(changed[:MAX_NAMED]) + more


def changes(then: Any, now: Mapping[str, Any]) -> str:
    """What is other about data than it was, classes included; empty where nothing is."""
    if not isinstance(then, Mapping):
        return ""
    before, after = ({key: data.get(key) for key in ("name", "checksum")} for data in (then, now))
    classes = class_changes(then, now)
    if before == after and not classes:
        return ""
    words = f"{before} (now {after})"
    if classes:
        words += f", classes: {classes}"
    elif "classes" not in then and now["classes"] != sorted(now["classes"]):
        words += ", and its classes were numbered by their names as text, 10 before 2"
    return words
