"""Callbacks, and the rules of the final scores."""

import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor, nn
from training_helpers import RANGE, SHAPE, Network, batches, fit, make_module, make_restorer

from thaw import progress
from thaw.data.module import ImageDataModule
from thaw.diffusion.degradations.animorph import Animorph
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.generation import generate
from thaw.diffusion.objectives import MSE
from thaw.diffusion.predictions import Clean
from thaw.diffusion.priors.normal import Normal
from thaw.diffusion.restoration import Restoration
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Sampler
from thaw.diffusion.samplers.cold import Cold
from thaw.diffusion.samplers.solvers import Heun
from thaw.diffusion.schedules import linear
from thaw.ranks import WHOLE, Portion
from thaw.training.callbacks.forward_process import ForwardProcess
from thaw.training.callbacks.progress import Progress
from thaw.training.callbacks.samples import SampleGrid
from thaw.training.loggers.tensorboard import hyperparameters
from thaw.training.module import DiffusionModule
from thaw.training.scoring_generated import MAX_STEPS_ON_CPU, affordable, sampling
from thaw.training.scoring_restored import restoring, save_stages


class Grey(nn.Module):
    """A network that always answers 0, the middle of the range."""

    def __init__(self) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(()))

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return torch.zeros_like(x_t) + self.anchor


def restorer(num_steps: int) -> Restorer:
    return Restorer(Grey(), LineAverage((1, 14, num_steps), "column", "random"), Clean(), RANGE)


def make_gaussian() -> DiffusionModule:
    """A module whose degradation is noise in ten steps."""
    restorer = Restorer(Network(), Gaussian(linear(10)), Clean(), RANGE)
    return DiffusionModule(restorer, Normal(SHAPE), MSE(), torch.optim.Adam, None, 0, {})


def test_on_a_cpu_only_an_unlimited_sampler_of_many_steps_is_shortened() -> None:
    sampler = Cold()
    assert affordable(sampler, restorer(100)).num_steps == MAX_STEPS_ON_CPU
    assert sampler.num_steps is None
    assert affordable(Cold(), restorer(28)).num_steps == 28
    assert affordable(Cold(num_steps=90), restorer(100)).num_steps == 90


@pytest.mark.parametrize(
    ("at_epochs", "expected"),
    [([1, 3, "last"], [1, 3, 5]), ("every", [1, 2, 3, 4, 5]), ("last", [5]), ([], []), ([2], [2])],
)
def test_grids_are_drawn_after_the_epochs_asked_for(
    at_epochs: Any, expected: list[int], tmp_path: Path
) -> None:
    callback = SampleGrid(tmp_path, Cold(), 0, at_epochs)
    assert [epoch for epoch in range(1, 6) if callback.is_due(epoch, epoch == 5)] == expected


def test_figures_that_fail_do_not_end_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no such font")

    monkeypatch.setattr("thaw.training.callbacks.forward_process.forward_strip", fail)
    monkeypatch.setattr("thaw.reporting.panels.restoration_figure", fail)
    data = Mock(ImageDataModule, train_images=torch.zeros(4, *SHAPE, dtype=torch.uint8))
    forward = ForwardProcess(tmp_path, data)
    assert fit(make_module(), max_epochs=2, callbacks=[forward]).global_step == 10
    save_stages({"original": data.train_images}, tmp_path / "restoration.npz")
    names = ("forward_process", "restoration.png")
    line = "{} could not be drawn, going on without it: no such font"
    said = [message for message in caplog.messages if "drawn" in message]
    assert said == [line.format(name) for name in names]
    assert (tmp_path / "restoration.npz").is_file()


