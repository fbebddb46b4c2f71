"""report.py through the real command line: over real runs, and what it refuses."""

import csv
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from commands_support import record

from thaw.commands.arguments import prepare_arguments

LINE = re.compile(r"\d\d:\d\d:\d\d INFO \S.*")


def bare_run(run_dir: Path) -> Path:
    """A run of run.json alone, of which nothing is drawn."""
    run_dir.mkdir(parents=True)
    contents = {"status": "completed", "overrides": [f"x={run_dir.name}"], "device": "cpu"}
    (run_dir / "run.json").write_text(json.dumps(contents))
    return run_dir


def results(out: Path) -> dict[str, dict[str, str]]:
    """The rows of results.csv by run."""
    with (out / "tables" / "results.csv").open(newline="") as file:
        return {row["run"]: row for row in csv.DictReader(file)}


def said(finished: subprocess.CompletedProcess[str]) -> list[str]:
    """What a report that went well says: the lines of the log, and nothing beside them."""
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    lines = finished.stdout.splitlines()
    assert all(map(LINE.fullmatch, lines)), lines
    return lines


@pytest.fixture(scope="module")
def sweep(cold_run: Path, hot_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two real runs."""
    folder = tmp_path_factory.mktemp("sweep") / "a sweep, of two"
    for name, run_dir in (("0_cold", cold_run), ("1_hot", hot_run)):
        shutil.copytree(run_dir, folder / name)
    (folder / "sweep.csv").touch()
    return folder


def test_a_report_of_a_sweep_s_runs_says_where_it_is_and_holds_their_scores(
    sweep: Path, fork_command
) -> None:
    lines = said(fork_command("report", f"runs={sweep.name}", cwd=sweep.parent))
    page = sweep / "report" / "index.html"
    assert page.is_file()
    assert lines[0].endswith("2 runs")
    assert lines[-1].endswith(str(page.relative_to(sweep.parent)))
    found = results(sweep / "report")
    cold, hot, real = found
    assert (cold, hot) == ("degradation=column_random trainer.max_epochs=2", "trainer.max_epochs=1")
    assert real == "floor: real test images"
    for title, name in ((cold, "0_cold"), (hot, "1_hot")):
        scores = record(sweep / name)["final_scores"]
        assert float(found[title]["FID"]) == scores["final/fid"]
        assert float(found[title]["loss"]) == record(sweep / name)["last_epoch"]["train/loss"]
    for kind in ("png", "svg"):
        assert {path.stem for path in (sweep / "report" / "figures").glob(f"*.{kind}")} == {
            "fid", "is", "loss", "samples", "restoration", "classes", "schedules", "activations",
        }  # fmt: skip
    notes = re.findall(r"<li>(.*?)</li>", page.read_text(encoding="utf-8"))
    assert all(note.startswith(sweep.name) for note in notes)  # each run's place, nothing missing


def test_a_title_is_taken_as_it_is(tmp_path: Path, fork_command) -> None:
    title = 'it\'s "q" & <b>, a=b?'
    run_dir = bare_run(tmp_path / "run")
    said(fork_command("report", f"run={run_dir}", "out=out", f"title={title}", cwd=tmp_path))
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    escaped = title.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = escaped.replace("'", "&#39;").replace('"', "&#34;")
    assert f"<h1>{escaped}</h1>" in page


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["runs=no_such/*"], "runs=no_such/*: no run directory there"),
        ([], "give either run=DIR or runs='GLOB'"),
        (
            ["run=run", "out=foreign"],
            "out=foreign: the folder holds something that is not a report",
        ),
    ],
)
def test_what_cannot_be_reported_on_is_one_line_and_exit_code_2(
    arguments: list[str], expected: str, tmp_path: Path, fork_command
) -> None:
    (tmp_path / "empty").mkdir()
    bare_run(tmp_path / "run")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    finished = fork_command("report", *arguments, cwd=tmp_path)
    assert finished.returncode == 2, finished.stderr
    (line,) = finished.stderr.splitlines()
    assert line.startswith("thaw: ")
    assert expected in line
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "foreign" / "notes.txt").read_text() == "mine"


def test_names_losses_and_a_paper_as_typed_in_a_shell(sweep: Path, fork_command) -> None:
    """The example of the help, but for the runs."""
    command = f"""runs='{sweep.name}' out=named loss.over=step loss.smooth=2 paper=true
        labels='{{degradation=column_random: Columns, 1_hot: "Noise, T = 1,000"}}'"""
    lines = said(fork_command("report", *shlex.split(command), cwd=sweep.parent))
    out = sweep.parent / "named"
    assert lines[-1].endswith("named/paper/paper.tex")
    assert set(results(out)) == {
        "Columns trainer.max_epochs=2", "Noise, T = 1,000", "floor: real test images",
    }  # fmt: skip
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "Training loss (each step, running mean over 2 steps)" in page
    script = (out / "paper" / "reproduce.sh").read_text(encoding="utf-8")
    _, program, runs, *again = shlex.split(script.splitlines()[-1])
    assert (program, runs) == ("report.py", "runs=reproduced")
    given = [each for each in shlex.split(command)[1:] if each != "out=named"]
    assert prepare_arguments(again, "report") == prepare_arguments(given, "report") == again


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("Noise", "labels must be {SETTING: NAME, ...}, got Noise"),
        ("{a=b}", "labels must be {SETTING: NAME, ...}, got {a=b}"),
        ("{a=b: [c]}", "labels must be {SETTING: NAME, ...}"),
        ("{a=b", "labels must be {SETTING: NAME, ...}"),
        ("{a=b: c}", "labels: no run is a=b; they are x=run"),
    ],
)
def test_labels_that_name_nothing_are_refused(
    labels: str, expected: str, tmp_path: Path, fork_command
) -> None:
    bare_run(tmp_path / "run")
    finished = fork_command("report", "run=run", f"labels={labels}", cwd=tmp_path)
    assert finished.returncode == 2
    (line,) = finished.stderr.splitlines()
    assert expected in line
    assert not (tmp_path / "run" / "report").exists()
