"""best.ckpt is the checkpoint of the best score, whichever direction that has."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from thaw import runs
from thaw.metrics.table import GENERATED, Score
from thaw.training.callbacks.checkpoints import Checkpoints

HIGHER = Score("x", "X", "", lower_is_better=False)


@pytest.mark.parametrize(("score", "best"), [(GENERATED[0], 1.0), (HIGHER, 4.0)])
def test_the_best_is_kept(
    score: Score, best: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = tmp_path / runs.LAST_CHECKPOINT
    last.parent.mkdir()

    def save(self: Checkpoints, trainer: SimpleNamespace) -> None:
        last.unlink(missing_ok=True)  # as a file that comes into place whole
        last.write_text(str(float(trainer.callback_metrics[f"val/{score.name}"])))

    monkeypatch.setattr(Checkpoints, "save", save)
    checkpoints = Checkpoints(tmp_path, monitor=score)
    for value in (float("nan"), 3.0, 1.0, float("nan"), 4.0, 2.0):
        metrics = {f"val/{score.name}": torch.tensor(value)}
        trainer = SimpleNamespace(callback_metrics=metrics, is_global_zero=True)
        checkpoints.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
    assert checkpoints.best == best
    assert (tmp_path / runs.BEST_CHECKPOINT).read_text() == str(best)
