"""Values are printed with errors that have sensible digits and no exponents."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from thaw.reporting.numbers import plus_minus


@pytest.mark.parametrize(
    ("mean", "error", "places", "expected"),
    [
        (201.75, 190, ".2f", "200 ± 190"),
        (201.75, 190, ".4g", "200 ± 190"),
        (201.75, 19.2, ".2f", "202 ± 19"),
        (201.75, 4.21, ".2f", "201.75 ± 4.2"),
        (1.0, 3.5e-07, ".2f", "1.00 ± 0.00"),
        (1.0, 0.0, ".4g", "1.000 ± 0.000"),
        (22.75, 1.7678, ".2f", "22.75 ± 1.8"),
        (1234.5, 99.6, ".2f", "1230 ± 100"),
        (9.96, 9.96, ".2f", "10 ± 10"),
        (0.00012345, 0.00001, ".3g", "0.000123 ± 0.000010"),
        (0.0123, 0.0345, ".3f", "0.012 ± 0.035"),
        (-0.001, 0.0, ".2f", "0.00 ± 0.00"),
        (2.5, 0.707, ".0f", "2.5 ± 0.7"),
        (1_000_000, 12_345, ",.0f", "1,000,000 ± 12,000"),
        (float("inf"), float("nan"), ".2f", "inf ± nan"),
    ],
)
def test_a_value_and_its_error(mean: float, error: float, places: str, expected: str) -> None:
    assert plus_minus(mean, error, places) == expected
    assert plus_minus(mean, error, places, "+-") == expected.replace("±", "+-")


@example(1.5, 0.0, ",.0f")
@given(
    st.floats(-1e6, 1e6), st.floats(0, 1e6), st.sampled_from([".2f", ".4f", ",.0f", ".4g", ".3g"])
)
def test_no_error_is_an_exponent_and_both_are_close(mean: float, error: float, places: str) -> None:
    value, shown = plus_minus(mean, error, places).replace(",", "").split(" ± ")
    assert re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value)
    assert re.fullmatch(r"[0-9]+(\.[0-9]+)?", shown)
    assert abs(float(shown) - error) <= max(0.1 * error, 0.06)
    rounding = 0.06 if error else 0.5  # without an error whole numbers stay whole
    assert abs(float(value) - mean) <= max(rounding, 0.06 * error, 0.001 * abs(mean))
