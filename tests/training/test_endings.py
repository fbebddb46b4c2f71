"""Training that ends, however it ends: what its last epoch has, and signals from then on."""

import csv
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping
from training_helpers import fit, make_module

from thaw import stopping
from thaw.reporting.finished import read_run
from thaw.training import event_files
from thaw.training.callbacks.checkpoints import Checkpoints, StepsAreOver, StopAfterStep
from thaw.training.callbacks.ending import AfterEpochs, AfterLast, early_end
from thaw.training.callbacks.losses import LossLog
from thaw.training.callbacks.pruning import Pruning
from thaw.training.callbacks.run_files import RunFiles
from thaw.training.module import DiffusionModule

# Five batches an epoch.
BATCHES = 5


class Works(AfterEpochs):
    """After every tenth epoch, and after the last; says after which."""

    def __init__(self) -> None:
        self.epochs: list[int] = []

    def is_due(self, epoch: int, is_last: bool) -> bool:
        return epoch % 10 == 0 or is_last

    def work(self, trainer: pl.Trainer, module: DiffusionModule) -> None:
        self.epochs.append(trainer.current_epoch + 1)


class StopsAt(pl.Callback):
    """Asks for the end after a batch, counted from 1 over all epochs."""

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        if trainer.fit_loop.total_batch_idx + 1 >= self.batch:
            trainer.should_stop = True


def impatient(monitor: str, after_epoch: bool) -> EarlyStopping:
    """Nothing improves by so much: the second epoch is the last."""
    return EarlyStopping(monitor, min_delta=1e9, patience=1, check_on_train_epoch_end=after_epoch)


class Searches:
    """Asks for the end after an epoch, counted from 1; it keeps what it is told."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.told: list[int] = []

    def tell(self, epoch: int, score: float) -> None:
        assert 0 < score < 10
        self.told.append(epoch)

    def is_to_end(self) -> bool:
        return self.told[-1] >= self.last


ENDS: dict[str, tuple[dict[str, Any], list[pl.Callback], int, str | None]] = {
    "all epochs": ({"max_epochs": 3}, [], 3, None),
    "steps, at an epoch's end": (
        {"max_epochs": 3, "max_steps": 10}, [], 2,
        "trainer.max_steps=10 after epoch 2 of 3, step 10",
    ),
    "steps, inside an epoch": (
        {"max_epochs": 3, "max_steps": 7}, [], 2, "trainer.max_steps=7 in epoch 2 of 3, step 7",
    ),
    "steps, inside the last epoch": (
        {"max_epochs": 2, "max_steps": 7}, [], 2, "trainer.max_steps=7 in epoch 2 of 2, step 7",
    ),
    "steps alone": ({"max_epochs": -1, "max_steps": 7}, [], 2,
                    "trainer.max_steps=7 in epoch 2, step 7"),
    "time": ({"max_epochs": 3, "max_time": {"microseconds": 1}, "min_epochs": 2}, [], 2,
             "trainer.max_time={'microseconds': 1} after epoch 2 of 3, step 10"),
    "a callback, inside an epoch": ({"max_epochs": 3}, [StopsAt(7)], 2,
                                    "a callback in epoch 2 of 3, step 7"),
    # Until then the callback's wish is not heard.
    "a callback, with a least number of epochs": (
        {"max_epochs": 4, "min_epochs": 3}, [StopsAt(1)], 3,
        "a callback after epoch 3 of 4, step 15",
    ),
    "early stopping after the epoch": (
        {"max_epochs": 4}, [impatient("train/loss", True)], 2,
        "EarlyStopping after epoch 2 of 4, step 10",
    ),
    "early stopping after validation": (
        {"max_epochs": 4}, [impatient("val/loss", False)], 2,
        "EarlyStopping after epoch 2 of 4, step 10",
    ),
    "a search": ({"max_epochs": 4}, [Pruning("val/loss", Searches(2))], 2,
                 "pruning (val/loss) after epoch 2 of 4, step 10"),
    "a search, after what is the last epoch anyway": (
        {"max_epochs": 2}, [Pruning("val/loss", Searches(2))], 2, None,
    ),
    "a search, with a least number of epochs": (
        {"max_epochs": 3, "min_epochs": 3}, [Pruning("val/loss", Searches(2))], 3, None,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("settings", "callbacks", "last", "end"), ENDS.values(), ids=ENDS)
def test_the_last_epoch_is_the_one_in_which_training_ends(
    settings: dict[str, Any],
    callbacks: list[pl.Callback],
    last: int,
    end: str | None,
    tmp_path: Path,
) -> None:
    works = Works()
    trainer = fit(
        make_module(),
        callbacks=[LossLog(tmp_path), works, *callbacks, AfterLast()],
        enable_checkpointing=True,
        **settings,
    )
    assert works.epochs == [last]
    assert early_end(trainer, settings) == end


def test_a_search_is_told_of_the_epochs_that_have_a_new_score(tmp_path: Path) -> None:
    judge = Searches(9)
    callbacks = [LossLog(tmp_path), Logs(), Pruning("own", judge)]
    fit(make_module(), callbacks=callbacks, max_epochs=4)
    assert judge.told == [1, 3]


class Logs(pl.Callback):
    """A number of its own after every other epoch: its number."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch % 2 == 0:
            pl_module.log("own", float(trainer.current_epoch + 1))