def test_a_schedule_is_kept_of_every_degradation_that_has_one(tmp_path: Path) -> None:
    """Of animorphosis too: the report says where the one that is due is missing."""
    partners: Any = SimpleNamespace(load=tuple)
    animorph = Animorph(SHAPE, RANGE, linear(3), partners, num_partners=3)
    data = Mock(ImageDataModule, train_images=torch.zeros(4, *SHAPE, dtype=torch.uint8))
    for degradation in (animorph, LineAverage(SHAPE, "row", "random")):
        module = make_module(Restorer(Network(), degradation, Clean(), RANGE))
        folder = tmp_path / type(degradation).__name__
        fit(module, max_steps=1, callbacks=[ForwardProcess(folder, data)])
        is_written = (folder / "figures" / "schedule.csv").is_file()
        assert is_written == (degradation.schedule is not None)


def test_hyperparameters_have_the_same_keys_whatever_is_configured_and_never_none() -> None:
    schedule = {"timesteps": 10}
    cold = hyperparameters(
        {"degradation": {"group_size": 4}, "schedule": schedule, "seed": 1},
        {"schedule": "linear"},
        28,
    )
    hot = hyperparameters(
        {"degradation": {"schedule": schedule}, "schedule": schedule}, {"prior": None}, 10
    )
    assert cold.keys() == hot.keys()
    assert None not in [*cold.values(), *hot.values()]
    assert cold["degradation.group_size"] == 4
    assert (hot["T"], cold["T"], cold["schedule"]) == (10, 28, "-")
    assert [type(value) for value in cold.values()] == [type(value) for value in hot.values()]
    assert not any(isinstance(value, float) and math.isnan(value) for value in cold.values())


def test_what_dropout_leaves_out_depends_on_seed_epoch_and_batch_alone() -> None:
    network = Network()
    network.insert(2, nn.Dropout(0.5))
    module = make_module(make_restorer(network))
    batch = batches()[0]
    first = [module.training_step(batch, number).item() for number in (0, 1)]
    torch.rand(7)  # what a resumed run, or a callback, may have drawn
    again = [module.training_step(batch, number).item() for number in (0, 1)]
    assert again == first
    fixed = make_module(make_restorer(network.eval()))
    assert fixed.training_step(batch, 0).item() != first[0]


@pytest.mark.parametrize(
    ("sampler", "portion"), [(Cold(num_steps=3), WHOLE), (Heun(num_steps=4), Portion(1, 2))]
)
def test_progress_reaches_its_end_with_the_work_and_not_before(
    sampler: Sampler, portion: Portion, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[int, int]] = []

    @contextmanager
    def watch(what: str, total: int, count: Callable[[], int]) -> Iterator[None]:
        before = count()
        yield
        found.append((count() - before, total))

    monkeypatch.setattr("thaw.training.scoring_generated.progress", watch)
    monkeypatch.setattr("thaw.training.scoring_restored.progress", watch)
    module = make_gaussian() if isinstance(sampler, Heun) else make_module()
    module.eval()
    size = (7, 2)
    with sampling("", module.restorer, sampler, *size, portion):
        list(generate(module.restorer, sampler, module.prior, *size, 0, portion=portion))
    restoration = Restoration(module.restorer, sampler, refine=True)
    images = torch.zeros(7, *SHAPE, dtype=torch.uint8)
    with restoring(restoration, *size, portion):
        list(restoration.batches(images, 2, 0, portion=portion))
    (drawn, of), (restored, of_restored) = found
    assert (drawn, restored) == (of, of_restored)
    assert min(of, of_restored) > 0


def test_without_a_terminal_a_long_epoch_has_lines_and_no_bar(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("thaw.progress.FIRST_S", 0.02)
    caplog.set_level("INFO", "thaw")
    monkeypatch.setattr(DiffusionModule, "on_train_batch_end", lambda *_: time.sleep(0.02))
    fit(make_module(), max_epochs=2, callbacks=[Progress()], enable_progress_bar=True)
    for epoch in ("1/2", "2/2"):
        lines = [message for message in caplog.messages if f"epoch {epoch}: " in message]
        assert lines
        assert re.fullmatch(rf"epoch {epoch}: [0-9]+ % after 0 s", lines[0])
    assert not progress._running
