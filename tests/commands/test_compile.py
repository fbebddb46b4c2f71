"""compile=true: the same weights by name, the same losses but for rounding, a clear word without
a compiler.
"""

import csv
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from commands_support import LEAST

SETTINGS = [*LEAST, "trainer.limit_train_batches=3"]


def losses(run_dir: Path) -> list[float]:
    with (run_dir / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [float(row[key]) for row in rows for key in ("train/loss", "val/loss")]


def shapes(run_dir: Path) -> dict[str, torch.Size]:
    state = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return {name: tensor.shape for name, tensor in state.items()}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A cache of kernels of the test's own."""
    return {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "kernels")}


def test_a_compiled_run_is_the_same_but_for_rounding(
    tmp_path: Path, environment: dict[str, str], fork_command: Any
) -> None:
    runs = {}
    for compiled in ("false", "true"):
        runs[compiled] = tmp_path / compiled
        finished = fork_command(
            "train",
            *SETTINGS,
            f"compile={compiled}",
            f"hydra.run.dir={runs[compiled]}",
            cwd=tmp_path,
            **environment,
        )
        assert finished.returncode == 0, finished.stderr
    assert os.listdir(environment["TORCHINDUCTOR_CACHE_DIR"])  # something was compiled
    assert losses(runs["true"]) == pytest.approx(losses(runs["false"]), rel=1e-4)
    assert shapes(runs["true"]) == shapes(runs["false"])
    sampled = fork_command(
        "sample", f"run={runs['true']}", "num_samples=2", "animation=null", cwd=tmp_path
    )
    assert sampled.returncode == 0, sampled.stderr


def test_without_a_compiler_one_line_says_so(
    tmp_path: Path, environment: dict[str, str], run_command: Any
) -> None:
    finished = run_command(
        "train", *SETTINGS, "compile=true", cwd=tmp_path, **environment, CXX="/nowhere/g++"
    )
    assert finished.returncode == 2
    assert "Traceback" not in finished.stderr
    line = finished.stderr.splitlines()[-1]
    assert line.startswith(
        "thaw: the first step fails: InvalidCxxCompiler: No working C++ compiler"
    )
