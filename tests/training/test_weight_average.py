"""The average of the weights: its closed form, others' implementations, and where it is used."""

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from training_helpers import batches, fit, make_module, make_restorer

from thaw.diffusion.restorer import Restorer
from thaw.training.ema import EMA


def walk(restorer: Restorer, num_steps: int) -> list[list[Tensor]]:
    """Weights after each of ``num_steps`` steps, drawn at random."""
    shapes = [parameter.shape for parameter in restorer.parameters()]
    return [[torch.randn(shape, dtype=torch.float64) for shape in shapes] for _ in range(num_steps)]


def set_weights(restorer: Restorer, weights: list[Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(restorer.parameters(), weights, strict=True):
            parameter.copy_(value)


def averaged(ema: EMA, restorer: Restorer, path: list[list[Tensor]]) -> list[Tensor]:
    for weights in path:
        set_weights(restorer, weights)
        ema.update(restorer)
    return list(ema.average.parameters())


@pytest.mark.parametrize("warmup", [True, False])
def test_it_is_the_weighted_sum_of_all_weights_so_far(warmup: bool) -> None:
    """sum_k (1 - d_k) prod_{j > k} d_j w_k, with d_0 = 0: the shares add up to one."""
    restorer = make_restorer().double()
    ema = EMA(restorer, decay=0.7, warmup=warmup)
    path = walk(restorer, 40)
    decays = [0.0] + [min(0.7, (1 + n) / (10 + n)) if warmup else 0.7 for n in range(1, 40)]
    left = torch.tensor([*decays[1:], 1.0], dtype=torch.float64).flip(0).cumprod(0).flip(0)
    shares = (1 - torch.tensor(decays, dtype=torch.float64)) * left
    assert shares.sum().item() == pytest.approx(1, abs=1e-15)
    for index, average in enumerate(averaged(ema, restorer, path)):
        expected = torch.stack([weights[index] for weights in path])
        expected = torch.tensordot(shares, expected, dims=1)
        torch.testing.assert_close(average, expected, rtol=0, atol=1e-14)


def test_with_warm_up_it_is_that_of_diffusers() -> None:
    restorer = make_restorer().double()
    ema, theirs = EMA(restorer, decay=0.9), EMAModel(restorer.parameters(), decay=0.9)
    assert [ema.decay_at(n) for n in range(200)] == [theirs.get_decay(n + 1) for n in range(200)]
    for weights in walk(restorer, 100):  # (1 + n) / (10 + n) reaches 0.9 at n = 80
        set_weights(restorer, weights)
        ema.update(restorer)
        theirs.step(restorer.parameters())
    for ours, other in zip(ema.average.parameters(), theirs.shadow_params, strict=True):
        torch.testing.assert_close(ours, other, rtol=0, atol=1e-14)


def test_buffers_are_the_latest_and_never_averaged() -> None:
    network = nn.Sequential(nn.BatchNorm2d(1))
    network.register_buffer("table", torch.zeros(3, dtype=torch.int64))
    restorer = make_restorer(network)
    ema = EMA(restorer, warmup=False)
    for step in range(3):
        network(torch.randn(4, 1, 4, 4))
        network.get_buffer("table").fill_(10 * step)
        ema.update(restorer)
    kept = dict(ema.average.network.named_buffers())
    assert kept["table"].tolist() == [20, 20, 20]
    for name, current in network.named_buffers():
        assert torch.equal(kept[name], current)
        assert kept[name] is not current


class Recorder(pl.Callback):
    """Keeps the network after each step of the optimiser, and what validation was given."""

    def __init__(self) -> None:
        self.weights: list[list[Tensor]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        if trainer.global_step > len(self.weights):
            self.weights.append([p.detach().clone() for p in pl_module.restorer.parameters()])


def test_in_training_there_is_one_update_a_step_of_the_optimiser() -> None:
    restorer = make_restorer()
    module = make_module(restorer, ema=EMA(restorer, decay=0.8))
    recorder = Recorder()
    trainer = fit(module, callbacks=[recorder], max_epochs=2, accumulate_grad_batches=2)
    assert module.ema is not None
    # Five batches an epoch, two a step; the last one of an epoch is a step of its own.
    assert trainer.global_step == module.ema.num_updates == len(recorder.weights) == 6
    expected = recorder.weights[0]
    for n, weights in enumerate(recorder.weights[1:], start=1):
        d = min(0.8, (1 + n) / (10 + n))
        expected = [d * old + (1 - d) * new for old, new in zip(expected, weights, strict=True)]
    for average, value in zip(module.evaluated.parameters(), expected, strict=True):
        torch.testing.assert_close(average, value)


def test_the_average_does_not_disturb_training_and_validation_is_of_it() -> None:
    plain, restorer = make_module(), make_restorer()
    trained = fit(plain, max_epochs=2)
    module = make_module(restorer, ema=EMA(restorer))
    trainer = fit(module, max_epochs=2)
    for ours, other in zip(restorer.parameters(), plain.restorer.parameters(), strict=True):
        assert torch.equal(ours, other)
    losses = torch.stack(
        [
            module.objective(module.evaluated, x_0, module._generator("val", number, 0))
            for number, (x_0, _) in enumerate(batches())
        ]
    )
    assert float(trainer.callback_metrics["val/loss"]) == pytest.approx(losses.mean().item())
    assert trainer.callback_metrics["val/loss"] != trained.callback_metrics["val/loss"]
