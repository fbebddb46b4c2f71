"""Fine-tuning: a network starts from the weights of another run, as far as they fit."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from thaw.training.checkpoint_files import read_checkpoint
from thaw.training.compatibility import listed
from thaw.training.loading import checkpoint_path
from thaw.training.model import Model
from thaw.training.weights import read_weights

log = logging.getLogger(__name__)
# In the order of preference: the average of the weights, where one was kept.
NETWORKS = ("ema.average.network.", "restorer.network.")


@dataclass(frozen=True)
class Initial:
    """The tensors of a network, by their names in it, and the file that they are from."""

    path: Path
    epoch: int
    tensors: Mapping[str, Tensor]

    def start(self, model: Model) -> dict[str, Any]:
        """Copy what fits into a model's network, and into the average of its weights.

        A tensor fits where the network has one of its name and shape. The answer is for run.json:
        how many ``fit``, which of the network's are ``new``, which of the file's are ``left_out``.
        ValueError where none fits.
        """
        networks = [model.restorer.network, model.evaluated.network]
        own = networks[0].state_dict()
        fit = [name for name in own if _fits(own, self.tensors, name)]
        new = [name for name in own if name not in fit]
        left_out = [name for name in self.tensors if name not in fit]
        if not fit:
            has = listed(left_out) or "it has none"
            raise ValueError(
                f"init_from={self.path}: none of its tensors ({has}) fits this network, a "
                f"{type(networks[0]).__name__} with {listed(list(own))}"
            )
        for network in networks:
            state = network.state_dict()
            for name in fit:
                state[name].copy_(self.tensors[name])  # of the network's own storage
        found = {"path": str(self.path), "epoch": self.epoch, "fit": len(fit)}
        log.info(
            "init_from   %s of epoch %d: %d of %d tensors fit; new here: %s; left out: %s",
            self.path, self.epoch, len(fit), len(own), listed(new) or "none",
            listed(left_out) or "none",
        )  # fmt: skip
        return found | {"new": new, "left_out": left_out}


def read_initial(source: Path) -> Initial:
    """The network of a run directory, a folder of weights, or a file of either.

    Nothing in it is executed, and its configuration is not read. ValueError in one line.
    """
    try:
        if not source.exists():
            raise ValueError("no such file or directory (it takes a run, weights or a checkpoint)")
        path = checkpoint_path(source, "last") if source.is_dir() else source
        is_weights = path.suffix == ".safetensors"
        contents = read_weights(path) if is_weights else read_checkpoint(path)
        state: dict[str, Tensor] = contents["state_dict"]
    except ValueError as error:
        raise ValueError(f"init_from={source}: {error}") from error
    of_each = [_within(state, prefix) for prefix in NETWORKS]
    return Initial(path, int(contents["epoch"]) + 1, next(filter(None, of_each), {}))


def _within(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix)
    }


def _fits(own: Mapping[str, Tensor], others: Mapping[str, Tensor], name: str) -> bool:
    return name in others and own[name].shape == others[name].shape
