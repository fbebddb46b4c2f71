"""Checks of what a user may set, each ending in one clear line."""

import reprlib
from collections.abc import Callable, Collection, Sequence
from typing import TypeGuard

# The largest that torch and Lightning take, which count in 64 bits.
LARGEST_WHOLE = 2**63 - 1
LARGEST_SEED = 2**32 - 1
# Of one table or one bank: 1 GiB in single precision.
MAX_ELEMENTS = 2**28

Check = Callable[[str, object], None]

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80
_short.maxlevel = 3


def shown(value: object) -> str:
    """A value as it stands in a message: whole where it is short."""
    return " ".join(_short.repr(value).split())


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_whole(name: str, value: object, low: int = 1, high: int | None = None) -> None:
    """Refuse anything but a whole number in ``low..high``, of 64 bits.

    Raises:
        ValueError: naming the key, what is allowed and what was given.
    """
    allowed = f"of at least {low}" if high is None else f"from {low} to {high}"
    largest = LARGEST_WHOLE if high is None else high
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= largest:
        raise ValueError(f"{name} must be a whole number {allowed}, not {shown(value)}")


def check_between(name: str, value: object, low: float, high: float, open_: bool = False) -> None:
    """Refuse anything but a number in ``[low, high]``, or ``(low, high)`` where ``open_``.

    Raises:
        ValueError: naming the key, what is allowed and what was given.
    """
    if is_number(value) and (low < value < high or (not open_ and value in (low, high))):
        return
    ends = " (ends excluded)" if open_ else ""
    raise ValueError(
        f"{name} must be a number between {low:g} and {high:g}{ends}, not {shown(value)}"
    )


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Refuse anything but one of ``choices``.

    Raises:
        ValueError: listing them.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {shown(value)}")


def check_bool(name: str, value: object) -> None:
    """Refuse anything but true or false.

    Raises:
        ValueError: naming the key and what was given.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, not {shown(value)}")


def check_text(name: str, value: object) -> None:
    """Refuse anything but text, such as a path or a name; it may be empty.

    Raises:
        ValueError: naming the key and what was given.
    """
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text, not {shown(value)}")


def check_seed(name: str, value: object) -> None:
    """Refuse anything but a whole number that every library takes for a seed.

    Raises:
        ValueError: naming the key, what is allowed and what was given.
    """
    check_whole(name, value, 0, LARGEST_SEED)


def check_count(name: str, value: object, largest: int, low: int = 1) -> None:
    """Refuse anything but a whole number of at least ``low``, or one too large to work with.

    Raises:
        ValueError: naming the key, what is allowed and what was given.
    """
    check_whole(name, value, low)
    check_whole(name, value, low, max(low, largest))


def check_list(
    name: str, value: object, check: Check, such_as: str, length: int | None = None
) -> None:
    """Refuse anything but a list of what ``check`` passes, of ``length`` or of any but 0.

    Raises:
        ValueError: naming the key, an example and what was given.
    """
    if (
        isinstance(value, str)
        or not isinstance(value, Sequence)
        or not value
        or length not in (None, len(value))
    ):
        raise ValueError(f"{name} must be a list such as {such_as}, not {shown(value)}")
    for entry in value:
        check(f"each entry of {name}", entry)
