"""The bundle for a paper compiles, prints what was measured, and repeats the runs' commands."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from report_runs import Report
from reporting_support import HOSTILE, record, write_record

from thaw.reporting.finished import read_run
from thaw.reporting.groups import group_by_seed
from thaw.reporting.latex import escaped
from thaw.reporting.report import Options, write_report
from thaw.reporting.reproduce import script

FIGURES = {
    "fid", "is", "loss", "samples", "restoration", "classes", "schedules", "activations",
}  # fmt: skip
POINTS_AN_INCH = 72


def program(name: str) -> str:
    """A program of LaTeX or Poppler; without it the test is skipped."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name} (Debian's texlive-latex-recommended and poppler-utils)")
    return found


@pytest.fixture(scope="module")
def compiled(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a bundle after pdflatex has gone over it twice."""
    pdflatex = program("pdflatex")
    folder = tmp_path_factory.mktemp("paper") / "paper"
    shutil.copytree(report.out / "paper", folder)
    command = [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    for _ in range(2):  # references are known to the second alone
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
        assert done.returncode == 0, done.stdout[-2000:]
    return folder


def test_every_figure_is_a_pdf_and_every_table_a_file_which_the_paper_has(report: Report) -> None:
    paper = report.out / "paper"
    assert {path.stem for path in paper.glob("figures/*.pdf")} == FIGURES
    inputs = set(re.findall(r"\\input\{(.*?)\}", (paper / "paper.tex").read_text()))
    tables = {path.stem for path in (report.out / "tables").glob("*.tex")}
    assert inputs == {f"figures/{name}" for name in FIGURES} | {f"tables/{name}" for name in tables}
    for name in tables:
        text = (paper / "tables" / f"{name}.tex").read_text()
        assert text == (report.out / "tables" / f"{name}.tex").read_text()
    for name in FIGURES:
        assert f"figures/{name}.pdf" in (paper / "figures" / f"{name}.tex").read_text()


def test_captions_have_n_floor_seeds_and_encoder(report: Report) -> None:
    caption = (report.out / "paper" / "figures" / "fid.tex").read_text()
    for words in ("N = 250", "encoder mnist-cnn-v1", "1 to 2 seeds", "score: 4.00"):
        assert words in caption
    results = (report.out / "paper" / "tables" / "results.tex").read_text()
    for words in ("N = 1,000", "encoder mnist-cnn-v1", "1 to 2 seeds", "The floor"):
        assert words in results


def test_it_compiles_with_nothing_too_wide_or_undefined_and_prints_the_scores(
    compiled: Path,
) -> None:
    log = (compiled / "paper.log").read_text(errors="replace")
    assert not re.findall(r"Overfull \\hbox.*|.*undefined.*|.*too large.*", log)
    text = subprocess.run(
        [program("pdftotext"), "-layout", "paper.pdf", "-"],
        cwd=compiled, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "22.75 ± 1.8" in text
    assert "N = 1,000" in text
    assert 'Title <script>alert("1")</script>' in text
    assert "??" not in text


def test_fonts_are_embedded_and_none_is_of_type_3(compiled: Path) -> None:
    listed = subprocess.run(
        [program("pdffonts"), "paper.pdf"], cwd=compiled, capture_output=True, text=True, check=True
    ).stdout.splitlines()[2:]
    assert any("TrueType" in line for line in listed)  # the figures', Type 42
    for line in listed:
        assert "Type 3" not in line
        assert line.split()[-5] == "yes", line  # embedded


@pytest.mark.parametrize("left_out", [r"\\IfFileExists{lmodern", "no such line"])
def test_every_letter_that_is_kept_is_in_the_fonts(
    left_out: str, report: Report, tmp_path: Path
) -> None:
    """Without Latin Modern too, whose line is taken out; bitmaps would be of Type 3."""
    lines = (report.out / "paper" / "paper.tex").read_text().splitlines()
    head = [line for line in lines if not re.match(left_out, line)]
    head = head[: head.index(r"\maketitle")]
    text = escaped(" ".join(map(chr, range(0x20, 0x500))))
    (tmp_path / "x.tex").write_text("\n".join([*head, text, r"\end{document}"]))
    command = [program("pdflatex"), "-interaction=nonstopmode", "-halt-on-error", "x.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "unavailable" not in done.stdout
    listed = subprocess.run(
        [program("pdffonts"), tmp_path / "x.pdf"], capture_output=True, text=True, check=True
    )
    assert "Type 3" not in listed.stdout


def test_figures_are_as_wide_as_a_column_or_a_page(report: Report) -> None:
    widths = {}
    for path in sorted((report.out / "paper" / "figures").glob("*.pdf")):
        shown = subprocess.run(
            [program("pdfinfo"), path], capture_output=True, text=True, check=True
        )
        size = re.search(r"Page size: +([\d.]+) x ([\d.]+)", shown.stdout)
        assert size
        widths[path.stem] = float(size[1]) / POINTS_AN_INCH
    assert widths["fid"] == widths["is"] == widths["loss"] == 3.25
    assert set(widths.values()) == {3.25, 6.75}


OVERRIDES = ["model.hidden=[4, 8]", "name='a b; touch x'", "lr=$(touch x)", "+x=`touch x`", 'y="z"']


@pytest.fixture
def repeated(tmp_path: Path) -> list[list[str]]:
    """What the script of some runs gives to Python, which only notes it."""
    runs = {
        "plain": record("cold", 3),
        "odd": record("cold", 0, overrides=OVERRIDES),
        "a\ntouch x": record("hot", 1, status="failed", overrides=[f"model.comment={HOSTILE}"]),
        "swept": record("hot", 2, overrides=["sweep.name=x", "hydra.sweep.dir=y", "lr=2"]),
        "unknown": {"status": "completed"},
    }
    for name, contents in runs.items():
        write_record(tmp_path / name, contents)
    (tmp_path / "odd" / "evaluations").mkdir()
    for name, given in (("a", ["sampler=ddim", *OVERRIDES]), ("b", None)):
        path = tmp_path / "odd" / "evaluations" / f"{name}.json"
        path.write_text(json.dumps({"overrides": given} if given else {}))
    groups = group_by_seed([read_run(tmp_path / name) for name in runs])
    python = tmp_path / "python"
    noted = tmp_path / "noted"
    python.write_text(
        "#!/usr/bin/env python3\nimport json, sys\n"
        f"print(json.dumps(sys.argv[1:]), file=open({str(noted)!r}, 'a'))\n"
    )
    python.chmod(0o755)
    (tmp_path / "reproduce.sh").write_text(script(groups, ["title=it's a $title", "paper=true"]))
    subprocess.run(
        ["sh", "reproduce.sh"],
        cwd=tmp_path,
        check=True,
        env={"PYTHON": str(python), "PATH": "/usr/bin:/bin"},
    )
    assert not (tmp_path / "x").exists()
    return [json.loads(line) for line in noted.read_text().splitlines()]


def test_the_script_gives_each_command_its_overrides_and_nothing_else_is_run(
    repeated: list[list[str]],
) -> None:
    *trained, reported = repeated
    (evaluated,) = (command for command in trained if command[0] == "evaluate.py")
    before = trained[trained.index(evaluated) - 1]
    assert evaluated[1] == before[-1].replace("hydra.run.dir=", "run=")
    assert evaluated[2:] == ["sampler=ddim", *OVERRIDES]
    trained.remove(evaluated)
    assert [command[1:-1] for command in trained] == [
        ["degradation=column_random", "seed=3"],
        OVERRIDES,
        [f"model.comment={HOSTILE}"],
        ["lr=2"],
    ]
    assert {command[0] for command in trained} == {"train.py"}
    folders = [command[-1] for command in trained]
    assert len(set(folders)) == 4
    assert all(folder.startswith("hydra.run.dir=reproduced/") for folder in folders)
    assert reported == ["report.py", "runs=reproduced", "title=it's a $title", "paper=true"]


def test_written_again_it_is_the_new_one_and_without_it_there_is_none(tmp_path: Path) -> None:
    write_record(tmp_path / "run", record("cold", 0))
    write_report([tmp_path / "run"], tmp_path / "out", Options("x"))
    assert not (tmp_path / "out" / "paper").exists()
    (tmp_path / "out" / "paper" / "figures").mkdir(parents=True)
    (tmp_path / "out" / "paper" / "figures" / "old.pdf").touch()
    (tmp_path / "out" / "paper" / "notes.txt").write_text("mine")
    write_report([tmp_path / "run"], tmp_path / "out", Options("x", paper=True))
    assert not (tmp_path / "out" / "paper" / "figures" / "old.pdf").exists()
    assert (tmp_path / "out" / "paper" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "out" / "paper" / "paper.tex").is_file()
