"""Contenders take turns, each in a process of its own, so that all of them meet the same machine.

What is timed runs in a process as its users run it, with that process's memory and threads; the
others wait meanwhile. The order changes from round to round.
"""

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pytorch_lightning as pl
import torch
from measure import ROOT, surroundings

GO, DONE = "THAW_BENCHMARK_GO", "THAW_BENCHMARK_DONE"
# A turn is at least so long, or the switch to another process would show.
TURN_S = 0.25


class Contender:
    """A process of ``python script arguments`` that works in turns; a context, ended with it."""

    def __init__(self, script: str, *arguments: str, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        read, self._go = os.pipe()
        done, write = os.pipe()
        self._done = os.fdopen(done)
        with (folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / script), *arguments],
                cwd=folder,
                env=surroundings() | {GO: str(read), DONE: str(write)},
                pass_fds=(read, write),
                stdout=log,
                stderr=log,
            )
        os.close(read)
        os.close(write)

    def turn(self, count: int) -> float:
        """Seconds that it takes to do its work ``count`` times.

        Raises:
            RuntimeError: the process has ended.
        """
        try:
            os.write(self._go, b"%d\n" % count)
            return float(self._done.readline())
        except (BrokenPipeError, ValueError):
            log = (self.folder / "log").read_text()[-3000:]
            raise RuntimeError(f"{self.process.args} ended:\n{log}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._go)
        self._done.close()
        self.process.kill()
        self.process.wait()


def work() -> Iterator[None]:
    """In a contender: yields once for each piece of work; it is done when the next is asked for."""
    with os.fdopen(int(os.environ[GO])) as go, os.fdopen(int(os.environ[DONE]), "w") as done:
        while line := go.readline():
            start = time.perf_counter()
            for _ in range(int(line)):
                yield
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            print(time.perf_counter() - start, file=done, flush=True)


class TakeTurns(pl.Callback):
    """The steps of train.py as pieces of work; what comes between two of them is part of both."""

    def __init__(self) -> None:
        self.work = work()

    def on_train_start(self, *_: Any) -> None:
        next(self.work)

    def on_train_batch_end(self, *_: Any) -> None:
        if next(self.work, self) is self:
            os._exit(0)


class Precision(pl.Callback):
    """Whether a GPU may round the factors of float32 to TF32, in products and in convolutions."""

    def __init__(self, tf32: bool) -> None:
        set_tf32(tf32)


def set_tf32(tf32: bool) -> None:
    """As :class:`Precision`; torch's own default is convolutions alone."""
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32


def train(*overrides: str) -> list[str]:
    """Script and arguments of a train.py that takes turns: training alone, without an end."""
    return [
        *("train.py", "hydra.run.dir=run", "metrics=none", "trainer.limit_val_batches=0"),
        *("trainer.max_epochs=1000000", "callbacks.samples=null", "callbacks.forward_process=null"),
        *("+callbacks.turns._target_=turns.TakeTurns", *overrides),
    ]


class Round:
    """Contenders by name, in processes that end with the context."""

    def __init__(self, commands: Mapping[str, Sequence[str]], folder: Path) -> None:
        self.commands = commands
        self.folder = folder
        self.contenders: dict[str, Contender] = {}
        self.counts: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        for name, command in self.commands.items():
            contender = Contender(*command, folder=self.folder / re.sub(r"\W+", "_", name))
            self.contenders[name] = self._stack.enter_context(contender)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def warm_up(self, times: int = 4) -> None:
        """Let each work a while, and choose how often a turn is to do it."""
        for name, contender in self.contenders.items():
            last = min(contender.turn(1) for _ in range(times))
            self.counts[name] = max(1, round(TURN_S / last))
            contender.turn(self.counts[name])

    def seconds(self, rounds: int, count: int | None = None) -> dict[str, list[float]]:
        """By name, seconds of one piece of work in each round; ``count`` pieces make a turn."""
        found: dict[str, list[float]] = {name: [] for name in self.contenders}
        names = list(self.contenders)
        for number in range(rounds):
            for name in names if number % 2 else reversed(names):
                times = count or self.counts[name]
                found[name].append(self.contenders[name].turn(times) / times)
        return found


def ratio(found: Mapping[str, Sequence[float]], name: str, other: str) -> str:
    """``name`` over ``other``: the median over the rounds and the middle half of them."""
    ratios = [a / b for a, b in zip(found[name], found[other], strict=True)]
    if len(ratios) < 2:
        return f"{ratios[0]:.3f}"
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"
