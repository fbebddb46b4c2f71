"""Trained models of the study's starter code, as found in public, in the words of thaw.

The starter saves the state dict of its DDPM: the network ``gt``, and as buffers either ``alpha_t``
and ``beta_t``, T + 1 entries from t = 0, or the order of the averaged lines, ``rows_t`` or
``cols_t``, ``[T]`` or in groups ``[T, group_size]``. Its activation function is not in the file.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from thaw.networks.embeddings import FREQUENCIES
from thaw.training.checkpoint_files import read_tensors
from thaw.training.compatibility import listed

BLOCK = re.compile(r"gt\.blocks\.(\d+)\.net\.([01])\.(weight|bias)")
LAST = re.compile(r"gt\.blocks\.(\d+)\.(weight|bias)")
EMBEDDING = re.compile(r"gt\.time_embed\.([0246])\.(weight|bias)")
BUFFERS = ("alpha_t", "beta_t", "rows_t", "cols_t", "gt.frequencies")
# The study's experiments, whose configuration the file does not hold.
DDPM, COLD = "ddpm_gelu_1000", "columns_random"


@dataclass(frozen=True)
class StarterModel:
    """What a file of the starter says, as a configuration of thaw's has it.

    experiment: that of the study which all other settings are from.
    changes: values in its configuration, by group.
    weights: the tensors of the network, by their names in :class:`~thaw.networks.cnn.CNN`.
    image_shape: (C, H, W) of its images.
    origin: the file's name and SHA-256, for run.json.
    """

    experiment: str
    changes: dict[str, dict[str, Any]]
    weights: dict[str, Tensor]
    image_shape: tuple[int, int, int]
    origin: dict[str, str]


def read_starter(path: Path) -> StarterModel:
    """Read such a file, executing nothing in it; ValueError in one line for any other."""
    if not path.is_file():
        raise ValueError(f"file={path}: {'a folder' if path.exists() else 'no such file'}")
    tensors = read_tensors(path)
    try:
        weights, number_of_last = _network(tensors)
        hidden = [len(weights[f"blocks.{i}.0.weight"]) for i in range(number_of_last)]
        model = {
            "hidden": hidden,
            "kernel_size": weights["blocks.0.0.weight"].shape[-1],
            "last_kernel_size": weights["last.weight"].shape[-1],
        }
        if (norm := weights["blocks.0.1.weight"]).ndim != 3:
            raise ValueError("its LayerNorm is not over (C, H, W)")
        _, height, width = norm.shape
        experiment, changes = _degradation(tensors)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ValueError(f"{path} is no model of the study's starter: {why}") from error
    shape = (len(weights["last.weight"]), height, width)
    origin = {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    return StarterModel(experiment, {"model": model} | changes, weights, shape, origin)


def _network(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], int]:
    """The tensors of the network by thaw's names, and the number of its blocks."""
    found: dict[str, Tensor] = {}
    last = max((int(match[1]) for name in tensors if (match := LAST.fullmatch(name))), default=0)
    unknown = []
    for name, tensor in tensors.items():
        if match := BLOCK.fullmatch(name):
            found[f"blocks.{match[1]}.{match[2]}.{match[3]}"] = tensor
        elif (match := LAST.fullmatch(name)) and int(match[1]) == last:
            found[f"last.{match[2]}"] = tensor
        elif match := EMBEDDING.fullmatch(name):
            found[f"time_embedding.mlp.{match[1]}.{match[2]}"] = tensor
        elif name not in BUFFERS:
            unknown.append(name)
    if unknown or not last:
        raise ValueError(f"it holds {listed(unknown) or 'no gt.blocks'}")
    frequencies = tensors.get("gt.frequencies")
    if frequencies is not None and not (
        frequencies.shape == (len(FREQUENCIES),)
        and torch.allclose(frequencies.double(), torch.tensor(FREQUENCIES, dtype=torch.float64))
    ):
        raise ValueError("its time embedding has other frequencies")
    return found, last


def _degradation(tensors: dict[str, Tensor]) -> tuple[str, dict[str, dict[str, Any]]]:
    """The experiment, and the schedule or the order of the lines."""
    for name, axis in (("rows_t", "row"), ("cols_t", "column")):
        if name in tensors:
            return COLD, {"degradation": {"axis": axis} | _order(name, tensors[name])}
    # At t = 0 the starter has noise already, a step that is neither trained nor sampled from; here
    # it is clean, and the first step takes over that noise.
    alpha_bar = tensors["alpha_t"].double()[1:].tolist()
    table = {"_target_": "thaw.diffusion.schedules.table", "alpha_bar": alpha_bar}
    return DDPM, {"schedule": table}


def _order(name: str, lines: Tensor) -> dict[str, Any]:
    """The order of the groups and their size, from lines ``[T]`` or ``[T, group_size]``."""
    groups = lines.reshape(len(lines), -1)
    size = groups.shape[1]
    order = groups[:, 0] // size
    whole = order[:, None] * size + torch.arange(size)
    if not torch.equal(groups, whole) or sorted(order.tolist()) != list(range(len(order))):
        raise ValueError(f"{name} does not name each line once, or not in groups of neighbours")
    return {"order": order.tolist(), "group_size": size}
