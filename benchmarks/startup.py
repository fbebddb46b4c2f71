"""How long a command takes before it works: its help, its configuration, its first training step.

Each is a process of its own; they take turns with one that only imports torch and Lightning, and
medians are compared with that. ``python benchmarks/startup.py [repetitions]``
"""

import statistics
import sys
import tempfile
from pathlib import Path

from measure import cost

LIMIT, LIMIT_S, FIRST_STEP_LIMIT_S = 0.35, 1.0, 15.0
IMPORTS = "import torch, pytorch_lightning"
LEAVE = "+callbacks.leave._target_=leave_after_a_step.LeaveAfterAStep"
COMMANDS = {
    IMPORTS: ["", "-c", IMPORTS],
    "train.py --help": ["train.py", "--help"],
    "train.py --cfg job": ["train.py", "--cfg", "job"],
    "report.py --help": ["report.py", "--help"],
    "first step of the quickstart": ["train.py", "experiment=quickstart", LEAVE],
}


def main(repetitions: int) -> None:
    """Print the median of each, and its share of the imports' alone."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repetitions):
            for name, arguments in COMMANDS.items():
                times[name].append(cost(*arguments, folder=Path(folder)).seconds)
    medians = {name: statistics.median(spent) for name, spent in times.items()}
    for name, median in medians.items():
        print(f"{name:32s} {median:6.2f} s   {median / medians[IMPORTS]:5.2f} of the imports")
    print(f"limits: help and configuration {LIMIT_S} s or {LIMIT} of the imports,", end=" ")
    print(f"the first step {FIRST_STEP_LIMIT_S:g} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 5)