@pytest.mark.parametrize(
    ("settings", "validated"),
    [
        ({}, [1, 2, 3, 4]),
        ({"max_steps": 3 * BATCHES + 2}, [1, 2, 3]),
        ({"limit_val_batches": 0}, []),
        ({"check_val_every_n_epoch": None, "val_check_interval": 2 * BATCHES}, [2, 4]),
    ],
    ids=["each", "the last is cut", "none", "by batches"],
)
def test_a_row_has_what_was_logged_in_its_epoch_and_nothing_else(
    settings: dict[str, Any], validated: list[int], tmp_path: Path
) -> None:
    callbacks = [LossLog(tmp_path), Logs(), RunFiles(tmp_path, [])]
    settings = {"max_epochs": 4, "callbacks": callbacks} | settings
    fit(make_module(), enable_checkpointing=True, **settings)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows if row.get("val/loss")] == [str(k) for k in validated]
    assert [row["own"] for row in rows] == ["1.0", "", "3.0", ""]
    assert all(row["train/loss"] for row in rows)
    if validated:
        assert list(rows[0])[:4] == ["epoch", "step", "train/loss", "val/loss"]
        found = [row["val/loss"] for row in rows if row["val/loss"]]
        assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("accumulated", "settings", "groups"),
    [
        (1, {}, [[0], [1], [2], [3], [4]]),
        (4, {}, [[0, 1, 2, 3], [4]]),
        # The gradients of the third are lost.
        (2, {"limit_train_batches": 4, "callbacks": [StopsAt(3)]}, [[0, 1]]),
    ],
    ids=["none", "four", "the end between two steps"],
)
def test_losses_of_steps_count_the_steps_of_the_optimiser(
    accumulated: int,
    settings: dict[str, Any],
    groups: list[list[int]],
    tmp_path: Path,
) -> None:
    class Kept(pl.Callback):
        """The loss of each batch, before the log forgets it."""

        def __init__(self) -> None:
            self.losses: list[float] = []
            self.steps: list[int] = []

        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            assert isinstance(pl_module, DiffusionModule)
            self.losses += pl_module.read_losses().tolist()
            self.steps.append(trainer.global_step)

    kept = Kept()
    settings = {"max_epochs": 1 if settings else 2} | settings
    callbacks = [*settings.pop("callbacks", []), kept, LossLog(tmp_path)]
    fit(make_module(), callbacks=callbacks, accumulate_grad_batches=accumulated, **settings)
    per_epoch = len(kept.losses) // len(kept.steps)
    groups = [[start + k for k in group] for start in range(0, len(kept.losses), per_epoch)
              for group in groups]  # fmt: skip
    means = [sum(kept.losses[k] for k in group) / len(group) for group in groups]
    steps, found = read_run(tmp_path).step_losses
    assert steps.tolist() == list(range(1, len(groups) + 1))
    assert found.tolist() == pytest.approx(means)
    assert kept.steps[-1] == len(groups)  # where metrics.csv has the last epoch


