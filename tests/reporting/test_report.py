"""The report: everything that there is, what there is not by name, and nothing from elsewhere."""

import base64
import csv
import io
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from page_support import Page
from PIL import Image
from report_runs import Report
from reporting_support import (
    HOSTILE,
    record,
    rows,
    write_events,
    write_metrics,
    write_record,
)

import thaw.reporting
from thaw.reporting.report import Options, write_report
from thaw.reporting.sections import chosen_epochs

FIGURES = {
    "fid", "is", "loss", "samples", "restoration", "classes", "schedules", "activations",
}  # fmt: skip
TABLES = {
    "results", "estimates", "restoration", "hyperparameters", "hyperparameters_shared",
    "environment",
}  # fmt: skip
SCRIPT = Path(thaw.reporting.__file__).with_name("report.js")
SVG = "{http://www.w3.org/2000/svg}"


def small_run(folder: Path, **changes: Any) -> Path:
    """A run of run.json alone, so that nothing is drawn."""
    run_dir = folder / "run"
    without = {"final_scores": None, "config": None}
    write_record(run_dir, record("cold", 0, **without | changes))
    return run_dir


def page_of(run_dirs: list[Path], out: Path, title: str = "A title", **shown: Any) -> Page:
    return Page(write_report(run_dirs, out, Options(title, **shown)).read_text(encoding="utf-8"))


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_page_s_elements_close_and_what_users_wrote_is_text(report: Report) -> None:
    page = report.page  # parsed: every element closed
    assert page.of("script") == [{}]
    assert [script.strip() for script in page.scripts] == [SCRIPT.read_text().strip()]
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert f"Title {HOSTILE}" in page.text
    assert f"hot {HOSTILE}" in page.text
    assert f"no luck: {HOSTILE}" in page.text
    assert f"degradation=gaussian model.comment={HOSTILE}" in page.text
    assert HOSTILE in [row[1] for row in page.tables["table-hyperparameters"]]


def test_of_more_runs_than_can_be_shown_the_best_have_figures_and_all_have_rows(
    tmp_path: Path,
) -> None:
    run_dirs = [
        small_run(tmp_path / f"{k}", overrides=[f"x={k}"], final_scores={"final/fid": fid})
        for k, fid in enumerate((20.0, 5.0, 90.0, 10.0))
    ]
    for k, run_dir in enumerate(run_dirs):
        write_metrics(run_dir, rows(k, 2))
    out = tmp_path / "out"
    page = page_of(run_dirs, out, num_shown=2)
    assert [row[0] for row in page.tables["table-results"][1:5]] == ["x=0", "x=1", "x=2", "x=3"]
    assert "Figures show the 2 experiments of the lowest FID, tables all 4." in page.text
    assert {path.name for path in out.glob("figures/runs/*")} == {"00_x=1", "01_x=3"}
    figure = (out / "figures" / "fid.svg").read_bytes()
    assert "Figures show" not in page_of(run_dirs[1::2], out).text
    assert (out / "figures" / "fid.svg").read_bytes() == figure


