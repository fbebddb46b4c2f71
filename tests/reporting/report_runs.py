"""The runs of a report for many tests: whole ones, and some broken in every way that occurs."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from page_support import Page
from reporting_support import (
    HOSTILE,
    STAGES,
    event_file,
    final_scores,
    record,
    rows,
    truncate,
    write_metrics,
    write_record,
    write_run,
)


class Report(NamedTuple):
    """A written report: its folder, its page, the runs, and what no report may have made."""

    out: Path
    page: Page
    runs: dict[str, Path]
    marker: Path


class Touch:
    """Leaves a trace where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def whole_runs(folder: Path) -> dict[str, Path]:
    """A Gaussian run with a hostile name, and two seeds of a cold one."""
    hot = record("hot", 0, overrides=["degradation=gaussian", f"model.comment={HOSTILE}"])
    hot["config"]["name"] = f"hot {HOSTILE}"
    hot["config"]["model"] |= {"comment": HOSTILE, "activation": "selu"}
    return {
        "hot": write_run(folder / f"hot {HOSTILE.replace('/', '')}", "hot", **hot | {"seed": 0}),
        "cold 1": write_run(folder / "cold_1", "cold", 1, final_scores=final_scores(21.5)),
        "cold 2": write_run(folder / "cold_2", "cold", 2, final_scores=final_scores(24.0)),
    }


def broken_runs(folder: Path, marker: Path) -> dict[str, Path]:
    """Five runs that each lack something; what two of them would execute makes ``marker``."""
    runs = {
        name: folder / name for name in ("failed", "interrupted", "no_record", "damaged", "cut")
    }
    begun = {"final_scores": None, "restoration": None, "last_epoch": None, "epochs": None}
    failed = record("cold", 0, status="failed", error=f"no luck: {HOSTILE}", **begun)
    del failed["config"], failed["choices"]
    write_record(runs["failed"], failed | {"overrides": ["x=failed"]})

    stopped = record("cold", 0, status="interrupted", overrides=["x=interrupted"], **begun)
    write_record(runs["interrupted"], stopped | {"last_epoch": rows(0)[0], "epochs": 1})
    write_metrics(runs["interrupted"], losses_of(1))

    write_record(runs["no_record"], record("cold", 0))
    truncate(runs["no_record"] / "run.json")

    write_run(runs["damaged"], "hot", overrides=["x=damaged"], final_scores=None)
    for name in ("metrics.csv", "samples/epoch_0002.png", "figures/restoration.npz"):
        truncate(runs["damaged"] / name)
    (runs["damaged"] / "figures" / "schedule.csv").write_text("t,beta_t,alpha_t\n0,0,1\n1,0.")
    event_file(runs["damaged"]).write_bytes(b"no events")

    # What a config names is read and never called.
    cut = record("hot", 0, overrides=["x=cut"], final_scores=None)
    cut["config"]["model"] = {"_target_": "os.system", "command": f"touch '{marker}'"}
    write_run(runs["cut"], "hot", **cut | {"seed": 0})
    write_metrics(runs["cut"], losses_of(3))
    truncate(event_file(runs["cut"]))
    for path in (runs["cut"] / "samples").iterdir():
        path.unlink()
    array = np.empty((), dtype=object)
    array[()] = Touch(marker)
    np.savez(runs["cut"] / "figures" / "restoration.npz", **dict.fromkeys(STAGES, array))
    return runs


def losses_of(num_epochs: int) -> list[dict[str, Any]]:
    """metrics.csv of a run that was not scored."""
    return [
        {key: row[key] for key in ("epoch", "step", "train/loss")} for row in rows(0, num_epochs)
    ]
