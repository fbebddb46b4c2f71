"""The guard: broken numbers end a run and say where, a model that learns nothing is warned of."""

import logging
import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.utils.data import DataLoader
from training_helpers import SHAPE, batches, fit, make_module, make_restorer

from thaw.diffusion.objectives import L1, MSE, trivial_loss
from thaw.diffusion.samplers.cold import Cold
from thaw.training.callbacks.guard import BrokenNumbersError, Guard
from thaw.training.callbacks.scores import Scores
from thaw.training.module import DiffusionModule

DATA: Any = SimpleNamespace(train_images=torch.randint(0, 256, (64, *SHAPE), dtype=torch.uint8))


def train(module: DiffusionModule, run_dir: Path, epochs: int = 1) -> None:
    fit(module, callbacks=[Guard(run_dir, DATA)], max_epochs=epochs)


class BreaksAt(nn.Module):
    """Answers 0, and from the given call of a training step on something else."""

    def __init__(self, call: int, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.calls, self.call, self.value = 0, call, value

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        self.calls += self.training
        broken = self.value if self.training and self.calls >= self.call else 0.0
        return self.weight * x_t + broken


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_broken_loss_ends_the_run_and_says_where(tmp_path: Path, value: float) -> None:
    """Five batches an epoch: the eighth step is the third batch of the second epoch."""
    module = make_module(make_restorer(BreaksAt(8, value)))
    with pytest.raises(BrokenNumbersError) as caught:
        train(module, tmp_path, epochs=3)
    message = str(caught.value)
    assert f"the loss is {value} at step 8 (epoch 2, batch 3" in message
    assert "no checkpoint was made" in message
    assert str(module.batch_seed(1, 2)) in message


@pytest.mark.parametrize("step", [2, 51])
def test_in_a_long_epoch_a_broken_loss_is_found_within_fifty_steps(
    step: int, tmp_path: Path
) -> None:
    """Looking at the epoch's losses again and again would take longer the longer it is."""
    module = make_module(make_restorer(BreaksAt(step, math.nan)))
    loader = DataLoader(batches() * 40, batch_size=None)  # type: ignore[arg-type]
    with pytest.raises(BrokenNumbersError, match=f"the loss is nan at step {step} ") as caught:
        fit(module, loader=loader, callbacks=[Guard(tmp_path, DATA)], max_epochs=1)
    assert str(module.batch_seed(0, step - 1)) in str(caught.value)
    assert step <= len(module.losses) < step + 50


def test_the_named_seed_draws_the_batch_again(tmp_path: Path) -> None:
    module = make_module(make_restorer(BreaksAt(2, math.inf)))
    with pytest.raises(BrokenNumbersError) as caught:
        train(module, tmp_path)
    (seed,) = re.findall(r"seed (\d+)", str(caught.value))
    (x_0, _), whole = batches()[1], make_restorer()
    loss = MSE()(whole, x_0, Generator().manual_seed(int(seed)))
    assert torch.equal(loss, MSE()(whole, x_0, module._generator("train", 0, 1, 0)))


def test_broken_numbers_are_never_saved(tmp_path: Path) -> None:
    """A checkpoint within an epoch falls between two looks at the losses."""
    for module in (make_module(make_restorer(BreaksAt(2, math.nan))), make_module()):
        guard = Guard(tmp_path, DATA)
        trainer = fit(module, callbacks=[], max_epochs=1)
        if module.restorer.network.__class__ is BreaksAt:
            expected = "the loss is nan at step 2 "
        else:
            next(module.restorer.network.parameters()).data[0] = math.inf
            expected = "the weights 0.weight are not finite after step 5 "
        with pytest.raises(BrokenNumbersError, match=expected):
            guard.on_save_checkpoint(trainer, module, {})


@pytest.mark.parametrize("objective", [MSE(), L1()], ids=["mse", "l1"])
def test_the_trivial_loss_is_that_of_the_mean_answer(objective: MSE | L1) -> None:
    restorer = make_restorer()
    x_0 = torch.rand(64, *SHAPE, generator=Generator().manual_seed(0))
    found = trivial_loss(objective, restorer, x_0, Generator().manual_seed(1))
    away = x_0 - x_0.mean(0)
    expected = away.square().mean() if isinstance(objective, MSE) else away.abs().mean()
    assert found == pytest.approx(expected.item(), rel=1e-5)


def test_a_model_that_learns_nothing_is_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stuck = make_module(make_restorer(BreaksAt(10**9, 0.0)), lambda p: torch.optim.SGD(p, lr=0.0))
    with caplog.at_level(logging.WARNING, logger="thaw"):
        train(stuck, tmp_path, epochs=5)
    (warning,) = [r.getMessage() for r in caplog.records if r.name.startswith("thaw")]
    assert "after 3 epochs the loss" in warning
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="thaw"):
        train(make_module(optimizer=lambda p: torch.optim.Adam(p, lr=3e-2)), tmp_path, epochs=8)
    assert not [r for r in caplog.records if r.name.startswith("thaw")]


class Suite:
    """Finds as many classes as it is told to."""

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def to(self, device: torch.device) -> None: ...

    def reset(self) -> None: ...

    def update(self, images: Tensor) -> None: ...

    def compute(self) -> dict[str, float]:
        return {"num_classes": self.num_classes}


@pytest.mark.parametrize(("num_classes", "num_warnings"), [(1, 1), (2, 0)])
def test_a_collapsed_generator_is_warned_of(
    num_classes: int, num_warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    suite: Any = Suite(num_classes)
    scores = Scores(suite, Cold(), 4, every_n_epochs=1, batch_size=4, seed=0)
    with caplog.at_level(logging.WARNING, logger="thaw"):
        scores.score(make_module())
    found = [r for r in caplog.records if "all generated images are of one class" in r.getMessage()]
    assert len(found) == num_warnings
