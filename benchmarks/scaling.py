"""Time of an epoch against images, their size and T, and of a sweep against its runs.

A small network. Epochs of train.py take turns, each in a process of its own; a sweep is timed as a
whole command. Beside each row stands the exponent since the row before: the time grows as (what is
varied)^p, and p = 1 is linear. ``python benchmarks/scaling.py``
"""

import math
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path

from measure import cost
from turns import Round, train

ROUNDS, BATCH_SIZE = 7, 50
RUN = [
    *("data=mnist_5k", "model.hidden=[2]", "model.kernel_size=3", "metrics=none"),
    *("trainer.max_epochs=1", "trainer.limit_train_batches=5", "trainer.limit_val_batches=1"),
]


def epochs(images: int = 2000, side: int = 28, timesteps: int = 1000) -> tuple[list[str], int]:
    """The command of a run whose epochs are of that size, and the steps of one."""
    command = train(
        *("data=photographs", "data.source.colour=false", f"data.batch_size={BATCH_SIZE}"),
        *("model.hidden=[4,4]", "model.kernel_size=3", f"schedule.timesteps={timesteps}"),
        *(f"data.source.num_images={images}", f"data.source.image_size={side}"),
    )
    return command, images // BATCH_SIZE


AXES = {
    "an epoch of images": {n: epochs(images=n) for n in (1000, 4000, 16000, 64000)},
    "an epoch of images of pixels": {side**2: epochs(side=side) for side in (16, 32, 64)},
    "an epoch with T =": {t: epochs(timesteps=t) for t in (10, 100, 1000, 10000)},
}


def in_turns(commands: Mapping[int, tuple[list[str], int]]) -> dict[int, float]:
    """The median time of an epoch of each, in seconds."""
    processes = {str(value): command for value, (command, _) in commands.items()}
    with tempfile.TemporaryDirectory() as folder, Round(processes, Path(folder)) as contenders:
        contenders.counts = {str(value): steps for value, (_, steps) in commands.items()}
        contenders.seconds(1)
        found = contenders.seconds(ROUNDS)
    return {
        value: steps * statistics.median(found[str(value)])
        for value, (_, steps) in commands.items()
    }


def sweep(runs: int) -> float:
    """Seconds of a sweep of so many runs, its start included."""
    seeds = ",".join(map(str, range(runs)))
    with tempfile.TemporaryDirectory() as folder:
        return cost("train.py", "-m", *RUN, f"seed={seeds}", folder=Path(folder)).seconds


def show(title: str, seconds: Mapping[int, float]) -> None:
    """A row for each value."""
    before: tuple[int, float] | None = None
    for value, spent in seconds.items():
        row = f"{title} {value:6d}: {spent:7.2f} s"
        if before is not None:
            exponent = math.log(spent / before[1]) / math.log(value / before[0])
            row += f"   {spent / before[1]:5.2f} times, exponent {exponent:5.2f}"
        print(row, flush=True)
        before = value, spent


def main() -> None:
    """Print each axis."""
    for title, commands in AXES.items():
        show(title, in_turns(commands))
    show("a sweep of runs", {runs: sweep(runs) for runs in (1, 2, 4, 8, 16)})


if __name__ == "__main__":
    main()
