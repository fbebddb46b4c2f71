"""Tables say what was measured: in full as CSV, escaped as LaTeX, and nothing that was not."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reporting_support import (
    STAGES,
    final_scores,
    record,
    restoration,
    rows,
)

from thaw.reporting.finished import FinishedRun
from thaw.reporting.groups import Group
from thaw.reporting.results import FLOOR, best, estimates, evaluations, restorations, results
from thaw.reporting.settings import environment, hyperparameters
from thaw.reporting.tables import MISSING, Cell, Number, Table

FIDS = (12.34567890123456, 15.1, 11.0000000000001)


def run(family: str = "cold", seed: int = 0, **changes: Any) -> FinishedRun:
    return FinishedRun(Path(f"{family}_{seed}"), record(family, seed, **changes))


def group(title: str, *members: FinishedRun) -> Group:
    return Group(title, members or [run()])


def seeds() -> Group:
    """Three seeds that differ in FID and in wall time."""
    return group(
        "columns",
        *(run(seed=seed, final_scores=final_scores(fid)) for seed, fid in enumerate(FIDS)),
    )


def line(table: Table, *first: str) -> dict[str, Cell]:
    """The row that begins with these cells, by column."""
    (found,) = [row for row in table.rows if tuple(map(str, row[: len(first)])) == first]
    return dict(zip(table.columns, found, strict=True))


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_mean_and_deviation_over_seeds_are_numpys() -> None:
    cell = line(results([seeds()]), "columns")["FID"]
    assert isinstance(cell, Number)
    assert cell.mean == pytest.approx(np.mean(FIDS), rel=1e-12)
    assert cell.std == pytest.approx(np.std(FIDS, ddof=1), rel=1e-12)
    assert cell.count == 3
    assert str(cell) == f"{np.mean(FIDS):.2f} ± {np.std(FIDS, ddof=1):.2g}"


def test_of_seeds_of_which_some_failed_those_that_have_a_score_count() -> None:
    failed = run(seed=2, status="failed", final_scores=None, last_epoch=None, epochs=None)
    members = [run(final_scores=final_scores(10)), run(final_scores=final_scores(14)), failed]
    row = line(results([group("x", *members)]), "x")
    fid = row["FID"]
    assert isinstance(fid, Number)
    assert (fid.mean, fid.count) == (12.0, 2)
    assert str(row["seeds"]) == "3"


@pytest.mark.parametrize("value", [None, math.nan])
def test_what_is_no_number_is_missing_and_neither_zero_nor_nan(value: Any, tmp_path: Path) -> None:
    scores = final_scores(value)
    table = results([group("a", run(final_scores=scores)), group("b")])
    assert line(table, "a")["FID"] == MISSING
    assert str(line(table, "b")["FID"]) == "20.00"
    table.write_csv(tmp_path / "results.csv")
    assert read_csv(tmp_path / "results.csv")[0]["FID"] == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"final_scores": None, "last_epoch": None, "restoration": None, "wall_time_s": None},
        {"final_scores": [1], "last_epoch": [1], "restoration": {"direct": 3}, "epochs": "3"},
    ],
)
def test_a_run_without_results_has_a_row_of_nothing(changes: dict[str, Any]) -> None:
    table = results([group("empty", run(**changes)), group("full")])
    row = line(table, "empty")
    assert {row[name] for name in ("loss", "FID", "IS", "PSNR direct (dB)")} == {MISSING}
    assert str(line(table, "full")["loss"]) == f"{rows(0)[-1]['train/loss']:.4f}"


def test_a_column_without_any_value_is_left_out() -> None:
    hot = run("hot")
    assert "PSNR direct (dB)" not in results([group("hot", hot)]).columns
    assert "PSNR direct (dB)" in results([group("hot", hot), group("cold")]).columns


def test_the_floors_stand_under_the_scores_that_they_belong_to() -> None:
    row = line(results([seeds()]), FLOOR)
    shown = {column: str(cell) for column, cell in row.items() if cell != MISSING}
    assert shown == {
        "run": FLOOR, "FID": "1.50", "IS": "9.75", "KID": "0.0010",
        "class KL": "0.0020", "N": "1000",
    }  # fmt: skip


def test_each_number_of_images_has_floors_of_its_own() -> None:
    few = final_scores(30) | {"final/n": 100, "final/fid_floor": 15.0}
    table = results([group("a"), group("b", run(final_scores=few)), group("c")])
    floors = [row for row in table.rows if row[0] == FLOOR]
    columns = [list(table.columns).index(name) for name in ("N", "FID")]
    shown = sorted(tuple(str(row[k]) for k in columns) for row in floors)
    assert shown == [("100", "15.00"), ("1000", "1.50")]


def test_the_last_epoch_s_and_the_final_scores_stand_side_by_side() -> None:
    table = estimates([group("x"), group("none", run(final_scores=None, last_epoch=None))])
    last, final = line(table, "x", "last epoch"), line(table, "x", "final")
    assert (str(last["FID"]), str(last["FID floor"]), str(last["N"])) == ("33.33", "4.00", "250")
    assert (str(final["FID"]), str(final["FID floor"]), str(final["N"])) == (
        "20.00", "1.50", "1000",
    )  # fmt: skip
    assert (last["sampler"], final["sampler"]) == ("DDIM, 25 steps", "Ancestral, 1000 steps")
    assert last["precision"] == MISSING
    assert "none" not in [row[0] for row in table.rows]


def test_restorations_have_a_row_a_stage_and_none_for_a_gaussian_run() -> None:
    table = restorations([group("hot", run("hot")), group("cold")])
    assert [row[0] for row in table.rows] == ["cold"] * 4
    titles = ("degraded", "direct prediction", "Algorithm 1", "Algorithm 2")
    for k, (stage, title) in enumerate(zip(STAGES[1:], titles, strict=True)):
        row = line(table, "cold", title)
        assert str(row["PSNR (dB)"]) == f"{restoration()[stage]['psnr']:.2f}" == f"{10 + k:.2f}"
        assert str(row["SSIM"]) == f"0.{5 + k}00"
        assert (str(row["FID"]), str(row["FID floor"])) == (f"{90 - k}.00", "0.25")
        assert (str(row["N"]), row["sampler"]) == ("1000", "Cold, 28 steps")


def test_later_evaluations_have_a_row_each_with_prior_and_sampler() -> None:
    evaluated = run()
    scores = {"fid": 21.456, "n": 500, "num_classes": 9, "images": "from gmm", "sampler": "Cold"}
    evaluated.evaluations = [{"generated": scores}, {}]
    table = evaluations([group("columns", evaluated, run(seed=1)), group("none")])
    (row,) = (dict(zip(table.columns, map(str, row), strict=True)) for row in table.rows)
    assert row["run"] == "columns"
    assert (row["images"], row["sampler"]) == ("from gmm", "Cold")
    assert (row["FID"], row["N"], row["classes"]) == ("21.46", "500", "9")
    assert "precision" not in row  # nowhere


def test_the_csv_holds_the_numbers_in_full(tmp_path: Path) -> None:
    results([seeds(), group("other")]).write_csv(tmp_path / "results.csv")
    columns, other, _ = read_csv(tmp_path / "results.csv")
    assert float(columns["FID"]) == np.mean(FIDS)
    assert float(columns["FID std"]) == pytest.approx(np.std(FIDS, ddof=1), rel=1e-15)
    counts = ("FID seeds", "parameters", "epochs", "N", "classes", "seeds")
    assert [columns[name] for name in counts] == ["3", "15905", "3", "1000", "10", "3"]
    assert (other["FID"], other["FID std"], other["FID seeds"]) == ("20.0", "", "")
    assert float(other["loss"]) == rows(0)[-1]["train/loss"]


def test_whole_numbers_stay_whole_beside_empty_cells_and_means_of_them_are_fractions(
    tmp_path: Path,
) -> None:
    groups = [group("a", run(epochs=None)), group("b"), group("c", run(epochs=3), run(epochs=4))]
    results(groups).write_csv(tmp_path / "results.csv")
    assert [row["epochs"] for row in read_csv(tmp_path / "results.csv")] == ["", "3", "3.5", ""]


def test_a_caption_speaks_of_columns_that_are_there_and_says_how_they_were_measured() -> None:
    whole = results([seeds()]).caption
    assert "3 seeds: means and standard deviations" in whole
    assert "N = 1,000, encoder mnist-cnn-v1" in whole
    for word in ("FID", "class KL", "floor", "PSNR", "one prediction", "Algorithm 2"):
        assert word in whole
    assert "sampler" not in whole  # these runs have their algorithms
    scores = {"final/fid": 3.0, "final/n": 500}
    bare = results([group("x", run("hot", final_scores=scores, restoration=None))]).caption
    assert bare == (
        "Results of each run after its last epoch, one seed. FID is of generated images, which "
        "start from the prior, not from an image of the data, N = 500. "
        "The floor, in the last rows, is what N real test images score: the best that N generated "
        "images can be expected to."
    )
    nothing = results([group("x", run("hot", final_scores=None, restoration=None))])
    assert nothing.caption == "Results of each run after its last epoch, one seed."
    psnr = {"direct": {"psnr": 12.0}, "n": 50}
    caption = restorations([group("x", run(restoration=psnr))]).caption
    assert "one prediction (direct), N = 50" in caption
    for word in ("Algorithm", "FID", "RMSE"):
        assert word not in caption


def test_floors_are_the_last_rows() -> None:
    table = results([group("a"), group("b", run(final_scores=None))])
    assert table.num_last == 1
    assert [row[0] for row in table.rows[-table.num_last :]] == [FLOOR]


def test_no_table_has_a_whole_checksum_or_commit() -> None:
    checksum, commit = "0123456789ab" + "f" * 52, "abcdef012345" + "0" * 28
    given = run(dataset={"name": "x", "checksum": checksum}, git={"commit": commit})
    found = settings(environment([group("a", given)]))
    assert found["data"] == ["name x, checksum 0123456789ab"]
    assert found["git"] == ["commit abcdef012345"]


def settings(table: Table) -> dict[str, Sequence[str]]:
    return {str(row[0]): [str(cell) for cell in row[1:]] for row in table.rows}


def test_what_differs_and_what_is_shared() -> None:
    """A cold and a hot run: the schedule that is composed for the cold one has no effect there."""
    different, shared = hyperparameters([group("cold"), group("hot", run("hot"))])
    assert list(different.columns) == ["hyperparameter", "cold", "hot"]
    assert settings(different) == {
        "degradation": ["column_random", "gaussian"],
        "prediction": ["clean", "noise"],
        "schedule": [MISSING, "linear"],
        "degradation.axis": ["column", MISSING],
        "degradation.order": ["random", MISSING],
        "degradation.group_size": ["1", MISSING],
        "schedule.timesteps": [MISSING, "50"],
    }
    assert settings(shared) == {
        "model": ["cnn"],
        "data.batch_size": ["128"],
        "model.hidden": ["16, 32, 32, 16"],
        "model.activation": ["gelu"],
        "optimizer.lr": ["0.0002"],
        "trainer.max_epochs": ["3"],
    }


def test_many_runs_have_a_row_each_so_that_the_table_fits_a_page() -> None:
    """The same cells, the other way round."""
    few, many = (
        hyperparameters(
            [group(f"{k}", run(overrides=[f"x={k}"], config={"a": k, "b": "c"})) for k in range(n)]
        )[0]
        for n in (12, 13)
    )
    assert list(few.columns) == ["hyperparameter", *map(str, range(12))]
    assert settings(few) == {"a": [f"{k}" for k in range(12)]}
    assert list(many.columns) == ["run", "a"]
    assert settings(many) == {f"{k}": [f"{k}"] for k in range(13)}


def test_the_best_are_those_of_the_lowest_fid_in_their_order() -> None:
    """By the final scores where there are any, else the last epoch's, else not at all."""
    final = {k: group(f"{k}", run(final_scores=final_scores(k))) for k in (30.0, 10.0, 40.0)}
    early = group("early", run(final_scores=None, last_epoch={"val/fid": 20.0}))
    unscored = group("unscored", run(final_scores=None, last_epoch={}))
    diverged = group("diverged", run(final_scores={"final/fid": math.nan}, last_epoch={}))
    groups = [unscored, final[30.0], early, diverged, final[10.0], final[40.0]]
    titles = [[each.title for each in best(groups, count)] for count in (1, 3, 5, 9)]
    assert titles == [
        ["10.0"],
        ["30.0", "early", "10.0"],
        ["unscored", "30.0", "early", "10.0", "40.0"],
        [each.title for each in groups],
    ]
    seeds_of_20 = group("seeds", *(run(seed=s, final_scores=final_scores(f)) for s, f in
                                   enumerate((5.0, 35.0))))  # fmt: skip
    assert best([seeds_of_20, final[10.0]], 1) == [final[10.0]]


