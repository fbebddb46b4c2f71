"""Runs are shown in the order of their sweep, with numbers sorted as numbers."""

from pathlib import Path
from typing import Any

import pytest

from thaw.reporting.order import in_order, natural


def job(number: int | None, *overrides: str, name: str | None = "mine") -> dict[str, Any]:
    numbered = {} if number is None else {"job_number": number}
    return numbered | {"overrides": list(overrides), "config": {"sweep": {"name": name}}}


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ({"x~f1": job(1), "x~a9": job(2), "x~c3": job(0)}, ["x~c3", "x~f1", "x~a9"]),
        # Two commands have filled the folder, or one of an earlier version.
        (
            {"a": job(0, "seed=10"), "b": job(0, "seed=9"), "c": job(1, "seed=100")},
            ["b", "a", "c"],
        ),
        (
            {"a": job(None, "lr=1e-2"), "b": job(0, "lr=2e-3"), "c": job(None, "lr=0.005")},
            ["b", "c", "a"],
        ),
        # One that cannot be read comes last and leaves the others their order.
        ({"a": {"status": "damaged"}, "b": job(1), "c": job(0)}, ["c", "b", "a"]),
        ({"10_x": {}, "9_x": {}, "0_x": {}}, ["0_x", "9_x", "10_x"]),
        # Single runs of a day.
        (
            {"09-10-00_seed=2": job(None, name=None), "09-09-59_seed=3": job(None, name=None)},
            ["09-09-59_seed=3", "09-10-00_seed=2"],
        ),
        ({}, []),
    ],
)
def test_runs_are_in_the_order_of_their_sweep(
    records: dict[str, dict[str, Any]], expected: list[str]
) -> None:
    found = in_order({Path(name): record for name, record in records.items()})
    assert [path.name for path in found] == expected


def test_numbers_sort_as_numbers() -> None:
    texts = ["lr=0.1", "lr=2e-4", "lr=1e-3", "lr=-5", "lr=-0.5", "x_10", "x_9", "x_9.5"]
    assert sorted(texts, key=natural) == [
        "lr=-5", "lr=-0.5", "lr=2e-4", "lr=1e-3", "lr=0.1", "x_9", "x_9.5", "x_10",
    ]  # fmt: skip
