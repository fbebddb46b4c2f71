"""A new score is one metric class and one row: it is then wherever scores are."""

import contextlib
import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands_support import TINY, record
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor
from torchmetrics import Metric

from thaw.metrics.gathering import FeatureMetric
from thaw.metrics.table import Score

JOB = [*TINY, "degradation=column_random", "trainer.max_epochs=1", "callbacks.samples.at_epochs=[]"]


class Toy(FeatureMetric):
    """The largest feature of all generated images."""

    def compute(self) -> Tensor:
        return self.gathered().max()


class Worst(Metric):
    """The largest error of any pixel of a restored image."""

    worst: Tensor

    def __init__(self, pixel_range: tuple[float, float]) -> None:
        super().__init__()
        self.add_state("worst", torch.zeros(()), dist_reduce_fx="max")

    def update(self, preds: Tensor, target: Tensor) -> None:
        self.worst = torch.maximum(self.worst, (preds - target).abs().max())

    def compute(self) -> Tensor:
        return self.worst


TOY = Score("toy", "Toy", f"{__name__}:Toy.against", False, ".1f", is_main=True)
WORST = Score("worst", "Worst", f"{__name__}:Worst", True, has_floor=False)


def main() -> None:
    """A sweep over two seeds and its report, with a row more in each table."""
    from thaw.metrics import table

    table.GENERATED = (*table.GENERATED, TOY)  # type: ignore[assignment]
    table.RESTORED = (*table.RESTORED, WORST)  # type: ignore[assignment]
    from thaw.commands.app import run
    from thaw.reporting.report import Options, write_report

    sys.argv = ["train.py", "-m", "seed=1,2", "sweep.name=toy", *JOB]
    with contextlib.suppress(SystemExit):
        run("train")
    write_report(sorted(Path("multirun/toy").glob("*/")), Path("report"), Options("Toys"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A process of its own, since the table is read where modules are loaded."""
    folder = tmp_path_factory.mktemp("toy")
    code = f"import {Path(__file__).stem} as test; test.main()"
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = os.environ | {"PYTHONPATH": paths, "CUDA_VISIBLE_DEVICES": ""}
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    (folder / "output.txt").write_text(ended.stdout)
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_it_is_wherever_scores_are(folder: Path) -> None:
    sweep = folder / "multirun" / "toy"
    for run_dir in sweep.glob("*/"):
        (row,) = rows(run_dir / "metrics.csv")
        assert float(row["val/toy"]) > 0
        assert float(row["val/worst_direct"]) > 0
        found = record(run_dir)
        assert found["final_scores"]["final/toy"] > 0
        assert found["restoration"]["algorithm_2"]["worst"] > 0
        events = EventAccumulator(str(run_dir)).Reload()
        assert {"val/toy", "val_final/toy", "val/worst_direct"} <= set(events.Tags()["scalars"])
    output = (folder / "output.txt").read_text()
    table = rows(sweep / "sweep.csv")
    assert len(table) == 2
    for row in table:
        assert f"Toy {float(row['final/toy']):.1f}" in output
        assert row["final/toy/mean"]
    (header,) = (line for line in output.splitlines() if line.startswith("overrides "))
    assert "final Toy" in header
    assert "Worst 0." in output
    first = rows(folder / "report" / "tables" / "results.csv")[0]
    assert float(first["Toy"]) > 0
    assert float(first["Toy seeds"]) == 2
    assert "Worst" in rows(folder / "report" / "tables" / "restoration.csv")[0]
    assert (folder / "report" / "figures" / "toy.svg").is_file()
