"""What the tests of the commands share."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# A network, an epoch and scores small enough for a test, on the digits that come with thaw.
TINY = [
    "data=mnist_5k",
    "model.hidden=[4,4]",
    "model.kernel_size=3",
    "trainer.limit_train_batches=4",
    "trainer.limit_val_batches=1",
    "metrics.num_samples=20",
    "metrics.final_num_samples=30",
    "metrics.num_restored=20",
    "metrics.num_restored_each_epoch=5",
    "schedule.timesteps=20",
    "metrics.sampler.num_steps=5",
    "callbacks.samples.num_samples=4",
]

# The least that can be trained: two steps an epoch, no scores, no images.
LEAST = [
    "data=mnist_5k",
    "metrics=none",
    "model.hidden=[2]",
    "model.kernel_size=3",
    "schedule.timesteps=10",
    "trainer.limit_train_batches=2",
    "trainer.limit_val_batches=1",
    "trainer.max_epochs=1",
    "callbacks.samples.at_epochs=[]",
]


def by_seed(overrides: Iterable[str], seed: int) -> str:
    """The directory of a named sweep's job, where the seed alone varies in the sweep."""
    text = "__".join(sorted([*overrides, f"seed={seed}"]))
    return f"seed={seed}~{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}"


def record(run_dir: Path) -> dict[str, Any]:
    """The contents of run.json."""
    contents: dict[str, Any] = json.loads((run_dir / "run.json").read_text())
    return contents


def assert_refused(finished: subprocess.CompletedProcess[str], *expected: str) -> None:
    """Exit code 2 and one line on stderr, with each of the expected words in it."""
    assert finished.returncode == 2, finished.stderr
    assert finished.stderr.count("\n") == 1, finished.stderr
    assert "Traceback" not in finished.stderr + finished.stdout
    for words in expected:
        assert words in finished.stderr


def run_forked(
    command: str,
    arguments: tuple[str, ...],
    cwd: str,
    variables: Mapping[str, str],
    out: Path,
    err: Path,
) -> None:
    """What a forked process does: run the command, its output into files.

    Not in a conftest, of which there are several by that name: it has to be pickled.
    """
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup may have started the tests
    os.environ.update(variables)
    if "OMP_NUM_THREADS" in variables:  # torch has read it at its import
        import torch

        torch.set_num_threads(int(variables["OMP_NUM_THREADS"]))
    sys.path[:0] = variables.get("PYTHONPATH", "").split()  # Python reads it at its start
    os.chdir(cwd)
    sys.argv = [str(ROOT / f"{command}.py"), *arguments]
    from thaw.commands.start import run

    run(command)
