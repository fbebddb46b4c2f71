"""How long a command takes before it works: help, configuration, first step, a run's first images.

Each is a process of its own; they take turns with one that only imports torch and one that imports
Lightning too, and medians are compared with those. ``python benchmarks/startup.py [repetitions]``
"""

import statistics
import sys
import tempfile
from pathlib import Path

from measure import Cost, cost

HELP_LIMIT_S, CONFIGURATION_LIMIT, SAMPLE_LIMIT, FIRST_STEP_LIMIT_S = 1.0, 0.35, 3.0, 15.0
TORCH = "import torch"
IMPORTS = "import torch, pytorch_lightning"
# One epoch of four batches.
TRAINED = [
    "experiment=quickstart",
    "trainer.max_epochs=1",
    "+trainer.limit_train_batches=4",
    "+trainer.limit_val_batches=1",
    "metrics.num_samples=0",
    "metrics.final_num_samples=0",
    "metrics.num_restored=8",
    "metrics.num_restored_each_epoch=0",
    "hydra.run.dir=trained",
]
LEAVE = "+callbacks.leave._target_=leave_after_a_step.LeaveAfterAStep"
OF_A_RUN = ["run=trained", "num_samples=4", "out=sampled"]
COMMANDS = {
    TORCH: ["", "-c", TORCH],
    IMPORTS: ["", "-c", IMPORTS],
    "train.py --help": ["train.py", "--help"],
    "report.py --help": ["report.py", "--help"],
    "train.py --cfg job": ["train.py", "--cfg", "job"],
    "sample.py, a grid of 4": ["sample.py", *OF_A_RUN, "animation=null"],
    "sample.py task=restore, 4 images": ["sample.py", *OF_A_RUN, "task=restore"],
    "report.py of one run": ["report.py", "run=trained", "out=report"],
    "first step of the quickstart": ["train.py", "experiment=quickstart", LEAVE],
}


def main(repetitions: int) -> None:
    """Print the median of each, and its ratio to the imports alone."""
    costs: dict[str, list[Cost]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        cost("train.py", *TRAINED, folder=Path(folder))
        for _ in range(repetitions):
            for name, arguments in COMMANDS.items():
                costs[name].append(cost(*arguments, folder=Path(folder)))
    seconds = {name: statistics.median(each.seconds for each in costs[name]) for name in costs}
    print(f"{'':34s} seconds   of a CPU   of import torch   of Lightning's imports")
    for name, spent in costs.items():
        cpu = statistics.median(each.cpu_seconds for each in spent)
        ratios = f"{seconds[name] / seconds[TORCH]:17.2f} {seconds[name] / seconds[IMPORTS]:24.2f}"
        print(f"{name:34s} {seconds[name]:7.2f} {cpu:10.2f} {ratios}")
    print(
        f"limits: help {HELP_LIMIT_S:g} s; the configuration {CONFIGURATION_LIMIT} of Lightning's",
        end=" ",
    )
    print(f"imports; sample.py {SAMPLE_LIMIT:g} times import torch;", end=" ")
    print(f"the first step {FIRST_STEP_LIMIT_S:g} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 5)
