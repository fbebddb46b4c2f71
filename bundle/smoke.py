"""Two training steps of every choice in conf/ on the device, in one process, a line each.

Each is a whole run in small by thaw's ``Training``: a tiny network, a checkpoint, a grid of
samples. On a GPU the second step is watched for places where the host waits for the device.
``python smoke.py [GROUP ...]`` writes into $OUT/results.json; without groups it takes all of them.
"""

import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf, open_dict
from PIL import Image
from results import keep

from thaw.commands import config
from thaw.groups import CONF, GROUPS, PRESETS
from thaw.training.training import Training

BASE = {"data": "mnist_5k", "metrics": "none", "logger": "none", "callbacks": "default"}
# Of these, a configuration gets those that it has.
TINY: dict[str, Any] = {
    "trainer.max_steps": 2,
    "trainer.limit_val_batches": 1,
    "trainer.enable_progress_bar": False,
    "data.batch_size": 4,
    "model.hidden": [4, 4],
    "model.kernel_size": 3,
    "model.width": 8,
    "model.multipliers": [1, 1],
    "schedule.timesteps": 30,
    "sampler.num_steps": 3,
    "metrics.sampler.num_steps": 3,
    "metrics.num_samples": 20,
    "metrics.final_num_samples": 20,
    "metrics.num_restored": 20,
    "metrics.num_restored_each_epoch": 5,
    "prior.num_images": 500,
    "degradation.num_partners": 8,
    "callbacks.samples.at_epochs": ["last"],
    "callbacks.samples.num_samples": 4,
    "callbacks.forward_process": None,
}
# Each picture as its own partner.
PAIRS = ["data=paired_folder", "data.root=PICTURES", "data.cache=PICTURES", "data.clean=.",
         "data.degraded=."]  # fmt: skip
# What a choice takes beside itself.
WITH = {
    "degradation=decolour": ["data=photographs"],
    "degradation=paired": PAIRS,
    "degradation=blur_noise": ["schedule=cosine"],
    "schedule=flow": ["prediction=flow"],
    "schedule=edm": ["prediction=edm"],
    "data=paired_folder": PAIRS,
    "experiment=best_photographs": ["data=photographs"],
    "data=image_folder": ["data.root=PICTURES", "data.cache=PICTURES"],
    "logger=default": ["logger.tensorboard.save_dir=PICTURES"],
    "logger=tensorboard": ["logger.tensorboard.save_dir=PICTURES"],
    "logger=csv": ["logger.csv.save_dir=PICTURES"],
}
NO_FILES = "its files are not in the bundle"
LEFT_OUT = {
    **dict.fromkeys(["data=fashion_mnist", "data=kmnist", "data=cifar10"], NO_FILES),
    "metrics=inception": NO_FILES,
    **dict.fromkeys(["logger=wandb", "logger=mlflow", "logger=comet"], NO_FILES),
    "trainer=ddp": "it starts processes of its own",
}


class Watch(pl.Callback):
    """Notes where the steps after the first make the host wait for the device."""

    def __init__(self) -> None:
        self.waits: set[str] = set()
        self.caught: Any = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: Any, batch: Any, index: int
    ) -> None:
        if module.device.type == "cuda" and index > 0:
            self.caught = warnings.catch_warnings(record=True)
            self.found = self.caught.__enter__()
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        self.stop()

    def stop(self) -> None:
        """Note what was seen since the step began, if it was watched."""
        if self.caught is not None:
            torch.cuda.set_sync_debug_mode("default")
            self.caught.__exit__(None, None, None)
            self.caught = None
            for each in self.found:
                if "called a synchronizing" in str(each.message):
                    self.waits.add(f"{Path(each.filename).name}:{each.lineno}")


def choices(groups: list[str]) -> Iterator[tuple[str, str]]:
    """Every GROUP and CHOICE that conf/ has a file for, in the order of the table of groups."""
    for group in groups or [*(group.name for group in GROUPS), *PRESETS]:
        for path in sorted((CONF / group).glob("*.yaml")):
            yield group, path.stem


def composed(group: str, choice: str, pictures: Path) -> DictConfig:
    """The configuration of a choice, made small."""
    beside = [each.replace("PICTURES", str(pictures)) for each in WITH.get(f"{group}={choice}", [])]
    chosen = dict(each.split("=") for each in beside) | {group: choice}
    overrides = [f"{key}={value}" for key, value in (BASE | chosen).items()]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides)
    with open_dict(cfg):
        for key, value in TINY.items():
            parent = OmegaConf.select(cfg, key.rpartition(".")[0])
            if isinstance(parent, DictConfig) and key.rpartition(".")[2] in parent:
                OmegaConf.update(cfg, key, value)
    return cfg


def trained(group: str, choice: str, folder: Path) -> str:
    """In words, what came of a choice: ok, with where it waits for the device, or FAILED."""
    watch = Watch()
    try:
        training = Training(composed(group, choice, folder / "pictures"), folder / "run")
        training.trainer.callbacks.insert(0, watch)
        training.read_data()
        training.prepare()
        training.fit()
        training.score()
    except Exception as error:  # whatever it is, the others are tried
        watch.stop()
        return f"FAILED {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    waits = f", but waits for the device at {' '.join(sorted(watch.waits))}" if watch.waits else ""
    return f"ok on {training.device}{waits}"


def paint(folder: Path) -> None:
    """A few small pictures for data=image_folder."""
    folder.mkdir()
    for number in range(32):
        colour = (8 * number, 255 - 8 * number, 128)
        Image.new("RGB", (32, 32), colour).save(folder / f"{number}.png")


def main(groups: list[str]) -> None:
    """Print and keep what came of each choice as it comes."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    config.register()
    left_out = dict(LEFT_OUT)
    if not (Path(os.environ.get("THAW_DATA", "data")) / "MNIST" / "raw").is_dir():
        left_out["data=mnist"] = NO_FILES
    found: dict[str, str] = {}
    for group, choice in choices(groups):
        name, start = f"{group}={choice}", time.perf_counter()
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            paint(folder / "pictures")
            (folder / "run").mkdir()
            reason = left_out.get(name)
            found[name] = f"left out: {reason}" if reason else trained(group, choice, folder)
        print(f"{name:34s} {time.perf_counter() - start:5.1f} s  {found[name]}", flush=True)
        keep("smoke", found)
    failed = sum(line.startswith("FAILED") for line in found.values())
    waits = sum("waits" in line for line in found.values())
    device = "watched" if torch.cuda.is_available() else "not watched, there is no GPU"
    print(f"{len(found)} choices, {failed} failed, {waits} wait for the device ({device})")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main(sys.argv[1:])
