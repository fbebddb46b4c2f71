"""Run directories made of files alone, as train.py leaves them, whole or broken on purpose."""

import copy
import csv
import io
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from thaw.diffusion.schedules import alpha_bar_of, betas_of, linear

STEPS_AN_EPOCH = 4
TIMESTEPS = 50
STAGES = ("original", "degraded", "direct", "algorithm_1", "algorithm_2")
# Stages of a Gaussian run.
HOT_STAGES = ("original", "degraded", "direct", "sampled")
# What a user may write into a name or an override, and what breaks HTML, LaTeX or mathtext.
HOSTILE = """<script>alert("1")</script> & $\\alpha_ % # {x} ~ ^ 'q' </td>"""
# The same for figures: at most 30 characters, which no figure cuts off.
TITLE = r"$x_1$ & \alpha^2 <b>"
CONFIG: dict[str, Any] = {
    "data": {"_target_": "thaw.data.module.ImageDataModule", "root": "/data", "batch_size": 128},
    "model": {
        "_target_": "thaw.networks.cnn.CNN", "hidden": [16, 32, 32, 16], "activation": "gelu",
    },
    "schedule": {"_target_": "thaw.diffusion.schedules.linear", "timesteps": TIMESTEPS},
    "optimizer": {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 2e-4},
    "trainer": {"max_epochs": 3, "enable_progress_bar": True},
    "seed": 0,
    "resume": "auto",
    "name": None,
}  # fmt: skip
DEGRADATIONS: dict[str, dict[str, Any]] = {
    "hot": {"_target_": "thaw.diffusion.degradations.gaussian.Gaussian",
            "schedule": CONFIG["schedule"]},
    "cold": {"_target_": "thaw.diffusion.degradations.line_average.LineAverage",
             "axis": "column", "order": "random", "group_size": 1, "seed": 0},
}  # fmt: skip
CHOICES = {"hot": ("gaussian", "noise"), "cold": ("column_random", "clean")}


def alpha_bar() -> torch.Tensor:
    """The schedule of the hot runs."""
    return alpha_bar_of(linear(TIMESTEPS))


def record(family: str, seed: int, **changes: Any) -> dict[str, Any]:
    """run.json of a completed run of three epochs."""
    degradation, prediction = CHOICES[family]
    config = copy.deepcopy(CONFIG) | {"degradation": DEGRADATIONS[family], "seed": seed}
    return {
        "status": "completed",
        "name": "a run",
        "overrides": [f"degradation={degradation}", f"seed={seed}"],
        "seed": seed,
        "versions": {"python": "3.11.7", "torch": "2.15.0"},
        "git": {"commit": "abc123", "dirty": False},
        "start": "2026-01-01T00:00:00+00:00",
        "error": None,
        "dataset": {"name": "mnist_5k", "checksum": "0123"},
        "encoder": "mnist-cnn-v1",
        "config": config,
        "choices": {
            "degradation": degradation, "prediction": prediction, "schedule": "linear",
            "model": "cnn", "experiment": None,
        },
        "cpu": "A processor, 2 cores",
        "device": "cpu",
        "num_threads": 2,
        "num_parameters": 15905,
        "epochs": 3,
        "last_epoch": rows(seed)[-1],
        "final_scores": final_scores(20.0 + seed),
        "restoration": restoration() if family == "cold" else {"epoch": 3, "sampler": "DDIM"},
        "wall_time_s": 90.0 + 60 * seed,
    } | changes  # fmt: skip


def rows(seed: int, num_epochs: int = 3) -> list[dict[str, Any]]:
    """metrics.csv, a row an epoch."""
    return [
        {
            "epoch": epoch,
            "step": epoch * STEPS_AN_EPOCH,
            "train/loss": 0.5 / epoch + 0.01 * seed,
            "val/loss": 0.6 / epoch + 0.01 * seed,
            "val/fid": 100.0 / epoch + 3.0 * seed,
            "val/is_mean": 2.0 + epoch + 0.1 * seed,
            "val/is_std": 0.1,
            "val/fid_floor": 4.0,
            "val/is_floor": 9.5,
            "val/n": 250,
            "val/encoder": "mnist-cnn-v1",
            "val/sampler": "DDIM, 25 steps",
        }
        for epoch in range(1, num_epochs + 1)
    ]


