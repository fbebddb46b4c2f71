"""NaN through the real command line: the step, the batch's seed and the last good checkpoint."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from commands_support import TINY, record

Run = Callable[..., Any]
SETTINGS = [
    *TINY,
    "degradation=column_random",
    "metrics=none",
    "logger=none",
    "~callbacks.samples",
    "~callbacks.forward_process",
    "trainer.max_epochs=3",
    "prior.num_images=5",
]
FAULT = ["+callbacks.fault._target_=fault_callbacks.Breaks", "+callbacks.fault.step=6"]


def test_broken_weights_end_the_run_and_no_checkpoint_holds_them(
    tmp_path: Path, fork_command: Run
) -> None:
    """Four steps an epoch: the sixth is the second epoch's second."""
    arguments = [*SETTINGS, *FAULT, "checkpoint.every_n_steps=3", "hydra.run.dir=run"]
    finished = fork_command("train", *arguments, cwd=tmp_path)
    assert finished.returncode == 1, finished.stderr
    (line,) = finished.stderr.splitlines()
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    expected = (
        r"thaw: failed: the weights \S+ are not finite after step 6 \(epoch 2, batch 2, drawn with "
        rf"the seed \d+\); the last good checkpoint is {last}; debug=anomaly shows the operation"
    )
    assert re.match(expected, line), line
    assert record(tmp_path / "run")["status"] == "failed"
    state = torch.load(last, weights_only=True)
    assert state["global_step"] == 4
    for name, tensor in state["state_dict"].items():
        assert not tensor.is_floating_point() or tensor.isfinite().all(), name


def test_anomaly_stops_at_the_operation_and_says_which(tmp_path: Path, fork_command: Run) -> None:
    arguments = [*SETTINGS, "optimizer=sgd", "optimizer.lr=1e6", "debug=anomaly"]
    finished = fork_command("train", *arguments, "hydra.run.dir=run", cwd=tmp_path)
    assert finished.returncode == 1, finished.stderr
    line = finished.stderr.splitlines()[-1]
    assert re.search(r"thaw: failed: Function '\w+Backward0' returned nan values", line)
    assert record(tmp_path / "run")["status"] == "failed"
    # Where in the forward pass that operation was called.
    assert "Traceback of forward call that caused the error" in finished.stderr + finished.stdout
