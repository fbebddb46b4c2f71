"""Whole experiments side by side, as far as the time allows; the next call goes on from there.

``python study.py study SECONDS`` trains the study's eight, ``best`` the experiments whose names
begin with best_. Run directories lie in $WORK/runs/PHASE; every minute and at the end they are
packed into $OUT/PHASE.tgz.aa, .ab, ..., the parts of one tar, and summed up in $OUT/results.json.

RUNS_STUDY, RUNS_BEST: other experiments; best_cold_seed_1 is best_cold with seed=1. EPOCHS: of the
study (100), cut to what three epochs of all, measured first, say the time allows, the same for all,
unless EXACT=1. SIDE_BY_SIDE: number of processes, one for each core unless given. SCORE_S,
GRACE_S: seconds kept for the final scores, and for stopping.
"""

import csv
import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from results import OUT, keep

# In the order of worth.
STUDY = ("ddpm_gelu_1000", "ddpm_selu_100", "columns_random", "rows_random", "columns_outside_in",
         "columns_inside_out", "columns_by_4_random", "rows_by_4_random")  # fmt: skip
SCORED_EVERY = 10
OF_STUDY = [f"metrics.every_n_epochs={SCORED_EVERY}",
            "callbacks.samples.at_epochs=[1,20,40,60,100,last]"]  # fmt: skip
NO_FINAL_SCORES = ["metrics.final_num_samples=0", "metrics.num_restored=0"]
# Of the checkpoints a run needs the last to go on; event files are large too.
LEFT_OUT = ("events.out.tfevents.*", "previous.ckpt", "best.ckpt", ".lock", "*.tmp")
PART_BYTES = 15_000_000
PACK_EVERY_S, POLL_S = 60, 0.1
WORK = Path(os.environ["WORK"])
GRACE_S = float(os.environ.get("GRACE_S", 25))
SCORE_S = float(os.environ.get("SCORE_S", 120))


