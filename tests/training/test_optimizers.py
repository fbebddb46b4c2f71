"""The optimisers of conf/optimizer/, and gradient clipping with each of them."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor
from training_helpers import fit, make_module

from thaw.training.module import DiffusionModule
from thaw.training.nodes import create

CONF = Path(__file__).resolve().parents[2] / "conf" / "optimizer"
NAMES = sorted(path.stem for path in CONF.glob("*.yaml"))


def trained(name: str, **changes: Any) -> DiffusionModule:
    """Fifteen steps with ``optimizer=name`` and ``optimizer.KEY=VALUE``."""
    node = OmegaConf.merge(OmegaConf.load(CONF / f"{name}.yaml"), changes)
    module = make_module(optimizer=create(node))
    fit(module, max_epochs=3)
    return module


def weights(module: DiffusionModule) -> Tensor:
    return torch.cat([p.detach().flatten() for p in module.restorer.parameters()])


EXPECTED = {
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=2e-4, fused=True),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=2e-4, fused=True),
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=1e-2, momentum=0.9, fused=True),
}


@pytest.mark.parametrize("name", NAMES)
def test_each_file_trains_as_torch_s_optimiser_with_its_defaults_does(name: str) -> None:
    expected = make_module(optimizer=EXPECTED[name])
    fit(expected, max_epochs=3)
    assert torch.equal(weights(trained(name)), weights(expected))


def largest_steps(limit: float | None, **settings: Any) -> list[float]:
    """The norm of what each step of plain SGD at rate 1 adds to the weights."""
    module = make_module(optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0))
    seen = [weights(module)]
    configure = module.configure_optimizers

    def watched() -> Any:
        optimizer = configure()
        optimizer.register_step_post_hook(lambda *_: seen.append(weights(module)))
        return optimizer

    module.configure_optimizers = watched  # type: ignore[method-assign]
    fit(module, max_epochs=1, gradient_clip_val=limit, **settings)
    return [float((after - before).norm()) for before, after in itertools.pairwise(seen)]


@pytest.mark.parametrize("accumulated", [1, 5])
def test_clipping_limits_the_norm_of_the_whole_gradient(accumulated: int) -> None:
    free = largest_steps(None, accumulate_grad_batches=accumulated)
    limit = min(free) / 100
    clipped = largest_steps(limit, accumulate_grad_batches=accumulated)
    assert len(clipped) == 5 // accumulated
    assert clipped == pytest.approx([limit] * len(clipped), rel=1e-4)
    assert largest_steps(100 * max(free), accumulate_grad_batches=accumulated) == free
    assert largest_steps(0, accumulate_grad_batches=accumulated) == free