def test_nothing_comes_from_the_network_and_links_lead_somewhere(report: Report) -> None:
    ids = [attributes["id"] for _, attributes in report.page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert {address[1:] for address in report.page.addresses() if address[0] == "#"} <= set(ids)
    source = (report.out / "index.html").read_text(encoding="utf-8")
    inside = re.compile(r"data:(image/(webp|svg\+xml);base64,[A-Za-z0-9+/=]+|,)|#[\w.=+-]+")
    for address in report.page.addresses():
        assert inside.fullmatch(address) or (report.out / address).is_file(), address[:80]
    assert "url(" not in source
    assert "@import" not in source
    assert not re.search(r"""(src|href)\s*=\s*["']?\s*(https?:)?//""", source)


def test_every_figure_is_there_as_png_and_svg_and_on_the_page(report: Report) -> None:
    links = [address for address in report.page.addresses() if address.startswith("figures/")]
    names = {link.rpartition(".")[0] for link in links}
    assert sorted(links) == sorted(f"{name}.{kind}" for name in names for kind in ("png", "svg"))
    files = {str(path.relative_to(report.out)) for path in report.out.glob("figures/**/*.*")}
    assert files == set(links)
    assert {name.removeprefix("figures/") for name in names} >= FIGURES
    images = [attributes["src"] for attributes in report.page.of("img")]
    for source, png in zip(images, [link for link in links if link.endswith(".png")], strict=True):
        kind, _, data = source.partition(";base64,")
        content = base64.b64decode(data)
        if kind == "data:image/svg+xml":
            assert content == (report.out / Path(png).with_suffix(".svg")).read_bytes()
        else:  # smaller on the page, and hardly another picture
            shown, whole = (
                np.asarray(Image.open(file).convert("RGB"), dtype=float)
                for file in (io.BytesIO(content), report.out / png)
            )
            assert np.abs(shown - whole).mean() < 3
    for name in names:
        with Image.open(report.out / f"{name}.png") as image:
            assert image.convert("L").getextrema()[0] < 255  # something is drawn
        root = ElementTree.parse(report.out / f"{name}.svg").getroot()
        assert root.tag == f"{SVG}svg"
        assert not list(root.iter(f"{SVG}script"))


def test_every_table_is_there_as_csv_and_latex_with_the_rows_of_the_page(report: Report) -> None:
    assert {name.removeprefix("table-") for name in report.page.tables} == TABLES
    for name in TABLES:
        shown = report.page.tables[f"table-{name}"]
        with (report.out / "tables" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            stored = list(csv.DictReader(file))
        assert len(shown) == len(stored) + 1 > 1
        assert [row[0] for row in shown[1:]] == [row[shown[0][0]] for row in stored]
        assert set(shown[0]) <= set(stored[0])
        latex = (report.out / "tables" / f"{name}.tex").read_text(encoding="utf-8")
        assert all(rule in latex for rule in (r"\toprule", r"\midrule", r"\bottomrule"))
        rows = re.search(r"midrule\n(.*?)\\bottomrule", latex, re.DOTALL)
        assert rows
        assert rows[1].count("\\\\\n") == len(shown) - 1


def test_results_stand_side_by_side_with_seeds_as_one_row(report: Report) -> None:
    header, *lines = report.page.tables["table-results"]
    by_run = {line[0]: dict(zip(header, line, strict=True)) for line in lines}
    cold = by_run["degradation=column_random"]
    assert cold["FID"] == f"22.75 ± {np.std([21.5, 24.0], ddof=1):.2g}"
    assert cold["seeds"] == "2"
    assert by_run[f"hot {HOSTILE}"]["FID"] == "20.00"
    assert by_run["floor: real test images"]["FID"] == "1.50"
    for name in ("x=failed", "x=interrupted", "x=damaged", str(report.runs["no_record"])):
        assert by_run[name]["FID"] == "--"
    assert not [cell for line in lines for cell in line if "nan" in cell.lower()]


MISSING = {
    "x=failed": [
        f"status failed: no luck: {HOSTILE}",
        "no metrics.csv: no epoch was finished",
        "no final scores",
        "run.json holds no configuration",
        "no val/fid in metrics.csv",
        "file has 0 of 1 steps' losses",
        "no grids of samples",
        "no restored test images",
        "no histogram of classes",
    ],
    "x=interrupted": ["status interrupted", "no final scores", "no grids of samples"],
    "{no_record}": ["run.json is damaged", "status unknown", "run.json holds no configuration"],
    "x=damaged": [
        "metrics.csv is damaged",
        "no final scores",
        "file has 0 of 1 steps' losses",
        "epoch_0002.png cannot be read",
        "restoration.npz cannot be read",
        "schedule.csv cannot be read",
        "no val/is_mean in metrics.csv",
    ],
    "x=cut": ["restoration.npz cannot be read", "of 12 steps' losses", "no grids"],
}


@pytest.mark.parametrize("title", MISSING)
def test_each_missing_piece_is_named_with_its_run(title: str, report: Report) -> None:
    title_shown = title.format(no_record=report.runs["no_record"])
    notes = [note for note in report.page.notes if note.startswith(f"{title_shown}: ")]
    for piece in MISSING[title]:
        assert [note for note in notes if piece in note], piece


def test_whole_runs_lack_nothing(report: Report) -> None:
    lacking = [note for note in report.page.notes if note.startswith(f"hot {HOSTILE}: ")]
    cold = [note for note in report.page.notes if note.startswith("degradation=column_random: ")]
    # They have no checkpoints, so that they can be shown and not played with.
    assert all("nothing to play with: no checkpoint" in note for note in (*lacking, *cold))
    for name in ("cold 1", "cold 2"):  # where each is, and its overrides
        expected = f"{report.runs[name]}: degradation=column_random seed={name[-1]}"
        assert expected in report.page.notes


def test_nothing_that_a_run_names_is_called(report: Report) -> None:
    shown = report.page.tables["table-hyperparameters"]
    assert [cell for row in shown for cell in row if cell.startswith("touch ")]  # it was read
    assert not report.marker.exists()


def test_written_again_the_page_is_the_new_one_and_other_files_stay(tmp_path: Path) -> None:
    run_dir, out = small_run(tmp_path), tmp_path / "out"
    page_of([run_dir], out, "first")
    (out / "notes.txt").write_text("mine")
    page = page_of([run_dir], out, "second")
    assert "second" in page.text
    assert "first" not in page.text
    assert (out / "notes.txt").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    page_of([run_dir], tmp_path / "empty")


@pytest.mark.parametrize(
    "files",
    [
        {"": "a file of that name"},
        {"notes.txt": "mine"},
        {"index.html": "<html><meta name='generator' content='other'></html>"},
    ],
)
def test_a_folder_that_holds_something_else_is_left_as_it_is(
    files: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for name, text in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text)
    before = snapshot(tmp_path)
    run_dir = tmp_path / "nothing"
    with pytest.raises(ValueError, match="not a folder|holds something that is not a report"):
        write_report([run_dir], out, Options("x"))
    assert snapshot(tmp_path) == before


def test_a_score_that_is_not_a_number_in_one_seed_breaks_nothing(tmp_path: Path) -> None:
    seeds = [tmp_path / f"seed_{seed}" for seed in (0, 1)]
    for seed, run_dir in enumerate(seeds):
        write_record(run_dir, record("cold", seed, final_scores=None, config=None))
        table = rows(seed)
        if seed:
            table[1]["val/fid"], table[2]["val/is_mean"] = float("nan"), float("inf")
        write_metrics(run_dir, table)
    page = page_of(seeds, tmp_path / "out")
    assert {"figures/fid.svg", "figures/is.svg"} <= set(page.addresses())


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        ([], []),
        ([3], [3]),
        ([1, 2, 5, 7, 8, 9], [1, 2, 5, 7, 8, 9]),
        ([1, 5, 10, 20, 40, 60, 100], [1, 20, 40, 60, 100]),
        ([1, 5, 10, 20, 30, 40, 50], [1, 20, 40, 50]),
        (range(2, 12), [2, 4, 6, 7, 9, 11]),
        (range(1, 101), [1, 20, 40, 60, 100]),
    ],
)
def test_the_study_s_epochs_are_shown_or_six_that_are_spread(
    epochs: list[int], expected: list[int]
) -> None:
    assert chosen_epochs(set(epochs)) == expected


def test_a_page_of_one_run_says_so_and_of_more_how_many(report: Report, tmp_path: Path) -> None:
    assert "8 runs, 7 experiments" in " ".join(report.page.text.split())
    run_dir = small_run(tmp_path)
    write_events(run_dir, [1.0, 0.5])
    page = page_of([run_dir], tmp_path / "out")
    assert "1 run ·" in " ".join(page.text.split())
    assert "Each run" not in page.text
    figures = {link for link in page.addresses() if "figures/" in link}
    assert figures == {"figures/loss.png", "figures/loss.svg"}
