"""Run directories made to harm whoever reports on them: data, shown as text or named as damaged."""

import csv
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from page_support import Page
from PIL import Image
from reporting_support import STAGES, final_scores, record, rows, write_metrics, write_record
from tensorboard.summary.writer.record_writer import RecordWriter

from thaw.reporting import finished
from thaw.reporting.curves import Curve, score_figure
from thaw.reporting.finished import printable
from thaw.reporting.report import write_report
from thaw.reporting.style import save_figure

HUGE = 10**400
NAMES = {
    "script": "<script>alert(1)</script>",
    "attribute": '" onmouseover="alert(1)',
    "link": "javascript:alert(1)",
    "image": "<img src=x onerror=alert(1)>",
    "vector": "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "template": "{{ 7 * 7 }}{% include '/etc/passwd' %}",
    "comment": "--><script>alert(1)</script><!--",
    "latex": r"\input{/etc/passwd} \write18{id} $\immediate$ ^^5cinput",
    "upwards": "../../outside",
    "absolute": "/tmp/outside",
    "nul": "a\x00b\x1b[31m\x08",
    "surrogate": "a\ud800b",
    "bidirectional": "a\u202eb\u2066c",
    "long": "x" * 1_000_000,
    "lines": "a\nb\r\nc",
    "formula": '=HYPERLINK("http://x","y")',
    "blank": "",
    "space": " ",
}


# Without them nothing is drawn, which would take longer than all else.
BARE: dict[str, Any] = {"final_scores": None, "config": None}


def run_of(folder: Path, **changes: Any) -> Path:
    run_dir = folder / "runs" / "one"
    write_record(run_dir, record("cold", 0, **BARE | changes))
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


@pytest.mark.parametrize("kind", NAMES)
def test_a_name_is_text_wherever_it_stands(kind: str, tmp_path: Path) -> None:
    name = NAMES[kind]
    dirs = []
    for seed, title in enumerate((name, "other")):
        config = {"name": title, "model": {"activation": title, title: title}}
        run_dir = tmp_path / "runs" / str(seed)
        write_record(run_dir, record(
            "cold", seed, config=config, overrides=[f"x={title}"], status=title, error=title,
            encoder=title, device=title, versions={title: title}, final_scores=None,
        ))  # fmt: skip
        dirs.append(run_dir)
    page = report(dirs, tmp_path / "out")
    shown = printable(name)
    if name.strip() and "\n" not in name:
        assert shown in page.text


def test_names_are_text_and_no_paths_in_figures_too(tmp_path: Path) -> None:
    dirs = []
    for number, kind in enumerate(("script", "upwards")):
        run_dir, name = tmp_path / "runs" / str(number), NAMES[kind]
        config = {"name": name, "seed": number}
        write_record(run_dir, record("cold", 0, config=config, final_scores=None,
                                     overrides=[f"x={number}"]))  # fmt: skip
        write_metrics(run_dir, rows(0))
        dirs.append(run_dir)
    report(dirs, tmp_path / "out")
    folders = {path.name for path in (tmp_path / "out" / "figures" / "runs").iterdir()}
    assert folders == {"00_script-alert-1-script", "01_outside"}
    curves = {printable(name): Curve([1, 2], [1.0, 2.0], [0, 0], []) for name in NAMES.values()}
    for suffix in (".svg", ".png"):
        save_figure(score_figure(curves, "FID", True), tmp_path / f"figure{suffix}")
    elements = ElementTree.parse(tmp_path / "figure.svg").iter()
    assert not [element for element in elements if "script" in str(element.tag).lower()]


