"""The line before the slow part of a command: folder, data, model, device, what is to do."""

import logging
from collections.abc import Mapping
from typing import Any

import torch
from omegaconf import DictConfig

from thaw.data.module import ImageDataModule
from thaw.diffusion.restorer import Restorer
from thaw.training.loading import LoadedRun

log = logging.getLogger(__name__)
LINE = "%s: data %s; model %s; on %s; to do: %s"


def say_loaded(run: LoadedRun, record: Mapping[str, Any], device: str, to_do: str) -> None:
    """Log the line of a loaded run; the numbers of images are those of its record."""
    counts = record.get("num_images")
    data = data_in_words(run.experiment.data, counts if isinstance(counts, dict) else {})
    checkpoint = f"{run.checkpoint.name} of epoch {run.epoch}, {run.weights} weights"
    model = model_in_words(run.experiment.restorer)
    log.info(LINE, f"{run.run_dir}, {checkpoint}", data, model, device, to_do)


def num_images(data: ImageDataModule) -> dict[str, int]:
    """Number of images of each split, after ``setup()``."""
    counts = {"training": len(data.train_images), "test": len(data.test_images)}
    return counts | ({"validation": len(data.val_images)} if data.val_size else {})


def data_in_words(data: ImageDataModule, counts: Mapping[str, int]) -> str:
    """``mnist_5k, 4,000 training, 500 test, 500 validation images``."""
    parts = [f"{count:,} {split}" for split, count in counts.items()]
    return f"{data.name}, {', '.join(parts)} images" if parts else str(data.name)


def model_in_words(restorer: Restorer) -> str:
    """``CNN, 15,905 parameters, LineAverage, T = 28``."""
    count = sum(parameter.numel() for parameter in restorer.network.parameters())
    degradation = restorer.degradation
    network = type(restorer.network).__name__
    return (
        f"{network}, {count:,} parameters, {type(degradation).__name__}, "
        f"T = {degradation.num_steps}"
    )


def device_in_words(device: torch.device, world_size: int = 1) -> str:
    """``cpu``, or the GPU's name; with the number of processes where there are several."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    return name if world_size == 1 else f"{world_size} x {name}"


def training_in_words(cfg: DictConfig) -> str:
    """``train to epoch 20, score 10,000 images, restore 1,000``."""
    limits = {"max_epochs": "epoch {}", "max_steps": "step {}", "max_time": "{} of time"}
    set_ = {key: cfg.trainer.get(key) for key in limits}
    ends = [limits[key].format(value) for key, value in set_.items() if value not in (None, -1)]
    parts = [f"train to {' or '.join(ends)}"]
    if cfg.metrics.suite and cfg.metrics.final_num_samples:
        parts.append(f"score {cfg.metrics.final_num_samples:,} images")
    if cfg.metrics.num_restored:
        parts.append(f"restore {cfg.metrics.num_restored:,}")
    return ", ".join(parts)
