"""Checks: what passes, what does not, and the one line that says so."""

import math

import pytest

from thaw.checks import check_between, check_bool, check_choice, check_whole


@pytest.mark.parametrize(("value", "low", "high"), [(1, 1, None), (10**9, 1, None), (0, 0, 0)])
def test_whole_numbers_within_bounds_pass(value: int, low: int, high: int | None) -> None:
    check_whole("key", value, low, high)


@pytest.mark.parametrize("value", [0, 6, -1, 2.0, "2", True, None, math.nan, [2]])
def test_anything_else_is_no_whole_number(value: object) -> None:
    with pytest.raises(ValueError, match=r"^key must be a whole number from 1 to 5, not ") as error:
        check_whole("key", value, 1, 5)
    assert str(error.value).endswith(repr(value))


def test_without_an_upper_bound_the_line_says_so() -> None:
    with pytest.raises(ValueError, match=r"^key must be a whole number of at least 3, not 2$"):
        check_whole("key", 2, 3)


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.0, 0.5])
def test_numbers_within_bounds_pass(value: float) -> None:
    check_between("key", value, 0, 1)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf, "0.5", None, True])
def test_anything_else_is_not_between(value: object) -> None:
    with pytest.raises(ValueError, match=r"^key must be a number between 0 and 1, not "):
        check_between("key", value, 0, 1)


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.0])
def test_ends_can_be_excluded(value: float) -> None:
    with pytest.raises(ValueError, match=r"between 0 and 1 \(ends excluded\), not"):
        check_between("key", value, 0, 1, open_=True)
    check_between("key", 0.5, 0, 1, open_=True)


@pytest.mark.parametrize("value", ["c", "A", "", None, 1, ["a"]])
def test_a_choice_is_one_of_those_listed(value: object) -> None:
    check_choice("key", "a", ["a", "b"])
    with pytest.raises(ValueError, match=r"^key must be one of a, b, not "):
        check_choice("key", value, ["a", "b"])


@pytest.mark.parametrize("value", [0, 1, "true", None])
def test_true_and_false_only(value: object) -> None:
    check_bool("key", True)
    check_bool("key", False)
    with pytest.raises(ValueError, match=r"^key must be true or false, not "):
        check_bool("key", value)
