"""The images in a real Lightning trainer: epochs, validation, and resuming in mid-epoch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data_support import CountedSource, Recorder
from pytorch_lightning.callbacks import ModelCheckpoint

from thaw.data.module import ImageDataModule
from thaw.training.loaders import Loaders

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

NUM_BATCHES = 5
NUM_EPOCHS = 3


@pytest.fixture
def fit(fit: Callable[..., None]) -> Callable[..., Recorder]:
    def run(seed: int = 3, **options: Any) -> Recorder:
        recorder = Recorder()
        data = ImageDataModule(CountedSource(45, 11), batch_size=8, seed=seed)
        fit(recorder, Loaders(data), **options)
        return recorder

    return run


def test_epochs_differ_and_repeat_by_seed(fit) -> None:
    recorder = fit(num_sanity_val_steps=2)
    steps = [(epoch, step) for epoch, step, _ in recorder.seen]
    assert steps == [(e, s) for e in range(NUM_EPOCHS) for s in range(NUM_BATCHES)]
    epochs = [
        [number for epoch, _, labels in recorder.seen if epoch == wanted for number in labels]
        for wanted in range(NUM_EPOCHS)
    ]
    assert all(len(set(epoch)) == NUM_BATCHES * 8 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == NUM_EPOCHS
    assert fit().seen == recorder.seen
    assert fit(seed=4).seen != recorder.seen


def test_validation_shows_every_image_in_order_each_epoch(fit) -> None:
    expected = [
        (epoch, step, list(numbers))
        for epoch in range(NUM_EPOCHS)
        for step, numbers in enumerate((range(8), range(8, 11)))
    ]
    assert fit().validated == expected


@pytest.mark.parametrize("num_steps", [5, 7])
def test_resuming_after_any_step_sees_exactly_the_other_batches(
    fit, tmp_path: Path, num_steps: int
) -> None:
    whole = fit().seen
    saving = ModelCheckpoint(tmp_path, "stopped", every_n_train_steps=num_steps)
    stopped = fit(max_steps=num_steps, callbacks=[saving])
    assert len(stopped.seen) == num_steps
    resumed = fit(ckpt_path=tmp_path / "stopped.ckpt")
    assert stopped.seen + resumed.seen == whole
    # Every epoch that the resumed run finishes is validated in full, from its first image.
    finished = range(num_steps // NUM_BATCHES, NUM_EPOCHS)
    assert [len(labels) for epoch, _, labels in resumed.validated if epoch in finished] == (
        [8, 3] * len(finished)
    )


def test_overfitting_sees_the_same_batches_every_epoch(fit) -> None:
    seen = fit(overfit_batches=2).seen
    assert [labels for _, _, labels in seen] == NUM_EPOCHS * [list(range(8)), list(range(8, 16))]


def test_limited_epochs_still_differ(fit) -> None:
    seen = fit(limit_train_batches=2).seen
    assert [(epoch, step) for epoch, step, _ in seen] == [(e, s) for e in range(3) for s in (0, 1)]
    whole = {(epoch, step): labels for epoch, step, labels in fit().seen}
    assert all(whole[epoch, step] == labels for epoch, step, labels in seen)
