"""Weights alone, as a safetensors file: what is read of it is as of a checkpoint."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from thaw import storage
from thaw.metrics.encoders import read_safetensors

FORMAT = "thaw-weights-1"


def write_weights(
    path: Path, state: dict[str, Tensor], provenance: dict[str, Any], epoch: int
) -> None:
    """Write the state of a module, with its configuration and origin in the file's metadata.

    ``epoch`` counts from 0, as in a checkpoint.
    """
    metadata = {"format": FORMAT, "epoch": str(epoch), "thaw": json.dumps(provenance)}
    tensors = {key: value.detach().cpu().clone() for key, value in state.items()}
    storage.write_atomically(path, save(tensors, metadata))


def read_weights(path: Path) -> dict[str, Any]:
    """``state_dict``, ``thaw`` and ``epoch``, as :func:`read_checkpoint` has them.

    ValueError where the file is damaged or not of thaw.
    """
    metadata, tensors = read_safetensors(path, FORMAT, "model")
    try:
        provenance, epoch = json.loads(metadata["thaw"]), int(metadata["epoch"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} is damaged: its metadata does not say what it is") from error
    if not isinstance(provenance, dict):
        raise ValueError(f"{path} is damaged: its metadata does not say what it is")
    return {"state_dict": tensors, "thaw": provenance, "epoch": epoch}
