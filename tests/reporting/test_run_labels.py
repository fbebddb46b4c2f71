"""Labels tell runs apart, and runs that differ by seed alone belong together."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thaw.reporting.finished import FinishedRun
from thaw.reporting.groups import group_by_seed
from thaw.reporting.labels import differing, in_order, labels, natural


def run(name: str, record: dict[str, Any]) -> FinishedRun:
    return FinishedRun(Path(name), {"status": "completed"} | record)


def test_what_every_run_overrides_is_left_out() -> None:
    overrides = [["data=x", "lr=1", "seed=0"], ["data=x", "lr=2", "seed=0"], ["data=x"]]
    assert differing(overrides) == [["lr=1", "seed=0"], ["lr=2", "seed=0"], []]
    assert differing([["data=x", "lr=1"]]) == [["data=x", "lr=1"]]


@pytest.mark.parametrize(
    ("overrides", "names", "expected"),
    [
        ([["a=1", "b=2"], ["a=1", "b=3"]], [None, None], ["b=2", "b=3"]),
        ([["a=1", "b=2", "c=3"], ["a=2", "b=2"]], [None, None], ["a=1 c=3", "a=2"]),
        ([["a=1"], ["a=2"]], ["mine", None], ["mine", "a=2"]),
        ([["experiment=rows"], ["experiment=columns"]], [None, None], ["rows", "columns"]),
        ([["experiment=rows", "lr=1"], []], [None, None], ["rows lr=1", "default"]),
        # How a run is scored is left out, unless nothing else tells it apart.
        ([["a=1", "metrics=none"], ["a=2", "metrics.num_samples=5"]], [None] * 2, ["a=1", "a=2"]),
        ([["metrics.num_samples=5"], []], [None] * 2, ["metrics.num_samples=5", "default"]),
        ([["a=1", "a=2"], ["a=2", "b=1"]], [None] * 2, ["default", "b=1"]),  # the last a counts
        ([["a=1"], ["a=1"], ["a=2"]], [None] * 3, ["a=1 (1)", "a=1 (2)", "a=2"]),
        ([["a=1"], ["a=2"], ["a=3"]], ["x", "x", "x (1)"], ["x (2)", "x (3)", "x (1)"]),
        ([["a=1"]], [None], ["a=1"]),
    ],
)
def test_labels_say_what_no_other_run_has(
    overrides: list[list[str]], names: list[str | None], expected: list[str]
) -> None:
    assert labels(overrides, names) == expected


NAMES = st.sampled_from(["x", "x (1)", "x (2)", "x (1) (1)", "a=1", None])
RUNS = st.lists(st.tuples(st.lists(st.sampled_from(["a=1", "a=2", "experiment=x"])), NAMES))


@given(RUNS)
def test_no_two_labels_are_the_same(runs: list[tuple[list[str], str | None]]) -> None:
    found = labels([overrides for overrides, _ in runs], [name for _, name in runs])
    assert len(set(found)) == len(found) == len(runs)


def test_seeds_of_one_experiment_are_one_group_in_the_order_given() -> None:
    found = [
        run("a", {"overrides": ["lr=1", "seed=2"], "seed": 2}),
        run("b", {"overrides": ["lr=2", "seed=1"], "seed": 1}),
        run("c", {"overrides": ["seed=1", "lr=1"], "seed": 1}),  # in another order
        run("d", {"overrides": ["lr=1"], "seed": 0}),  # the default seed
        run("e", {"overrides": ["lr=1", "degradation.seed=3", "seed=1"], "seed": 1}),
    ]
    groups = group_by_seed(found)
    members = [[member.directory.name for member in group.members] for group in groups]
    assert members == [["a", "c", "d"], ["b"], ["e"]]
    assert [group.title for group in groups] == ["lr=1", "lr=2", "lr=1 degradation.seed=3"]


def test_a_name_given_in_the_configuration_is_the_title() -> None:
    found = [
        run("a", {"overrides": ["lr=1", "name=mine"], "config": {"name": "mine"}}),
        run("b", {"overrides": ["lr=2"], "config": {"name": None}, "name": "0_lr=2"}),
    ]
    assert [group.title for group in group_by_seed(found)] == ["mine", "lr=2"]


ACTIVATIONS = [
    run("0_gelu", {"overrides": ["model.activation=gelu", "lr=1"]}),
    run("1_relu", {"overrides": ["model.activation=relu", "lr=1"]}),
    run("2_relu", {"overrides": ["model.activation=relu", "lr=2", "metrics.num_samples=9"]}),
    run("3_rows", {"overrides": ["experiment=rows"]}),
]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({}, ["model.activation=gelu lr=1", "model.activation=relu lr=1",
              "model.activation=relu lr=2", "rows"]),
        ({"model.activation=gelu": "GELU", "lr=2": "fast"},
         ["GELU lr=1", "model.activation=relu lr=1", "model.activation=relu fast", "rows"]),
        ({"model.activation=relu": "ReLU", "model.activation=relu lr=2": "both"},
         ["model.activation=gelu lr=1", "ReLU lr=1", "both", "rows"]),
        ({"0_gelu": "a", "experiment=rows": "Rows, random"},
         ["a", "model.activation=relu lr=1", "model.activation=relu lr=2", "Rows, random"]),
        ({"0_gelu": "same", "1_relu": "same", "rows": "r"},
         ["same (1)", "same (2)", "model.activation=relu lr=2", "r"]),
    ],
)  # fmt: skip
def test_names_stand_in_place_of_settings_titles_and_directories(
    names: dict[str, str], expected: list[str]
) -> None:
    assert [group.title for group in group_by_seed(ACTIVATIONS, names)] == expected


def test_a_name_for_what_no_run_is_says_so() -> None:
    with pytest.raises(ValueError, match="labels: no run is lr=3; they are model.activation=gelu"):
        group_by_seed(ACTIVATIONS, {"lr=3": "x"})
    group_by_seed(ACTIVATIONS, {"metrics.num_samples=9": "of no title, but there"})


def test_runs_of_which_no_overrides_are_known_stand_alone_under_their_directory() -> None:
    groups = group_by_seed([run("a/1", {}), run("a/2", {}), run("b", {"overrides": []})])
    assert [group.title for group in groups] == ["a/1", "a/2", "default"]


def seed(number: int, status: str = "completed", **more: Any) -> FinishedRun:
    return run(
        f"{status} {number}",
        {"overrides": ["lr=1", f"seed={number}"], "seed": number, "status": status, "epochs": 4}
        | more,
    )


def test_what_is_not_completed_stands_beside_the_mean_and_not_in_it() -> None:
    found = [
        seed(1, "interrupted", epochs=2),
        seed(2),
        seed(3),
        seed(4, "running"),
        seed(5, "running"),
    ]
    groups = group_by_seed([*found, run("other", {"overrides": ["lr=2"]})])
    assert [(group.title, [each.record["seed"] for each in group.members])
            for group in groups[:-1]] == [
        ("lr=1 seed=1", [1]),
        ("lr=1", [2, 3]),
        ("lr=1 seed=4", [4]),
        ("lr=1 seed=5", [5]),
    ]  # fmt: skip
    assert groups[-1].title == "lr=2"


@pytest.mark.parametrize(
    "otherwise",
    [{"epochs": 2}, {"last_epoch": {"val/n": 100}}, {"final_scores": {"final/n": 5}}],
)
def test_runs_trained_or_scored_otherwise_are_no_repetition(otherwise: dict[str, Any]) -> None:
    groups = group_by_seed([seed(1, **otherwise), seed(2), seed(3)])
    assert [len(group.members) for group in groups] == [1, 2]
    assert len({group.title for group in groups}) == 2


def test_the_same_seed_once_more_is_no_other_seed() -> None:
    groups = group_by_seed([seed(1), seed(1), seed(2)])
    assert [len(group.members) for group in groups] == [2, 1]
    assert len({group.title for group in groups}) == 2


def job(number: int | None, *overrides: str) -> dict[str, Any]:
    return {"overrides": list(overrides)} | ({} if number is None else {"job_number": number})


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ({"x~f1": job(1), "x~a9": job(2), "x~c3": job(0)}, ["x~c3", "x~f1", "x~a9"]),
        # Two commands have filled the folder.
        ({"x=10": job(0), "x=9": job(0), "x=100": job(1)}, ["x=9", "x=10", "x=100"]),
        # One that cannot be read comes last and leaves the others their order.
        ({"a": {"status": "damaged"}, "b": job(1), "c": job(0)}, ["c", "b", "a"]),
        ({"10_x": {}, "9_x": {}, "0_x": {}}, ["0_x", "9_x", "10_x"]),
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
