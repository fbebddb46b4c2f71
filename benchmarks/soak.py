"""Kills and resumes a small training again and again, and compares it with one left alone.

    python benchmarks/soak.py --kills 50 --out outputs/soak

Two families, hot and cold, each with an average of its weights: an undisturbed run, and one that
is ended at random moments (mostly SIGKILL; SIGTERM and SIGINT now and then) and started again by
the same command until it is through. Then every byte that should be the same is compared. What a
kill falls into is drawn by moments: the start-up, a step, a validation with its scores, the
writing of a checkpoint (seen by its unfinished file). State is kept in ``soak.json`` in the
folder: the same command goes on where it stopped. Everything is drawn from ``--seed``, up to the
clock of the machine.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing import event_accumulator

ROOT = Path(__file__).resolve().parents[1]
FAMILIES = {
    "hot": ["degradation=gaussian"],
    "cold": ["degradation=column_random", "prior.num_images=100"],
}
STEPS, SCORED_EVERY = 12, 2
SETTINGS = [
    "data=mnist_5k",
    "model.hidden=[8,8]",
    "schedule.timesteps=50",
    "ema=standard",
    "checkpoint.every_n_steps=7",
    f"trainer.limit_train_batches={STEPS}",
    "trainer.limit_val_batches=2",
    "trainer.enable_progress_bar=false",
    f"metrics.every_n_epochs={SCORED_EVERY}",
    "metrics.num_samples=50",
    "metrics.sampler.num_steps=5",
    "metrics.final_num_samples=100",
    "metrics.num_restored=50",
    "metrics.num_restored_each_epoch=10",
    "callbacks.samples.num_samples=4",
    "callbacks.samples.at_epochs=[1,last]",
]
# The share of each: most kills fall into training.
MOMENTS = {"startup": 0.1, "training": 0.6, "evaluation": 0.15, "checkpoint": 0.15}
SIGNALS = {signal.SIGKILL: 0.7, signal.SIGTERM: 0.15, signal.SIGINT: 0.15}
TIMEOUT_S = 900
POLL_S = 0.0005


class Soak:
    """One family: its two runs and what has happened to the one that is disturbed."""

    def __init__(
        self, family: str, folder: Path, state: dict[str, Any], epochs: int, num_kills: int
    ) -> None:
        self.family = family
        self.folder = folder
        self.state = state
        self.epochs = epochs
        self.num_kills = num_kills
        self.whole, self.killed = folder / f"{family}_whole", folder / f"{family}_killed"

    def start(self, run_dir: Path) -> subprocess.Popen[bytes]:
        """The one command, in a process of its own; its output goes into a file."""
        command = [sys.executable, str(ROOT / "train.py"), *SETTINGS, *FAMILIES[self.family]]
        command += [f"trainer.max_epochs={self.epochs}", f"hydra.run.dir={run_dir}"]
        with (self.folder / f"{run_dir.name}.txt").open("ab") as output:
            return subprocess.Popen(command, stdout=output, stderr=output, cwd=self.folder)

    def run_whole(self) -> None:
        """The undisturbed run, once."""
        if status(self.whole) != "completed":
            process = self.start(self.whole)
            if process.wait(TIMEOUT_S):
                raise RuntimeError(f"the undisturbed run failed: see {self.whole.name}.txt")

    def kill_once(self, draws: random.Random) -> None:
        """Start the run, and end it at a moment that is drawn, if it gets that far."""
        moment = draws.choices(list(MOMENTS), list(MOMENTS.values()))[0]
        number = draws.choices(list(SIGNALS), list(SIGNALS.values()))[0]
        delay = draws.random()
        process = self.start(self.killed)
        self.state["starts"] += 1
        getattr(self, f"_wait_{moment}")(process, delay)
        process.send_signal(number)
        code = process.wait(TIMEOUT_S)
        if code:  # 0: it had come to its end before
            kill = {"moment": moment, "signal": signal.Signals(number).name, "code": code}
            self.state["kills"].append(kill | {"epoch": last_epoch(self.killed)})
            if code not in (-number, 128 + number):
                self.state["unexpected"].append(kill)
        self._look_at_files()

    def _wait_startup(self, process: subprocess.Popen[bytes], delay: float) -> None:
        """Anywhere between the first import and the first step."""
        deadline = time.monotonic() + delay * self.state["startup_s"]
        while process.poll() is None and time.monotonic() < deadline and not self._begun(process):
            time.sleep(0.01)

    def _wait_training(self, process: subprocess.Popen[bytes], delay: float) -> None:
        """Some epochs on, and within one of them."""
        self._wait_epochs(process, delay)
        time.sleep(delay * self.state["epoch_s"])

    def _wait_evaluation(self, process: subprocess.Popen[bytes], delay: float) -> None:
        """The later part of an epoch that is scored."""
        self._wait_epochs(process, delay)
        while process.poll() is None and (last_epoch(self.killed) + 1) % SCORED_EVERY:
            time.sleep(0.002)
        time.sleep((0.5 + 0.5 * delay) * self.state["epoch_s"])

    def _wait_checkpoint(self, process: subprocess.Popen[bytes], delay: float) -> None:
        """While the file is there that is to become the checkpoint."""
        self._wait_epochs(process, delay)
        folder = self.killed / "checkpoints"
        while process.poll() is None:
            if folder.is_dir() and any(n.startswith(".last.ckpt") for n in os.listdir(folder)):
                break
            time.sleep(POLL_S)

    def _wait_epochs(self, process: subprocess.Popen[bytes], delay: float) -> None:
        """So many epochs on that the kills come to their end before the run does."""
        before, start = last_epoch(self.killed), time.monotonic()
        while process.poll() is None and not self._begun(process):
            time.sleep(0.01)
        self.state["startup_s"] = round(time.monotonic() - start, 2)
        share = (len(self.state["kills"]) + 1) / (self.num_kills + 1)
        on = round(2 * delay * self.epochs / self.num_kills)
        target = min(before + on, int(0.9 * share * self.epochs))
        start = time.monotonic()
        while process.poll() is None and last_epoch(self.killed) < target:
            time.sleep(0.005)
        if target > before + 1:
            passed = (time.monotonic() - start) / (target - before)
            self.state["epoch_s"] = round(passed, 3)

    def _begun(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether this process has come to the training: TensorBoard's file has its number."""
        return any(self.killed.glob(f"events.out.tfevents.*.{process.pid}.*"))

    def _look_at_files(self) -> None:
        """After every kill both checkpoints are whole and no row is there twice."""
        from thaw.training.checkpoint_files import newest_good, read_checkpoint

        for path in (self.killed / "checkpoints").glob("*.ckpt"):
            read_checkpoint(path)
        _, problems = newest_good(self.killed)
        if problems:
            raise RuntimeError("; ".join(problems))
        epochs = [row.split(",")[0] for row in table(self.killed)[1:]]
        if epochs != sorted(set(epochs), key=int):
            raise RuntimeError(f"rows of {self.killed}/metrics.csv: {epochs}")
        self.state["unfinished_files"] = sum(1 for _ in self.killed.rglob(".*.*"))

    def compare(self) -> dict[str, Any]:
        """What differs between the two runs; all of it should be 0."""
        last = Path("checkpoints") / "last.ckpt"
        one, other = (torch.load(d / last, weights_only=True) for d in (self.whole, self.killed))
        kept, lost = table(self.whole), table(self.killed)
        steps, other_steps = (
            (d / "step_losses.f32").read_bytes() for d in (self.whole, self.killed)
        )
        events, again = scalars(self.whole), scalars(self.killed)
        return {
            "tensors": len(one["state_dict"]),
            "bytes_that_differ": sum(
                differing_bytes(one[key], other[key])
                for key in ("state_dict", "optimizer_states", "lr_schedulers", "loops")
            ),
            "metrics_csv_identical": kept == lost,
            "step_losses_identical": steps == other_steps,
            "rows": len(kept) - 1,
            "rows_lost": len(set(kept) - set(lost)),
            "rows_duplicated": len(lost) - len(set(lost)),
            "scalars": sum(map(len, events.values())),
            "scalars_lost": sum(len(set(v) - set(again.get(k, []))) for k, v in events.items()),
            "scalars_duplicated": sum(len(v) - len({s for s, _ in v}) for v in again.values())
            - sum(len(v) - len({s for s, _ in v}) for v in events.values()),
            "scores_identical": all(
                record(self.whole).get(key) == record(self.killed).get(key)
                for key in ("final_scores", "restoration", "last_epoch", "status")
            ),
        }


