"""Run directories made to harm whoever reports on them: data, shown as text or named as damaged."""

import csv
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from page_support import Page
from report_runs import Touch
from reporting_support import STAGES, final_scores, record, rows, write_metrics, write_record
from tensorboard.summary.writer.record_writer import RecordWriter

from thaw.reporting.curves import Curve, score_figure
from thaw.reporting.finished import printable
from thaw.reporting.report import write_report
from thaw.reporting.style import save_figure

NAMES = {
    "script": "<script>alert(1)</script>",
    "attribute": '" onmouseover="alert(1)',
    "link": "javascript:alert(1)",
    "vector": "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "template": "{{ 7 * 7 }}{% include '/etc/passwd' %}",
    "comment": "--><script>alert(1)</script><!--",
    "latex": r"\input{/etc/passwd} \write18{id} $\immediate$ ^^5cinput",
    "upwards": "../../outside",
    "absolute": "/tmp/outside",
    "nul": "a\x00b\x1b[31m\x08",
    "surrogate": "a\ud800b",
    "bidirectional": "a\u202eb\u2066c",
    "lines": "a\nb\r\nc",
    "blank": "",
}
# Without them nothing is drawn, which would take longer than all else.
BARE: dict[str, Any] = {"final_scores": None, "config": None}


def run_of(folder: Path, name: str = "one", /, **changes: Any) -> Path:
    run_dir = folder / "runs" / name
    write_record(run_dir, record("cold", 0, **BARE | {"overrides": [f"x={name}"]} | changes))
    return run_dir


def report(run_dirs: list[Path], out: Path) -> Page:
    """The page; nothing beside the report was written, no figure holds a script."""
    folder = out.parent
    before = {path for path in folder.rglob("*") if not path.is_relative_to(out)}
    page = write_report(run_dirs, out, "A title").read_text(encoding="utf-8")
    assert {path for path in folder.rglob("*") if not path.is_relative_to(out)} == before
    for path in out.rglob("*.svg"):
        assert not [e for e in ElementTree.parse(path).iter() if "script" in str(e.tag).lower()]
    found = Page(page)
    assert not found.of("script")
    for _, attributes in found.tags:
        assert not [name for name in attributes if name.startswith("on")]
    for address in found.addresses():
        assert address.startswith(("figures/", "tables/", "data:image/", "data:,", "#")), address
        assert ".." not in address
    return found


def report_of_each(
    spoilers: Mapping[str, Callable[[Path], Any]], file: str, folder: Path
) -> dict[str, list[str]]:
    """The notes on runs of which each has ``file`` as one of the functions leaves it."""
    run_dirs = []
    for name, spoil in spoilers.items():
        run_dirs.append(run_of(folder, name))
        (run_dirs[-1] / file).parent.mkdir(exist_ok=True)
        spoil(run_dirs[-1] / file)
    page = report(run_dirs, folder / "out")
    assert "root:" not in page.text
    assert not list(folder.rglob("executed"))
    return {
        name: [note for note in page.notes if note.startswith(f"x={name}: ")] for name in spoilers
    }


def test_a_name_is_text_wherever_it_stands(tmp_path: Path) -> None:
    run_dirs = [
        run_of(
            tmp_path, kind, config={"name": f"{kind} {name}", "model": {"activation": name,
            name: name}}, overrides=[f"x={name}"], status=name, error=name, encoder=name,
            device=name, versions={name: name},
        )
        for kind, name in NAMES.items()
    ]  # fmt: skip
    write_metrics(run_dirs[0], rows(0))  # has figures
    page = report(run_dirs, tmp_path / "out")
    for name in NAMES.values():
        assert " ".join(printable(name).split()) in " ".join(page.text.split())
    figures = tmp_path / "out" / "figures"
    assert [path.name for path in (figures / "runs").iterdir()] == [
        "00_script-script-alert-1-script"
    ]
    curves = {printable(name): Curve([1, 2], [1.0, 2.0], [0, 0], []) for name in NAMES.values()}
    save_figure(score_figure(curves, "FID", True), tmp_path / "figure.svg")
    elements = ElementTree.parse(tmp_path / "figure.svg").iter()
    assert not [element for element in elements if "script" in str(element.tag).lower()]