def test_a_run_without_configuration_does_not_make_everything_differ() -> None:
    without = run(config=None, choices=None)
    different, shared = hyperparameters([group("a"), group("failed", without), group("b")])
    assert list(different.columns) == ["hyperparameter", "a", "b"]
    assert not different.rows
    assert "optimizer.lr" in settings(shared)


def with_rate(value: Any) -> FinishedRun:
    return run(config={"optimizer": {"lr": value}})


@pytest.mark.parametrize(
    ("one", "other"), [(2e-4, 2.0000001e-4), (1234567.0, 1234568.0), (None, "null"), (True, 1)]
)
def test_values_that_differ_are_not_called_the_same(one: Any, other: Any) -> None:
    different, _ = hyperparameters([group("a", with_rate(one)), group("b", with_rate(other))])
    (cells,) = settings(different).values()
    assert cells[0] != cells[1]


def test_the_environment_says_once_what_is_the_same_and_whose_what_differs() -> None:
    table = environment([group("a"), group("b", run(device="NVIDIA H200")), group("c")])
    found = {what: value for what, (value,) in settings(table).items()}
    assert found["device"] == "cpu (a, c); NVIDIA H200 (b)"
    assert found["cpu"] == "A processor, 2 cores"
    assert found["data"] == "name mnist_5k, checksum 0123"
    assert found["git"] == "commit abc123, dirty False"
    assert (found["torch"], found["num threads"]) == ("2.15.0", "2")


def test_a_long_list_is_shown_by_its_ends_and_its_length() -> None:
    """Such as the table of an imported schedule, and a short one whole."""
    alpha_bar = [1 - k / 200 for k in range(1, 101)]
    parts = {"alpha_bar": alpha_bar, "short": [16, 32]}
    given = run(config={"schedule": parts, "degradation": {"schedule": parts}})
    found = settings(hyperparameters([group("a", given)])[1])
    assert found["schedule.alpha_bar"] == ["0.995, 0.99, 0.985, ..., 0.5 (100 values)"]
    assert found["schedule.short"] == ["16, 32"]
