"""The wheel: what is in it, and that it works in an empty folder, far from the checkout."""

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from commands_support import LEAST, ROOT, record

pytest.importorskip("hatchling", reason="needs the extra test: the wheel is built without an index")
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]


def output(*command: str | Path, cwd: Path, **environment: str) -> str:
    ended = subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=400
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    output(*PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, ROOT, cwd=folder)
    (path,) = folder.glob("thaw_diffusion-*.whl")
    return path


@pytest.fixture(scope="module")
def site(wheel: Path) -> Path:
    folder = wheel.with_name("site")
    output(*PIP, "install", "--no-deps", "--no-index", "--target", folder, wheel, cwd=wheel.parent)
    return folder


def test_it_holds_every_configuration_and_model_and_no_test(wheel: Path) -> None:
    names = set(ZipFile(wheel).namelist())
    for folder in ("conf", "zoo"):
        own = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file()}
        assert {f"thaw/{path}" for path in own} <= names
    for name in (
        "py.typed",
        "reporting/report.html",
        "reporting/report.css",
        "reporting/report.js",
        "reporting/paper.tex",
        "metrics/weights/mnist.safetensors",
    ):
        assert f"thaw/{name}" in names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    # Where Hydra looks for a sweeper and a launcher; other packages have their own there.
    assert "hydra_plugins/hydra_thaw/optuna_sweeper.py" in names
    assert "hydra_plugins/__init__.py" not in names
    roots = ("thaw", "hydra_plugins", _info(names))
    assert not [name for name in names if name.split("/")[0] not in roots]


def _info(names: set[str]) -> str:
    (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    return info


def test_the_installed_command_trains_in_an_empty_folder(site: Path, tmp_path: Path) -> None:
    """What ``thaw train experiment=quickstart`` does, at the smallest size."""
    thaw = {"PYTHONPATH": str(site), "CUDA_VISIBLE_DEVICES": ""}
    here = output(sys.executable, "-c", "import thaw; print(thaw.__file__)", cwd=tmp_path, **thaw)
    assert Path(here.strip()).is_relative_to(site)
    tiny = [value for value in LEAST if not value.startswith("model.")]
    tiny += ["model.width=4", "prior.components=2", "minutes=null", "hydra.run.dir=run"]
    command = [sys.executable, site / "bin" / "thaw"]
    printed = output(*command, "train", "experiment=quickstart", *tiny, cwd=tmp_path, **thaw)
    assert record(tmp_path / "run")["status"] == "completed"
    assert (tmp_path / "run" / "report" / "index.html").is_file()
    assert "thaw sample run=run num_samples=64" in printed
    output(*command, "sample", "run=run", "num_samples=4", cwd=tmp_path, **thaw)
    assert (tmp_path / "run" / "generated" / "seed_0" / "grid.png").is_file()


def test_the_command_lists_its_commands_and_refuses_others(site: Path, tmp_path: Path) -> None:
    thaw = [sys.executable, str(site / "bin" / "thaw")]
    listed = output(*thaw, "--help", cwd=tmp_path, PYTHONPATH=str(site))
    for name in (
        "train",
        "sample",
        "evaluate",
        "demo",
        "report",
        "export",
        "import",
        "train-encoder",
    ):
        assert f"  {name} " in listed
    wrong = subprocess.run(
        [*thaw, "fly"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert wrong.returncode == 2
    assert "COMMAND must be one of" in wrong.stderr
    assert wrong.stderr.count("\n") == 1
