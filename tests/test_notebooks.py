"""The notebooks: run from top to bottom, and the .ipynb files are those of their texts."""

import importlib.util
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from commands_support import ROOT
from filelock import FileLock
from nbclient import NotebookClient

FOLDER = ROOT / "examples" / "notebooks"
TINY = [
    "trainer.limit_train_batches=2",
    "model.width=4",
    "prior.components=2",
    "metrics.num_samples=0",
    "metrics.num_restored=0",
    "metrics.num_restored_each_epoch=0",
]
# In place of the cell of parameters, and some words that the notebook then shows.
SHORT = {
    "tour": (
        f"minutes, num_scored, overrides = 0.01, 10, {TINY}",
        ["planned: 1 epochs of 2 steps", "N 10,"],
    ),
    "your_own_degradation": (
        f"epochs, num_scored, overrides = 1, 10, {TINY}",
        ["[]", "['x_t at t = 0 is not exactly x_0']", "trained to epoch 1", "model PatchUNet"],
    ),
    "hot_cold_and_between": (
        "num_scored, num_steps = 10, [1, 2]",
        ["cold, Algorithm 1      0.00", "Ancestral, 50 steps"],
    ),
}


def generator() -> ModuleType:
    path = ROOT / "docs" / "generate_notebooks.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def executed(name: str, folder: Path, parameters: str | None = None) -> Any:
    """The notebook, run in a folder of its own, without files of MNIST."""
    notebook = generator().as_notebook(FOLDER / f"{name}.py")
    (cell,) = (each for each in notebook.cells if "parameters" in each.metadata.get("tags", []))
    cell.source = parameters or cell.source
    client = NotebookClient(notebook, timeout=900, resources={"metadata": {"path": folder}})
    # Two kernels that start at once can choose the same ports (jupyter_client, issue 487).
    with FileLock(Path(tempfile.gettempdir()) / "thaw_starts_a_kernel.lock"):
        client.create_kernel_manager()
        client.start_new_kernel()
        client.start_new_kernel_client()
    client.execute()
    return notebook


def shown(notebook: Any) -> tuple[str, int]:
    """All text that its cells print or show, and the number of pictures; nothing on stderr."""
    outputs = [each for cell in notebook.cells for each in cell.get("outputs", [])]
    text = ""
    for each in outputs:
        assert each.get("name") != "stderr", each.text
        text += each.get("text", "") + each.get("data", {}).get("text/plain", "") + "\n"
    return text, sum("image/png" in each.get("data", {}) for each in outputs)


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing to read but what is installed; one thread, for there are other workers."""
    monkeypatch.setenv("THAW_DATA", str(tmp_path / "nothing"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def test_every_notebook_is_known_and_its_file_is_that_of_its_text() -> None:
    names = sorted(path.stem for path in FOLDER.glob("*.py"))
    assert names == sorted(SHORT) == sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    assert generator().outdated() == []


@pytest.mark.parametrize("name", SHORT)
def test_it_runs_shortened(name: str, tmp_path: Path) -> None:
    parameters, words = SHORT[name]
    text, num_pictures = shown(executed(name, tmp_path, parameters))
    for each in words:
        assert each in text
    assert num_pictures >= 4


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
def test_it_runs_whole(name: str, tmp_path: Path) -> None:
    _, num_pictures = shown(executed(name, tmp_path))
    assert num_pictures >= 4