def record(run_dir: Path) -> dict[str, Any]:
    """run.json, empty where there is none yet."""
    path = run_dir / "run.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def status(run_dir: Path) -> str | None:
    """Of a run, as its run.json says."""
    return record(run_dir).get("status")


def last_epoch(run_dir: Path) -> int:
    """The epochs that metrics.csv has rows of."""
    return max(0, len(table(run_dir)) - 1)


def table(run_dir: Path) -> list[str]:
    """The lines of metrics.csv."""
    path = run_dir / "metrics.csv"
    return path.read_text().splitlines() if path.is_file() else []


def scalars(run_dir: Path) -> dict[str, list[tuple[int, float]]]:
    """TensorBoard's, by tag, every record of them; times of the clock left out."""
    events = event_accumulator.EventAccumulator(
        str(run_dir), size_guidance={"scalars": 0}, purge_orphaned_data=False
    ).Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
        if not tag.startswith("wall_time/")
    }


def differing_bytes(one: Any, other: Any) -> int:
    """Bytes of tensors, and entries of anything else, that are not the same."""
    if isinstance(one, torch.Tensor):
        if one.shape != other.shape or one.dtype != other.dtype:
            return one.numel() * one.element_size()
        pair = [t.contiguous().flatten().view(torch.uint8) for t in (one, other)]
        return int((pair[0] != pair[1]).sum())
    if isinstance(one, dict):
        missing = len(one.keys() ^ other.keys())
        return missing + sum(differing_bytes(one[k], other[k]) for k in one.keys() & other.keys())
    if isinstance(one, list | tuple):
        pairs = zip(one, other, strict=False)
        return abs(len(one) - len(other)) + sum(differing_bytes(*pair) for pair in pairs)
    return int(one != other)


