"""How a measured value is printed with its error."""

import math


def plus_minus(mean: float, error: float, places: str = ".2f", sign: str = "±") -> str:
    """``22.75 ± 1.8``: the error in two digits and never an exponent.

    The error has no more decimals than the value, and a value whose error is 10 or more is rounded
    where its error is: ``200 ± 190``.

    Args:
        mean: the value.
        error: its standard deviation or error, 0 or more.
        places: how the value alone is printed: ``.2f``, ``,.0f``, or significant digits, ``.4g``.
        sign: between the two; ``+-`` where there is only ASCII.
    """
    if not math.isfinite(mean) or not math.isfinite(error):
        return f"{number(mean, places)} {sign} {error:.2g}"
    digits = 1 - _order(error) if error else 0
    decimals = _decimals(mean, places)
    if digits > 0:
        decimals = max(decimals, 1)  # whole numbers have means and errors that are none
    elif error:
        mean, decimals = round(mean, digits), 0
    comma = "," if "," in places else ""
    shown = min(digits, decimals) if digits > 0 else decimals
    return f"{number(mean, f'{comma}.{decimals}f')} {sign} {round(error, digits):{comma}.{shown}f}"


def number(value: float, places: str) -> str:
    """A value as ``places`` has it; nothing is less than no zero."""
    text = format(value, places)
    return text if text.strip("-0.,") else text.removeprefix("-")


def _decimals(mean: float, places: str) -> int:
    digits = int(places.strip(",.fg"))
    if places.endswith("f") or not mean:
        return digits
    return max(0, digits - 1 - _order(mean))


def _order(value: float) -> int:
    """k of the leading digit, value = d 10^k, after rounding to two digits."""
    return int(f"{abs(value):.1e}".partition("e")[2])
