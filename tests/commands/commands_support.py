"""What the tests of the commands share."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
# A network, an epoch and scores small enough for a test, on the digits that come with thaw.
TINY = [
    "data=mnist_5k",
    "model.hidden=[4,4]",
    "model.kernel_size=3",
    "trainer.limit_train_batches=4",
    "trainer.limit_val_batches=1",
    "metrics.num_samples=20",
    "metrics.final_num_samples=30",
    "schedule.timesteps=20",
    "metrics.sampler.num_steps=5",
    "callbacks.samples.num_samples=4",
]


def record(run_dir: Path) -> dict[str, Any]:
    """The contents of run.json."""
    contents: dict[str, Any] = json.loads((run_dir / "run.json").read_text())
    return contents
