"""Checks: what passes, what does not, and the one line that says so."""

import math

import pytest

from thaw.checks import (
    check_between,
    check_bool,
    check_choice,
    check_count,
    check_list,
    check_seed,
    check_text,
    check_whole,
    shown,
)


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


@pytest.mark.parametrize("value", [2**63, 10**400])
def test_no_whole_number_is_of_more_than_64_bits(value: int) -> None:
    check_whole("key", 2**63 - 1)
    with pytest.raises(
        ValueError, match=r"^key must be a whole number of at least 1, not "
    ) as error:
        check_whole("key", value)
    assert len(str(error.value)) < 120


def test_too_many_are_refused_with_how_many_there_may_be() -> None:
    check_count("key", 10, 10)
    with pytest.raises(ValueError, match=r"^key must be a whole number from 1 to 10, not 11$"):
        check_count("key", 11, 10)
    with pytest.raises(ValueError, match=r"^key must be a whole number of at least 1, not 0$"):
        check_count("key", 0, 10)


@pytest.mark.parametrize("value", [-1, 2**32, 0.5, "0", None, True])
def test_a_seed_is_of_32_bits(value: object) -> None:
    check_seed("key", 2**32 - 1)
    with pytest.raises(ValueError, match="^key must be a whole number from 0 to 4294967295, not "):
        check_seed("key", value)


@pytest.mark.parametrize("value", [5, None, ["a"], True])
def test_text_only(value: object) -> None:
    check_text("key", "")
    with pytest.raises(ValueError, match="^key must be text, not "):
        check_text("key", value)


@pytest.mark.parametrize("value", [[], "ab", None, 5, {"a": 1}, [1], [1, 2, 3]])
def test_a_list_of_so_many(value: object) -> None:
    check_list("key", [1, 2], check_whole, "[1,2]", 2)
    with pytest.raises(ValueError, match=r"^key must be a list such as \[1,2\], not "):
        check_list("key", value, check_whole, "[1,2]", 2)


def test_each_entry_of_a_list_is_checked() -> None:
    with pytest.raises(ValueError, match="^each entry of key must be a whole number"):
        check_list("key", [1, "2"], check_whole, "[1,2]")


@pytest.mark.parametrize(
    "value", ["x" * 10_000, list(range(10_000)), "a\nb", {"a": ["b" * 999] * 99}]
)
def test_what_is_shown_is_short_and_one_line(value: object) -> None:
    assert len(shown(value)) < 1000
    assert "\n" not in shown(value)