def soak(family: str, folder: Path, state: dict[str, Any], arguments: argparse.Namespace) -> None:
    """Both runs of a family, and the comparison; ``state`` is written after each step."""
    fresh = {"starts": 0, "kills": [], "unexpected": [], "seconds": 0.0}
    entry = state.setdefault(family, fresh | {"startup_s": 10.0, "epoch_s": 0.5})
    share = -(-arguments.kills // len(FAMILIES))
    one = Soak(family, folder, entry, arguments.epochs, share)
    one.run_whole()
    while status(one.killed) != "completed":
        start = time.monotonic()
        if len(entry["kills"]) < share:
            key = f"{arguments.seed} {family} {entry['starts']}"
            one.kill_once(random.Random(hashlib.sha256(key.encode()).digest()))
        elif one.start(one.killed).wait(TIMEOUT_S):
            raise RuntimeError(f"the last start failed: see {one.killed.name}.txt")
        entry["seconds"] = round(entry["seconds"] + time.monotonic() - start, 1)
        print(f"{family}: {len(entry['kills'])} of {share} kills, epoch {last_epoch(one.killed)}")
        save(folder, state)
    entry["compared"] = one.compare()
    save(folder, state)


def save(folder: Path, state: dict[str, Any]) -> None:
    """soak.json, in one step."""
    temporary = folder / ".soak.json"
    temporary.write_text(json.dumps(state, indent=2) + "\n")
    temporary.replace(folder / "soak.json")


def summary(state: dict[str, Any]) -> str:
    """A row a family, in Markdown."""
    families = [name for name in FAMILIES if name in state]
    rows: dict[str, list[Any]] = {"": families}
    kills = {name: state[name]["kills"] for name in families}
    rows["kills survived"] = [len(kills[name]) for name in families]
    for key in ("moment", "signal"):
        for value in sorted({kill[key] for name in families for kill in kills[name]}):
            counts = [sum(kill[key] == value for kill in kills[name]) for name in families]
            rows[f"- {'in' if key == 'moment' else 'by'} {value}"] = counts
    for key in state[families[0]]["compared"]:
        title = key.replace("_", " ")
        rows[title] = [state[name]["compared"][key] for name in families]
    rows["exit codes of another signal"] = [len(state[name]["unexpected"]) for name in families]
    rows["resumes"] = [state[name]["starts"] for name in families]
    rows["minutes"] = [round(state[name]["seconds"] / 60, 1) for name in families]
    lines = [f"| {title} | {' | '.join(map(str, cells))} |" for title, cells in rows.items()]
    return "\n".join([lines[0], "|" + " --- |" * (len(families) + 1), *lines[1:]])


def main() -> None:
    """Soak every family, print the table, and end with 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="in all, at least")
    parser.add_argument("--epochs", type=int, default=60, help="of each run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("outputs/soak"))
    arguments = parser.parse_args()
    folder = arguments.out.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "soak.json"
    state: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    for family in FAMILIES:
        soak(family, folder, state, arguments)
    print(summary(state))
    same = [state[name]["compared"] for name in FAMILIES]
    bad = ("bytes_that_differ", "rows_lost", "rows_duplicated", "scalars_lost",
           "scalars_duplicated")  # fmt: skip
    is_expected = not any(state[name]["unexpected"] for name in FAMILIES)
    is_whole = is_expected and all(
        entry["metrics_csv_identical"]
        and entry["scores_identical"]
        and not any(map(entry.get, bad))
        for entry in same
    )
    sys.exit(0 if is_whole else 1)


if __name__ == "__main__":
    main()
