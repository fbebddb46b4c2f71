"""A report of many runs, and their sweep.csv: time, peak memory and size against their number.

One small run is trained; its directory, copied with another learning rate and seed in each copy,
stands for the others. ``python benchmarks/many_runs.py [number ...]``
"""

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from measure import cost

from thaw.commands.sweeps import write_summary

RUN = [
    *("data=mnist_5k", "model.hidden=[2]", "degradation=column_random", "hydra.run.dir=run"),
    *("trainer.max_epochs=3", "trainer.limit_train_batches=5", "trainer.limit_val_batches=1"),
    *("metrics.num_samples=50", "metrics.final_num_samples=50", "metrics.num_restored=20"),
]
SEEDS = 5


def copies(template: Path, folder: Path, number: int) -> None:
    """Fill ``folder`` with copies: SEEDS seeds of each of number / SEEDS learning rates."""
    for k in range(number):
        run_dir = folder / f"run_{k:04d}"
        shutil.copytree(template, run_dir, ignore=shutil.ignore_patterns("checkpoints"))
        record = json.loads((run_dir / "run.json").read_text())
        rate, seed = 1e-4 * (1 + k // SEEDS), k % SEEDS
        record["name"], record["seed"] = run_dir.name, seed
        record["overrides"] += [f"optimizer.lr={rate:g}", f"seed={seed}"]
        record["config"]["optimizer"]["lr"], record["config"]["seed"] = rate, seed
        record["final_scores"]["final/fid"] += rate * 1000 + seed / 10
        (run_dir / "run.json").write_text(json.dumps(record))


def main(numbers: list[int]) -> None:
    """Print what each number of runs costs."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        cost("train.py", *RUN, folder=folder)
        for number in numbers:
            runs, out = folder / f"runs_{number}", folder / f"report_{number}"
            copies(folder / "run", runs, number)
            write_summary(runs)
            start = time.perf_counter()
            write_summary(runs)
            summary_s = time.perf_counter() - start
            spent = cost("report.py", f"runs={runs}", f"out={out}", folder=folder)
            size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 2**20
            print(
                f"{number:5d} runs {spent.seconds:7.1f} s {spent.peak_mib:7.0f} MiB"
                f"   {size:6.1f} MiB of report, {1000 * spent.seconds / number:6.0f} ms a run;"
                f" sweep.csv in {1000 * summary_s:5.0f} ms"
            )


if __name__ == "__main__":
    main([int(number) for number in sys.argv[1:]] or [5, 50, 500])
