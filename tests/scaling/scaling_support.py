"""What the tests of several processes share: a run of seconds, and what is left of it."""

import csv
from pathlib import Path
from typing import Any

import torch

# Two epochs of six steps; the validation's last batch has one image, fewer than processes.
COLD = {
    "data": "mnist_5k",
    "data.batch_size": "100",
    "data.val_size": "101",
    "degradation": "column_random",
    "objective/timesteps": "importance",
    "ema": "standard",
    "model.hidden": "[4,4]",
    "model.kernel_size": "3",
    "trainer.max_epochs": "2",
    "trainer.limit_train_batches": "6",
    "metrics.num_samples": "20",
    "metrics.batch_size": "10",
    "metrics.final_num_samples": "30",
    "metrics.num_restored": "20",
    "metrics.num_restored_each_epoch": "5",
    "metrics.sampler.num_steps": "5",
    "callbacks.samples.num_samples": "4",
}
# The shortest run that has a score.
SHORT = COLD | {
    "trainer.max_epochs": "1",
    "trainer.limit_train_batches": "2",
    "metrics.final_num_samples": "0",
    "metrics.num_restored": "0",
    "metrics.num_restored_each_epoch": "0",
    "callbacks.samples.at_epochs": "[]",
    "callbacks.forward_process": "null",
}


def arguments(settings: dict[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in settings.items()]


def fault(signal_number: int, step: int) -> list[str]:
    """Overrides that send the process a signal after a step of the optimiser."""
    node = "+callbacks.fault"
    return [
        f"{node}._target_=fault_callbacks.EndAt",
        f"{node}.signal_number={signal_number}",
        f"{node}.step={step}",
    ]


def rows(path: Path) -> list[dict[str, Any]]:
    """A CSV file, its numbers as numbers."""
    with path.open(newline="") as file:
        return [{key: _plain(value) for key, value in row.items()} for row in csv.DictReader(file)]


def numbers(row: dict[str, Any]) -> dict[str, float]:
    """What can be compared up to rounding."""
    return {key: value for key, value in row.items() if isinstance(value, int | float)}


def _plain(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def files(directory: Path) -> list[str]:
    """The names of all files, those of TensorBoard without times and processes."""
    return sorted(
        str(path.relative_to(directory)) if "tfevents" not in path.name else "events"
        for path in directory.rglob("*")
        if path.is_file()
    )


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    checkpoint = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    state: dict[str, torch.Tensor] = checkpoint["state_dict"]
    return state