def final_scores(fid: float) -> dict[str, Any]:
    """Final scores."""
    scores: dict[str, Any] = {
        "fid": fid, "is_mean": 7.25, "kid": 0.012, "class_kl": 0.034, "num_classes": 10,
        "precision": 0.81, "recall": 0.62, "n": 1000,
        "fid_floor": 1.5, "is_floor": 9.75, "kid_floor": 0.001, "class_kl_floor": 0.002,
        "class_histogram": [40, 60, 100, 100, 100, 100, 100, 100, 100, 200],
        "class_histogram_real": [50, 50, 100, 100, 100, 100, 100, 100, 150, 150],
        "encoder": "mnist-cnn-v1", "sampler": "Ancestral, 1000 steps",
    }  # fmt: skip
    return {f"final/{key}": value for key, value in scores.items()} | {"epoch": 3}


def restoration() -> dict[str, Any]:
    """Restoration scores."""
    scores: dict[str, Any] = {
        stage: {"psnr": 10.0 + k, "ssim": 0.5 + k / 10, "rmse": 0.3 - k / 20, "fid": 90.0 - k}
        for k, stage in enumerate(STAGES[1:])
    }
    measured = {"n": 1000, "fid_floor": 0.25, "t": 28, "sampler": "Cold, 28 steps"}
    return scores | measured | {"images": "test images, ...", "epoch": 3}


def write_run(run_dir: Path, family: str, seed: int = 0, **changes: Any) -> Path:
    """A completed run's directory with every file; ``changes`` go into run.json."""
    run_dir.mkdir(parents=True)
    write_record(run_dir, record(family, seed, **changes))
    write_metrics(run_dir, rows(seed))
    draws = np.random.default_rng(seed)
    (run_dir / "samples").mkdir()
    for epoch in (1, 2, 3):
        image = Image.fromarray(draws.integers(0, 256, (32, 32), dtype=np.uint8))
        image.save(run_dir / "samples" / f"epoch_{epoch:04d}.png")
    names = STAGES if family == "cold" else HOT_STAGES
    images = draws.integers(0, 256, (len(names), 2, 1, 28, 28), dtype=np.uint8)
    write_restoration(run_dir, images, names)
    if family == "hot":
        write_schedule(run_dir)
    write_events(run_dir, step_losses(seed))
    return run_dir


def write_record(run_dir: Path, contents: Mapping[str, Any]) -> None:
    """run.json, in a folder that is made where it is missing."""
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "run.json").write_text(json.dumps(contents), encoding="utf-8")


def write_metrics(run_dir: Path, table: Sequence[Mapping[str, Any]]) -> None:
    """metrics.csv, its columns those of the first row."""
    with (run_dir / "metrics.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table[0]), restval="")
        writer.writeheader()
        writer.writerows(table)


def write_restoration(run_dir: Path, stages: Any, names: Sequence[str] = STAGES) -> None:
    """figures/restoration.npz of arrays in the order of ``names``."""
    (run_dir / "figures").mkdir(exist_ok=True)
    arrays = dict(zip(names, stages, strict=True))
    np.savez_compressed(run_dir / "figures" / "restoration.npz", **arrays)


def write_schedule(run_dir: Path) -> None:
    """figures/schedule.csv of ``alpha_bar``."""
    (run_dir / "figures").mkdir(exist_ok=True)
    table = alpha_bar()
    lines = [f"{t + 1},{b},{a}" for t, (b, a) in enumerate(zip(betas_of(table), table[1:]))]  # noqa: B905
    text = "\n".join(["t,beta_t,alpha_t", "0,0,1", *lines]) + "\n"
    (run_dir / "figures" / "schedule.csv").write_text(text, encoding="utf-8")


def step_losses(seed: int) -> list[float]:
    """The loss of each of the twelve steps."""
    return [1.0 / step + 0.01 * seed for step in range(1, 3 * STEPS_AN_EPOCH + 1)]


def write_events(run_dir: Path, losses: Sequence[float], first: int = 1) -> None:
    """A TensorBoard event file with the losses of steps ``first``, first + 1, ..."""
    with SummaryWriter(str(run_dir)) as writer:
        for step, loss in enumerate(losses, start=first):
            writer.add_scalar("train/loss_step", loss, step)


def event_file(run_dir: Path) -> Path:
    """The only event file of a run."""
    (path,) = run_dir.glob("events.out.tfevents.*")
    return path


def truncate(path: Path, share: float = 0.5) -> None:
    """Keep only the first part of a file."""
    contents = path.read_bytes()
    path.write_bytes(contents[: int(len(contents) * share)])


def written(figure: Figure) -> list[str]:
    """Every piece of text as it is drawn, from an SVG that keeps text as text."""
    contents = io.BytesIO()
    with rc_context({"svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.simplefilter("error")  # such as one of a character that the font lacks
        figure.savefig(contents, format="svg")
    root = ElementTree.fromstring(contents.getvalue())
    found = root.iter("{http://www.w3.org/2000/svg}text")
    return ["".join(element.itertext()) for element in found]
