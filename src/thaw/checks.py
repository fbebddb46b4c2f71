"""Checks of what a user may set, each ending in one clear line."""

from collections.abc import Collection


def check_whole(name: str, value: object, low: int = 1, high: int | None = None) -> None:
    """Refuse anything but a whole number in ``low..high``.

    Raises:
        ValueError: naming the key, what is allowed and what was given.
    """
    allowed = f"of at least {low}" if high is None else f"from {low} to {high}"
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or value < low
        or (high is not None and value > high)
    ):
        raise ValueError(f"{name} must be a whole number {allowed}, not {value!r}")


def check_between(name: str, value: object, low: float, high: float, open_: bool = False) -> None:
    """Refuse anything but a number in ``[low, high]``, or ``(low, high)`` where ``open_``.

    Raises:
        ValueError: naming the key, what is allowed and what was given.
    """
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and (low < value < high or (not open_ and value in (low, high)))
    ):
        return
    ends = " (ends excluded)" if open_ else ""
    raise ValueError(f"{name} must be a number between {low:g} and {high:g}{ends}, not {value!r}")


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Refuse anything but one of ``choices``.

    Raises:
        ValueError: listing them.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def check_bool(name: str, value: object) -> None:
    """Refuse anything but true or false.

    Raises:
        ValueError: naming the key and what was given.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, not {value!r}")