class Phase:
    """The experiments of one phase, their run directories and their clock."""

    def __init__(self, name: str, runs: Sequence[str], seconds: float) -> None:
        self.name, self.runs = name, runs
        self.folder = WORK / "runs" / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.deadline = time.monotonic() + seconds - GRACE_S
        self.packed = time.monotonic()
        self.is_stopping = False
        cores = len(os.sched_getaffinity(0))
        self.at_once = int(os.environ.get("SIDE_BY_SIDE", min(len(runs), cores)))

    @property
    def left(self) -> float:
        """Seconds until all that still runs is stopped."""
        return self.deadline - time.monotonic()

    def stop(self, *_: object) -> None:
        """As at the end of the time; on SIGTERM."""
        self.deadline = min(self.deadline, time.monotonic())

    def start(self, run: str, *overrides: str, folder: Path | None = None) -> subprocess.Popen[Any]:
        """train.py in a run's directory; its output goes beside it."""
        directory = (folder or self.folder) / run
        experiment, _, seed = run.partition("_seed_")
        command = [sys.executable, "train.py", f"experiment={experiment}"]
        command += [f"hydra.run.dir={directory}", *([f"seed={seed}"] if seed else [])]
        command += [f"data={os.environ['DATA']}", "trainer.devices=1"]
        command += [*shlex.split(os.environ.get("OVERRIDES", "")), *overrides]
        with console(directory).open("w") as log:
            return subprocess.Popen(command, stdout=log, stderr=log)

    def train(self, runs: Sequence[str], *overrides: str) -> None:
        """Train runs, so many at once, until all are over or the time is up."""
        waiting, running = list(runs), dict[str, subprocess.Popen[Any]]()
        try:
            while running or (waiting and self.left > 0):
                while waiting and len(running) < self.at_once and self.left > 0:
                    run = waiting.pop(0)
                    running[run] = self.start(run, *overrides)
                if self.left < 0 and not self.is_stopping:
                    say("time is up: the runs save and stop")
                    self.is_stopping = True
                    end(running.values())
                if self.left < -GRACE_S / 2:
                    end(running.values(), signal.SIGKILL)
                for run in [run for run, process in running.items() if process.poll() is not None]:
                    self.tell(run, running.pop(run).returncode)
                if time.monotonic() - self.packed > PACK_EVERY_S:
                    self.pack()
                time.sleep(POLL_S)
        finally:
            end(running.values())

    def probe(self) -> tuple[float, float, float]:
        """Seconds to the first step, of an epoch, and of its scores: the slowest of those at once.

        Three epochs without final scores; only the last of them is scored.
        """
        folder, runs = WORK / "probe", self.runs[: self.at_once]
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        overrides = (*OF_STUDY, *NO_FINAL_SCORES, "trainer.max_epochs=3")
        begin = time.monotonic()
        running = {run: self.start(run, *overrides, folder=folder) for run in runs}
        ends: dict[str, list[float]] = {run: [begin] for run in runs}
        while self.left > 0 and any(each.poll() is None for each in running.values()):
            for run, seen in ends.items():
                seen += [time.monotonic()] * (epochs_of(folder / run) + 1 - len(seen))
            time.sleep(POLL_S)
        end(running.values())
        for process in running.values():
            process.wait()
        spent = [[b - a for a, b in pairwise(seen)] for seen in ends.values() if len(seen) == 4]
        if not spent:
            say("nothing could be measured")
            return 0.0, POLL_S, 0.0
        first, per, scored = (max(column) for column in zip(*spent, strict=True))
        return max(0.0, first - per), max(per, 0.01), max(0.0, scored - per)

    def affordable(self, epochs: int) -> int:
        """The number of epochs, at most that many, that all runs can have in the time left."""
        done = [epochs_of(self.folder / run) for run in self.runs]
        if min(done) >= epochs:
            return epochs
        start, per, scores = self.probe()
        turns = math.ceil(len(self.runs) / self.at_once)
        can = ((self.left - SCORE_S) / turns - start) / (per + scores / SCORED_EVERY)
        say(
            f"{self.at_once} side by side: {start:.1f} s to the first step, {per:.2f} s an epoch, "
            f"{scores:.1f} s its scores; time for {max(0, int(can))} more epochs"
        )
        return max(min(epochs, min(done) + max(1, int(can))), *done)

    def tell(self, run: str, code: int) -> None:
        """One line about a run that has ended, and the end of its output if it failed."""
        record = record_of(self.folder / run)
        final = record.get("final_scores") or {}
        status = record.get("status", "not begun")
        say(f"{run}: {status}, epoch {epochs_of(self.folder / run)} {shown(final)}")
        if code and status != "interrupted":
            print(
                "".join(console(self.folder / run).read_text().splitlines(True)[-20:]), flush=True
            )

    def pack(self) -> None:
        """All run directories as the parts of one tar; the parts replace those of before."""
        temporary = WORK / "packing"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        names = sorted(path.name for path in self.folder.iterdir() if path.is_dir())
        if not names:
            return
        tar = [
            "tar",
            "cz",
            *(f"--exclude={each}" for each in LEFT_OUT),
            "-C",
            str(self.folder),
            *names,
        ]
        part = ["split", "-b", str(PART_BYTES), "-", str(temporary / f"{self.name}.tgz.")]
        # What is written meanwhile makes tar complain; the checkpoints are replaced as wholes.
        with subprocess.Popen(tar, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as packing:
            subprocess.run(part, stdin=packing.stdout, check=True)
        parts = sorted(temporary.iterdir())
        for path in parts:
            shutil.move(path, OUT / path.name)
        for path in set(OUT.glob(f"{self.name}.tgz.*")) - {OUT / path.name for path in parts}:
            path.unlink()
        found = {name: record_of(self.folder / name) for name in names}
        for name, record in found.items():
            found[name] = {"epochs": epochs_of(self.folder / name)} | {
                key: record.get(key)
                for key in ("status", "training_s", "error", "device", "final_scores")
            }
        keep(self.name, found)
        self.packed = time.monotonic()


def say(line: str) -> None:
    print(f"  {line}", flush=True)


def end(processes: Iterable[subprocess.Popen[Any]], how: int = signal.SIGTERM) -> None:
    for process in processes:
        process.send_signal(how)


def console(directory: Path) -> Path:
    """What a run prints, kept beside its directory."""
    return directory.with_name(f"{directory.name}.log")


def record_of(directory: Path) -> dict[str, Any]:
    """run.json; empty where there is none."""
    path = directory / "run.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return found


def epochs_of(directory: Path) -> int:
    """Epochs that a run has finished."""
    path = directory / "metrics.csv"
    if not path.is_file():
        return 0
    with path.open() as lines:
        return max((int(row["epoch"]) for row in csv.DictReader(lines) if row["epoch"]), default=0)


def shown(final: dict[str, Any]) -> str:
    """Scores, in words."""
    names = ("final/fid", "final/is_mean")
    return ", ".join(f"{name} {final[name]:.4g}" for name in names if name in final)


def main(name: str, seconds: float) -> None:
    """One phase."""
    found = sorted(path.stem for path in Path("conf/experiment").glob("best_*.yaml"))
    runs = os.environ.get(f"RUNS_{name.upper()}", "").split() or (
        STUDY if name == "study" else found
    )
    if not runs:
        say("conf/experiment has no best_*.yaml: nothing to do")
        return
    phase = Phase(name, runs, seconds)
    signal.signal(signal.SIGTERM, phase.stop)
    overrides: list[str] = []
    if name == "study":
        epochs = int(os.environ.get("EPOCHS", 100))
        if os.environ.get("EXACT") != "1":
            epochs = phase.affordable(epochs)
        overrides = [*OF_STUDY, f"trainer.max_epochs={epochs}"]
        say(f"{epochs} epochs each")
    todo = [run for run in runs if not is_over(phase.folder / run, overrides)]
    say(f"{len(runs) - len(todo)} of {len(runs)} were over before")
    for run in list(todo):
        asked = os.environ["DATA"]
        data = record_of(phase.folder / run).get("dataset", {}).get("name", asked)
        if data != asked:
            say(f"{run} is left out: it was begun with data={data}, and this is {asked}")
            todo.remove(run)
    phase.train(todo, *overrides)
    phase.pack()


def is_over(directory: Path, overrides: Sequence[str]) -> bool:
    """Whether a run is completed, with as many epochs as are now asked for."""
    asked = [int(each.split("=")[1]) for each in overrides if each.startswith("trainer.max_epochs")]
    is_completed = record_of(directory).get("status") == "completed"
    return is_completed and epochs_of(directory) >= max(asked, default=0)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