@pytest.fixture
def _own_signals() -> Iterator[None]:
    """What a test installs is gone after it."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    stopping.requested()
    stopping.defer(False)
    stopping._installed.clear()
    for number, handler in before.items():
        signal.signal(number, handler)


class SignalAt(pl.Callback):
    """As if a signal arrived, in a hook."""

    def __init__(self, hook: str) -> None:
        setattr(self, hook, lambda *_: stopping.on_signal(signal.SIGTERM, None))


@pytest.mark.parametrize("hook", ["on_train_epoch_end", "on_train_end"])
@pytest.mark.parametrize(
    ("settings", "callbacks"),
    [
        ({"max_steps": 3}, []),
        ({"accumulate_grad_batches": 4, "max_time": {"microseconds": 1}}, []),
        ({"accumulate_grad_batches": 2}, [StopsAt(3)]),
        ({"accumulate_grad_batches": 4, "max_epochs": 1}, []),
    ],
    ids=["steps", "time, accumulating", "a callback, accumulating", "whole epochs"],
)
@pytest.mark.usefixtures("_own_signals")
def test_a_signal_ends_the_run_at_once_where_training_has_ended(
    settings: dict[str, Any], callbacks: list[pl.Callback], hook: str, tmp_path: Path
) -> None:
    stop = StopAfterStep(Checkpoints(tmp_path))
    with pytest.raises(stopping.Stopped):
        fit(
            make_module(),
            callbacks=[StepsAreOver(), *callbacks, SignalAt(hook), stop],
            enable_checkpointing=True,
            **settings,
        )


@pytest.mark.usefixtures("_own_signals")
def test_a_signal_in_the_last_step_of_a_cut_epoch_leaves_the_checkpoint_before(
    tmp_path: Path,
) -> None:
    """From one after it training would not go on: the epoch would never get its end."""
    stop = StopAfterStep(Checkpoints(tmp_path))
    with pytest.raises(stopping.Stopped):
        fit(
            make_module(),
            callbacks=[StepsAreOver(), SignalAt("on_train_batch_end"), stop],
            enable_checkpointing=True,
            max_steps=1,
        )
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.usefixtures("_own_signals")
def test_a_closed_terminal_stops_a_process() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    stopping.listen()
    with pytest.raises(stopping.Stopped) as caught:
        signal.raise_signal(signal.SIGHUP)
    assert caught.value.exit_code == 129
    signal.raise_signal(signal.SIGHUP)  # the shell says it once more


@pytest.mark.usefixtures("_own_signals")
def test_a_process_that_nohup_started_does_not_hear_of_its_terminal() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stopping.listen()
    stopping.listen_again()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) is stopping.on_signal


def test_event_files_are_told_apart_by_what_was_there_before_whatever_the_process(
    tmp_path: Path,
) -> None:
    """In a container each process of a run has the same number, and so have the files' names."""
    first, lost = (tmp_path / f"events.out.tfevents.{k}.host.1.0" for k in (1, 2))
    first.write_bytes(b"of the checkpoint")
    sizes = event_files.sizes(tmp_path)
    first.write_bytes(b"of the checkpoint, and rows after it")
    lost.write_bytes(b"begun after the checkpoint")
    checkpoints = Checkpoints(tmp_path)
    own = tmp_path / "events.out.tfevents.3.host.1.0"
    own.write_bytes(b"of this process")
    checkpoints.load_state_dict({"best": None, "events": sizes})
    assert first.read_bytes() == b"of the checkpoint"
    assert not lost.exists()
    assert own.read_bytes() == b"of this process"