def test_a_formula_is_text_to_a_spreadsheet(tmp_path: Path) -> None:
    formula = '=HYPERLINK("http://x","y")'
    scores = {key: value for key, value in final_scores(20).items() if "histogram" not in key}
    report([run_of(tmp_path, config={"name": formula}, final_scores=scores)], tmp_path / "out")
    with (tmp_path / "out" / "tables" / "results.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    assert first["run"] == f"'{formula}"
    assert float(first["FID"]) == 20


VALUES: dict[str, Any] = {
    "huge": 10**400,
    "minus huge": -(10**400),
    "float": 1e308,
    "tiny": 5e-324,
    "not a number": float("nan"),
    "infinite": float("inf"),
    "text": "<b>",
    "list": [2**70],
    "mapping": {"_target_": "os.system"},
    "true": True,
    "null": None,
}


def test_any_value_in_the_place_of_any_other_breaks_nothing(tmp_path: Path) -> None:
    whole = record("cold", 0)
    inside = {"final_scores", "restoration", "last_epoch", "dataset", "git", "versions", "choices"}
    run_dirs = []
    for kind, value in VALUES.items():
        changes = {
            key: dict.fromkeys(entry, value) if key in inside else value
            for key, entry in whole.items()
            if key not in ("config", "seed", "overrides")
        }
        config = dict.fromkeys(whole["config"], value)
        run_dirs.append(run_of(tmp_path, kind, **changes, config=config))
        (run_dirs[-1] / "evaluations").mkdir()
        evaluation = {"generated": dict.fromkeys(("fid", "n", "sampler", "is_mean"), value)}
        (run_dirs[-1] / "evaluations" / "x.json").write_text(json.dumps(evaluation))
    report(run_dirs, tmp_path / "out")


def test_records_that_no_parser_likes_are_damaged(tmp_path: Path) -> None:
    texts = {
        "deep": '{"a":' * 100_000 + "1" + "}" * 100_000,
        "deep list": '{"config": ' + "[" * 100_000,
        "nested": '{"a":' * 600 + "1" + "}" * 600,
        "digits": '{"status": ' + "9" * 10_000 + "}",
        "bytes": '{"status": "\udcff"}',
        "empty": "",
    }
    run_dirs = []
    for name, text in texts.items():
        run_dirs.append(tmp_path / "runs" / name)
        (run_dirs[-1] / "evaluations").mkdir(parents=True)
        for file in ("run.json", "evaluations/x.json"):
            (run_dirs[-1] / file).write_text(text, errors="surrogateescape")
    page = report(run_dirs, tmp_path / "out")
    for run_dir in run_dirs:
        notes = [note for note in page.notes if note.startswith(f"{run_dir}: ")]
        damaged = [note for note in notes if "json is damaged" in note or "recursion" in note]
        assert len(damaged) == 2, run_dir


def test_pictures_that_are_none_are_named(tmp_path: Path) -> None:
    spoilers: dict[str, Callable[[Path], Any]] = {
        "postscript": lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n"),
        "folder": lambda path: path.mkdir(),
        "pipe": lambda path: os.mkfifo(path),
        "device": lambda path: path.symlink_to("/dev/zero"),
        "text": lambda path: path.symlink_to("/etc/passwd"),
        "no number": lambda path: path.with_name("epoch_².png").touch(),
    }
    notes = report_of_each(spoilers, "samples/epoch_0001.png", tmp_path)
    for kind, found in notes.items():
        assert any("no grids of samples" in note for note in found), kind


def claims(path: Path) -> None:
    """An array of a terabyte, by its header."""
    head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 1, 1, 1), }"
    path.write_bytes(b"\x93NUMPY\x01\x00\x76\x00" + head.ljust(117) + b"\n")


def executes(path: Path) -> np.ndarray:
    array = np.empty((), dtype=object)
    array[()] = Touch(path.parent.parent / "executed")
    return array


def test_arrays_that_are_none_are_refused_and_nothing_is_executed(tmp_path: Path) -> None:
    spoilers: dict[str, Callable[[Path], Any]] = {
        "claims": claims,
        "pickles": lambda path: np.savez(path, **dict.fromkeys(STAGES, executes(path))),
        "pickle": lambda path: executes(path).dump(path),
        "text": lambda path: path.write_text("no archive"),
        "folder": lambda path: path.mkdir(),
    }
    notes = report_of_each(spoilers, "figures/restoration.npz", tmp_path)
    for kind, found in notes.items():
        assert any("restoration.npz" in note or "no restored" in note for note in found), kind


def test_tables_of_nonsense_are_damaged(tmp_path: Path) -> None:
    head = "epoch,step,train/loss\n"
    texts = {
        "infinite": f"{head}inf,1,1\n",
        "none": f"{head}nan,1,1\n",
        "long": f"{head}1,1,{'1' * 200_000}\n",
        "quotes": 'epoch,"step\n',
    }
    spoilers = {name: lambda path, text=text: path.write_text(text) for name, text in texts.items()}
    for kind, found in report_of_each(spoilers, "metrics.csv", tmp_path).items():
        assert any("metrics.csv is damaged" in note for note in found), kind


def test_losses_of_every_size_are_drawn(tmp_path: Path) -> None:
    run_dir = run_of(tmp_path)
    values = [3e38, 1e-45, float("inf"), float("nan"), -3e38, 0.0]
    table = [rows(0)[0] | {"epoch": k + 1, "train/loss": v, "val/fid": v, "val/fid_floor": v}
             for k, v in enumerate(values)]  # fmt: skip
    write_metrics(run_dir, table)
    report([run_dir], tmp_path / "out")


def garbled_events(path: Path) -> None:
    """Records whose checksums are right and whose contents are not TensorBoard's."""
    with path.open("wb") as file:
        writer = RecordWriter(file)
        for size in (1, 50, 500):
            writer.write(bytes(range(255, 255 - min(size, 200), -1)))


def test_events_that_are_none_are_missing(tmp_path: Path) -> None:
    spoilers = {"garbled": garbled_events, "folder": Path.mkdir}
    for kind, found in report_of_each(spoilers, "events.out.tfevents.1.x", tmp_path).items():
        assert any("no loss of each step" in note for note in found), kind


@pytest.mark.parametrize("name", ["index.html", "figures", "tables"])
def test_a_report_is_not_written_through_a_link(name: str, tmp_path: Path) -> None:
    run_dir, victim, out = run_of(tmp_path), tmp_path / "victim", tmp_path / "out"
    victim.mkdir()
    write_report([run_dir], out, "x")  # an earlier one
    (out / "figures").mkdir()
    target = victim / name
    (out / name).rename(target)
    (out / name).symlink_to(target)
    before = {path: path.read_bytes() for path in victim.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="is a link, which is not written through"):
        write_report([run_dir], out, "x")
    assert {path: path.read_bytes() for path in victim.rglob("*") if path.is_file()} == before
