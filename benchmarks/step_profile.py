"""Where the time of a training step goes that is not the network's: a sample every millisecond.

train.py's own trainer with a network that is next to nothing. The time since the sample before is
that of the first of the owners below that the stack has, from the inside out.
``python benchmarks/step_profile.py [override ...]``
"""

import signal
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from hydra import compose, initialize_config_dir

from thaw.commands import config
from thaw.commands.app import CONF
from thaw.commands.malloc import keep_freed_memory
from thaw.training.training import Training

SETTINGS = [
    *("data=mnist_5k", "data.batch_size=8", "model.hidden=[2]", "model.kernel_size=3"),
    *("metrics=none", "logger=none", "callbacks={}", "trainer.enable_progress_bar=false"),
    *("trainer.limit_val_batches=0", "trainer.max_epochs=12"),
]
PERIOD_S = 0.001
# By what stands in a file's path, or by the name of a function.
OWNERS = {
    "autograd, backwards": ("_engine_run_backward",),
    "the optimiser's update": ("torch/optim/",),
    "the network, forwards": ("thaw/networks/",),
    "thaw: draws, degradation, loss": ("thaw/diffusion/", "thaw/seeding", "training/module.py"),
    "thaw: the batch": ("thaw/data/",),
    "thaw: callbacks": ("thaw/training/callbacks/", "thaw/stopping"),
    "Lightning: calling callbacks and hooks": ("pytorch_lightning/trainer/call.py",),
    "Lightning: its loops": ("pytorch_lightning/", "lightning_"),
}


class Profile(pl.Callback):
    """Samples all epochs but the first."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.steps = self.samples = 0
        self.start = self.last = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.current_epoch == 1:
            self.start = self.last = time.perf_counter()
            signal.signal(signal.SIGALRM, self.sample)
            signal.setitimer(signal.ITIMER_REAL, PERIOD_S, PERIOD_S)

    def on_train_batch_end(self, *_: Any) -> None:
        self.steps += self.start > 0

    def on_train_end(self, *_: Any) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.seconds = time.perf_counter() - self.start

    def sample(self, number: int, frame: FrameType | None) -> None:
        # Not a period: a signal waits for the end of what is not Python.
        before, self.last = self.last, time.perf_counter()
        self.spent[owner(frame)] += self.last - before
        self.samples += 1


def owner(frame: FrameType | None) -> str:
    """Whose code a stack is in."""
    while frame is not None:
        place = f"{frame.f_code.co_filename}:{frame.f_code.co_name}"
        for name, marks in OWNERS.items():
            if any(mark in place for mark in marks):
                return name
        frame = frame.f_back
    return "others"


def main(overrides: list[str]) -> None:
    """Print microseconds a step of each owner."""
    config.register()
    keep_freed_memory()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [*SETTINGS, *overrides])
    with tempfile.TemporaryDirectory() as directory:
        training = Training(cfg, Path(directory))
        training.read_data()
        training.prepare()
        profile = Profile()
        training.trainer.callbacks.append(profile)
        training.fit()
    a_step = 1e6 * profile.seconds / profile.steps
    total = sum(profile.spent.values())
    print(f"a step takes {a_step:.0f} us ({profile.steps} steps, {profile.samples} samples)")
    for name in (*OWNERS, "others"):
        share = profile.spent[name] / total
        print(f"  {name:40s} {share * a_step:7.0f} us {share:6.1%}")


if __name__ == "__main__":
    main(sys.argv[1:])
