"""How measured values are printed: with an error, and a score with its floor."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from thaw.metrics.table import Score


def scores_in_words(scores: Sequence[Score], values: Mapping[str, Any], prefix: str = "") -> str:
    """``FID 20.00 (floor 1.50)  IS 7.25 +- 0.10 (floor 9.75)``: those scores that have a value."""
    return "  ".join(
        _in_words(score, values, prefix) for score in scores if f"{prefix}{score.name}" in values
    )


def _in_words(score: Score, values: Mapping[str, Any], prefix: str) -> str:
    text = number(values[f"{prefix}{score.name}"], score.format)
    for name in (score.error, score.std):
        if (error := values.get(f"{prefix}{name}")) is not None:
            text = plus_minus(values[f"{prefix}{score.name}"], error, score.format, "+-")
            break
    unit = f" {score.unit}" if score.unit else ""
    floor = values.get(f"{prefix}{score.floor}")
    above = "" if floor is None else f" (floor {number(floor, score.format)})"
    return f"{score.label} {text}{unit}{above}"


def plus_minus(mean: float, error: float, places: str = ".2f", sign: str = "±") -> str:
    """``22.75 ± 1.8``: the error in two digits and never an exponent.

    The error has no more decimals than the value, and a value whose error is 10 or more is rounded
    to the same digit as its error: ``200 ± 190``.

    Args:
        mean: the value.
        error: its standard deviation or error, 0 or more.
        places: format of the value alone: ``.2f``, ``,.0f``, or significant digits, ``.4g``.
        sign: text between the two, ``+-`` where only ASCII is safe.
    """
    if not math.isfinite(mean) or not math.isfinite(error):
        return f"{number(mean, places)} {sign} {error:.2g}"
    digits = 1 - _order(error) if error else 0
    decimals = _decimals(mean, places)
    if digits > 0:
        decimals = max(decimals, 1)  # means of whole numbers are fractions
    elif error:
        mean, decimals = round(mean, digits), 0
    comma = "," if "," in places else ""
    shown = min(digits, decimals) if digits > 0 else decimals
    return f"{number(mean, f'{comma}.{decimals}f')} {sign} {round(error, digits):{comma}.{shown}f}"


def number(value: float, places: str) -> str:
    """A value in the format ``places``, without the sign of -0."""
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