def test_a_formula_is_text_to_a_spreadsheet(tmp_path: Path) -> None:
    scores = {key: value for key, value in final_scores(20).items() if "histogram" not in key}
    run_dir = run_of(tmp_path, config={"name": NAMES["formula"]}, final_scores=scores)
    report([run_dir], tmp_path / "out")
    with (tmp_path / "out" / "tables" / "results.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    assert first["run"] == f"'{NAMES['formula']}"
    assert float(first["FID"]) == 20


VALUES: dict[str, Any] = {
    "huge": HUGE,
    "minus huge": -HUGE,
    "large": 2**70,
    "float": 1e308,
    "tiny": 5e-324,
    "not a number": float("nan"),
    "infinite": float("inf"),
    "text": "<b>",
    "list": [HUGE],
    "mapping": {"_target_": "os.system"},
    "true": True,
    "null": None,
}


@pytest.mark.parametrize("kind", VALUES)
def test_any_value_in_the_place_of_any_other_breaks_nothing(kind: str, tmp_path: Path) -> None:
    value, whole = VALUES[kind], record("cold", 0)
    inside = {"final_scores", "restoration", "last_epoch", "dataset", "git", "versions", "choices"}
    changes = {
        key: dict.fromkeys(entry, value) if key in inside else value
        for key, entry in whole.items()
        if key not in ("config", "final_scores", "seed")
    }
    changes["final_scores"] = dict.fromkeys(whole["final_scores"], value)
    run_dir = run_of(tmp_path, **changes, config=dict.fromkeys(whole["config"], value))
    (run_dir / "evaluations").mkdir()
    evaluation = {"generated": dict.fromkeys(("fid", "n", "sampler", "is_mean"), value)}
    (run_dir / "evaluations" / "x.json").write_text(json.dumps(evaluation))
    report([run_dir], tmp_path / "out")


def deep(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


RECORDS = {
    "deep": deep(100_000),
    "deep list": '{"config": ' + "[" * 100_000,
    "digits": '{"status": ' + "9" * 10_000 + "}",
    "bytes": '{"status": "\udcff"}',
    "empty": "",
}


@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_that_no_parser_likes_is_damaged(kind: str, tmp_path: Path) -> None:
    run_dir = tmp_path / "runs" / "one"
    (run_dir / "evaluations").mkdir(parents=True)
    for path in (run_dir / "run.json", run_dir / "evaluations" / "x.json"):
        path.write_text(RECORDS[kind], errors="surrogateescape")
    page = report([run_dir], tmp_path / "out")
    assert len([note for note in page.notes if "json is damaged" in note]) == 2


@pytest.mark.parametrize("depth", [25, 300, 900])
def test_a_deep_but_whole_record_is_cut_off(depth: int, tmp_path: Path) -> None:
    run_dir = run_of(tmp_path)
    whole = json.loads((run_dir / "run.json").read_text())
    text = json.dumps(whole | {"config": {"model": "DEEP"}}).replace('"DEEP"', deep(depth))
    (run_dir / "run.json").write_text(text)
    report([run_dir], tmp_path / "out")


def png(width: int, height: int) -> bytes:
    """A whole PNG by its header, with next to nothing in it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    end = chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + end


PICTURES: dict[str, Callable[[Path], Any]] = {
    "a gigabyte": lambda path: path.write_bytes(png(20_000, 18_000)),
    "under Pillow's own limit": lambda path: Image.new("1", (10_000, 8_900)).save(path),
    "a line": lambda path: path.write_bytes(png(2**31 - 1, 1)),
    "postscript": lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9"),
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a text": lambda path: path.symlink_to("/etc/passwd"),
}  # fmt: skip


@pytest.mark.parametrize("kind", PICTURES)
def test_a_picture_that_is_none_is_named_and_waited_for_by_nobody(
    kind: str, tmp_path: Path
) -> None:
    run_dir = run_of(tmp_path)
    (run_dir / "samples").mkdir()
    PICTURES[kind](run_dir / "samples" / "epoch_0001.png")
    page = report([run_dir], tmp_path / "out")
    assert [note for note in page.notes if "no grids of samples" in note]
    assert "root:" not in page.text


@pytest.mark.parametrize("name", ["epoch_².png", "epoch_" + "9" * 200 + ".png", "epoch_-1.png"])
def test_a_grid_s_number_is_a_plain_one(name: str, tmp_path: Path) -> None:
    run_dir = run_of(tmp_path)
    (run_dir / "samples").mkdir()
    (run_dir / "samples" / name).write_bytes(png(8, 8))
    report([run_dir], tmp_path / "out")


def bomb(path: Path) -> None:
    """Ten megabytes of zeros, whole images, in a hundredth of that."""
    np.savez_compressed(path, **dict.fromkeys(STAGES, np.zeros((2000, 1, 32, 32), np.uint8)))


def claims(path: Path) -> None:
    """Headers of arrays of a terabyte."""
    head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 1, 1, 1), }"
    with zipfile.ZipFile(path, "w") as archive:
        for name in STAGES:
            text = head.ljust(117) + b"\n"
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + text)


def pickled(path: Path) -> None:
    array = np.empty((), dtype=object)
    array[()] = Makes(path.parent.parent / "executed")
    np.savez(path, **dict.fromkeys(STAGES, array))


def bare_pickle(path: Path) -> None:
    array = np.empty((), dtype=object)
    array[()] = Makes(path.parent.parent / "executed")
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=True)


class Makes:
    """Makes a folder where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


ARRAYS: dict[str, Callable[[Path], Any]] = {
    "bomb": bomb,
    "claims": claims,
    "pickles": pickled,
    "a pickle alone": bare_pickle,
    "a thread": lambda path: np.savez(
        path, **dict.fromkeys(STAGES, np.zeros((8, 1, 1, 1_000_000), np.uint8))
    ),
    "a pipe": lambda path: os.mkfifo(path),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_that_are_none_are_refused_without_executing_or_unpacking(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finished, "MAX_ARRAY_BYTES", 9_000_000)
    run_dir = run_of(tmp_path)
    (run_dir / "figures").mkdir()
    ARRAYS[kind](run_dir / "figures" / "restoration.npz")
    page = report([run_dir], tmp_path / "out")
    assert [note for note in page.notes if "restoration.npz" in note or "no restored" in note]
    assert not list(tmp_path.rglob("executed"))


TABLES = {
    "infinite epoch": "epoch,step,train/loss\ninf,1,1\n",
    "epoch that is none": "epoch,step,train/loss\nnan,1,1\n",
    "huge epoch": "epoch,step,train/loss\n1e300,1,1\n",
    "huge step": "epoch,step,train/loss\n1,1e300,1\n",
    "negative": "epoch,step,train/loss\n-5,1,1\n",
    "long field": "epoch,step,train/loss\n1,1," + "1" * 200_000 + "\n",
    "nul": "epoch,step\x00,train/loss\n1,\x00,1\n",
    "quotes": 'epoch,"step\n',
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_of_nonsense_is_damaged(kind: str, tmp_path: Path) -> None:
    run_dir = run_of(tmp_path)
    (run_dir / "metrics.csv").write_text(TABLES[kind])
    page = report([run_dir], tmp_path / "out")
    assert kind == "nul" or [note for note in page.notes if "metrics.csv is damaged" in note]


def test_losses_of_every_size_are_drawn(tmp_path: Path) -> None:
    run_dir = run_of(tmp_path)
    values = [1e308, 5e-324, float("inf"), float("nan"), -1e308, 0.0]
    table = [rows(0)[0] | {"epoch": k + 1, "train/loss": v, "val/fid": v, "val/fid_floor": v}
             for k, v in enumerate(values)]  # fmt: skip
    write_metrics(run_dir, table)
    report([run_dir], tmp_path / "out")


def garbled_events(path: Path) -> None:
    """Records whose checksums are right and whose contents are none of TensorBoard's."""
    with path.open("wb") as file:
        writer = RecordWriter(file)
        for size in (1, 50, 500):
            writer.write(bytes(range(255, 255 - min(size, 200), -1)))


@pytest.mark.parametrize("kind", ["garbled", "pipe", "folder"])
def test_events_that_are_none_are_missing(kind: str, tmp_path: Path) -> None:
    run_dir = run_of(tmp_path)
    path = run_dir / "events.out.tfevents.1.x"
    {"garbled": garbled_events, "pipe": os.mkfifo, "folder": Path.mkdir}[kind](path)
    page = report([run_dir], tmp_path / "out")
    assert [note for note in page.notes if "no loss of each step" in note]


@pytest.mark.parametrize("name", ["index.html", "figures", "tables"])
def test_a_report_is_not_written_through_a_link(name: str, tmp_path: Path) -> None:
    run_dir, victim = run_of(tmp_path), tmp_path / "victim"
    victim.mkdir()
    out = tmp_path / "out"
    write_report([run_dir], out, "x")  # an earlier one
    (out / "figures").mkdir()
    target = victim / name
    (out / name).rename(target)
    (out / name).symlink_to(target)
    before = {path: path.read_bytes() for path in victim.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="is a link, which is not written through"):
        write_report([run_dir], out, "x")
    assert {path: path.read_bytes() for path in victim.rglob("*") if path.is_file()} == before
