"""What a signature allows is checked, wherever a value comes from, and said in one line."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Interval, Len, Lt
from omegaconf import OmegaConf

from thaw.checks import (
    Count,
    Seed,
    Share,
    check,
    check_fields,
    checked,
    shown,
)

Betas = Annotated[Sequence[Annotated[float, Ge(0), Lt(1)]], Len(2, 2)]


@pytest.mark.parametrize(
    ("annotation", "allowed", "refused", "words"),
    [
        (Count, [1, 10**9], [0, -1, 2.5, "3", True, None, 2**63], "a whole number of at least 1"),
        (Annotated[int, Interval(ge=1, le=5)], [1, 5], [0, 6], "a whole number from 1 to 5"),
        (Seed, [0, 2**32 - 1], [-1, 2**32], "a whole number from 0 to 4294967295"),
        (float, [0, 1.5, -3], [float("nan"), float("inf"), True, "1"], "a number"),
        (Annotated[float, Gt(0)], [1e-300, 7], [0, -1], "a number above 0"),
        (Annotated[float, Gt(0), Lt(1)], [0.5], [0, 1], "a number above 0 and below 1"),
        (Share, [0, 1, 0.3], [-0.1, 1.1], "a number from 0 to 1"),
        (bool, [True, False], [0, 1, "yes", None], "true or false"),
        (str, ["", "a"], [5, None], "text"),
        (Literal["a", "b"], ["a", "b"], ["c", 1, None], "one of a, b"),
        (Literal["warn", False], ["warn", False], [0, True], "one of warn, false"),
        (Literal["mask"] | None, ["mask", None], ["x"], "mask or null"),
        (Count | None, [3, None], [0], "a whole number of at least 1 or null"),
        (Betas, [(0.9, 0.999), [0, 0]], [[0.9], [0, 1], "ab", 5, None],
         "a list of 2, each entry a number of at least 0 and below 1"),
        (Sequence[int], [[], (1,)], [[1.5], 1, "1"], "a list, each entry a whole number"),
        (dict, [{}], [[]], "a dict"),
    ],
)  # fmt: skip
def test_what_is_allowed_passes_and_the_rest_is_refused(
    annotation: Any, allowed: Sequence[Any], refused: Sequence[Any], words: str
) -> None:
    for value in allowed:
        check("key", value, annotation)
    for value in refused:
        with pytest.raises(ValueError, match="^key must be ") as error:
            check("key", value, annotation)
        assert str(error.value) == f"key must be {words}, got {shown(value)}"


class Part:
    @checked
    def __init__(self, sigma: Annotated[float, Gt(0)], steps: Count | None = None) -> None:
        self.sigma, self.steps = sigma, steps


class Heir(Part):
    pass


def test_a_constructor_checks_its_arguments_however_they_are_given() -> None:
    assert Part(2.0, 3).steps == Heir(sigma=2.0, steps=3).steps == 3
    for wrong in (lambda: Part(0), lambda: Part(sigma=0), lambda: Heir(0)):
        with pytest.raises(ValueError, match=r"^sigma must be a number above 0, got 0$"):
            wrong()
    with pytest.raises(TypeError, match="sigma"):
        Part()  # type: ignore[call-arg]


def test_a_long_value_is_shortened() -> None:
    with pytest.raises(ValueError, match="^key must be ") as error:
        check("key", list(range(1000)), int)
    assert len(str(error.value)) < 200


@dataclass
class Inner:
    steps: Count | None = None


@dataclass
class Outer:
    weights: Annotated[str, Literal["ema", "raw"]] = "ema"
    inner: Annotated[Any, Inner] = field(default_factory=dict)
    anything: Any = None


@pytest.mark.parametrize(
    "values", [{}, {"inner": {"steps": 3}, "weights": "raw"}, {"anything": []}]
)
def test_fields_are_checked_by_their_annotations(values: dict[str, Any]) -> None:
    check_fields(Outer, values)
    check_fields(Outer, OmegaConf.merge(OmegaConf.structured(Outer), values))


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"weights": "both"}, "weights must be one of ema, raw, got 'both'"),
        (
            {"inner": {"steps": 0}},
            "inner.steps must be a whole number of at least 1 or null, got 0",
        ),
        ({"inner": 3}, "inner must hold keys and values, got 3"),
    ],
)
def test_a_wrong_field_is_named(values: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=f"^at[.]{re.escape(line)}$"):
        check_fields(Outer, values, "at.")
