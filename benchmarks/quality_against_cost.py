"""FID against the number of network evaluations an image, a line for each model and sampler.

``python benchmarks/quality_against_cost.py OUT NUM_SAMPLES EVALUATIONS 'LABEL|RUN|OVERRIDES' ...``
scores what is missing in OUT, a file a line, and rewrites the table and the figure of all lines
given, such as ``'cold, Algorithm 1|zoo/best_cold|sampler=naive'``, with EVALUATIONS as ``1,2,4,7``.
Lines of one model start from the same x_T. A run of several hours can be stopped and taken up
again, and two processes with different lines share the work.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose, initialize_config_dir
from matplotlib.figure import Figure

from thaw import storage
from thaw.commands import config
from thaw.commands.app import CONF
from thaw.commands.selection import found_in_zoo
from thaw.reporting.style import line_styles, log_scale, own_style, save_figure
from thaw.training.loading import LoadedRun, fit_other_prior, load_run, suite_with_reference
from thaw.training.scoring_generated import score_experiment

BATCH_SIZE = 125


class Line(NamedTuple):
    """A model and a sampler."""

    label: str
    run: str
    overrides: list[str]

    @classmethod
    def of(cls, text: str) -> "Line":
        label, run, overrides = text.split("|")
        return cls(label, run, overrides.split())

    def file(self, folder: Path) -> Path:
        return folder / f"{re.sub(r'[^0-9a-z]+', '_', self.label.lower())}.json"

    def load(self, evaluations: int) -> LoadedRun:
        """The run with its sampler at no more than so many evaluations of the network."""
        # Heun's method asks twice a step, but for the last.
        is_double = "sampler=heun" in self.overrides
        num_steps = (evaluations + 1) // 2 if is_double else evaluations
        config.register()
        with initialize_config_dir(str(CONF), version_base="1.3"):
            node = compose("evaluate", [*self.overrides, f"sampler.num_steps={num_steps}"])
        run = load_run(found_in_zoo(self.run), sampler=node.sampler, prior=node.prior)
        fit_other_prior(run)
        return run


def main(out: str, num_samples: str, evaluations: str, *texts: str) -> None:
    """Evaluate, then write ``quality_against_cost.md`` and ``.png`` into OUT."""
    folder, counts = Path(out), [int(count) for count in evaluations.split(",")]
    lines = [Line.of(text) for text in texts]
    for line in lines:
        done = read(line, folder)
        most = line.load(1).experiment.restorer.degradation.num_steps
        for count in counts:
            if str(count) not in done and count <= most:
                done[str(count)] = score(line, count, int(num_samples))
                text = json.dumps(done, indent=1) + "\n"
                storage.write_atomically(line.file(folder), text)
                print(line.label, count, done[str(count)], flush=True)
    results = {line.label: read(line, folder) for line in lines}
    storage.write_atomically(folder / "quality_against_cost.md", table(results, counts))
    save_figure(figure(results, counts), folder / "quality_against_cost.png")


def read(line: Line, folder: Path) -> dict[str, Any]:
    """What is there of a line: scores by the number of evaluations."""
    path = line.file(folder)
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def score(line: Line, evaluations: int, num_samples: int) -> dict[str, Any]:
    """FID and IS with at most ``evaluations`` of the network an image."""
    run = line.load(evaluations)
    experiment, suite = run.experiment, suite_with_reference(run)
    assert suite is not None
    scores = score_experiment(experiment, num_samples, BATCH_SIZE, seed=0)
    kept = ("fid", "fid_floor", "is_mean", "is_std", "num_classes", "n", "encoder", "sampler")
    exact = experiment.sampler.num_evaluations(experiment.restorer.degradation)
    return {key: scores[key] for key in (*kept, "images")} | {"evaluations": exact}


def table(results: dict[str, dict[str, Any]], counts: list[int]) -> str:
    """Markdown, a row a line and a column a number of evaluations."""
    lines = [
        "| | " + " | ".join(map(str, counts)) + " |",
        "| --- |" + " ---: |" * len(counts),
    ]
    for label, cells in results.items():
        values = [f"{cells[str(n)]['fid']:.1f}" if str(n) in cells else "" for n in counts]
        lines.append(f"| {label} | " + " | ".join(values) + " |")
    return "\n".join(lines) + "\n"


@own_style()
def figure(results: dict[str, dict[str, Any]], counts: list[int]) -> Figure:
    """A line each, both axes logarithmic, and the floor that real images reach."""
    drawn = Figure(figsize=(6.4, 4.0), layout="compressed")
    axes = drawn.subplots()
    floor, seen = 0.0, []
    for (label, cells), style in zip(results.items(), line_styles(len(results)), strict=True):
        points = sorted((cell["evaluations"], cell["fid"]) for cell in cells.values())
        floor = max(cell["fid_floor"] for cell in cells.values())
        seen += [fid for _, fid in points]
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=label, **style)
    axes.axhline(floor, color="grey", linestyle=":", label="real images")
    axes.set_xscale("log")
    axes.set_xticks(counts, map(str, counts))
    axes.minorticks_off()
    log_scale(axes, [floor, *seen])
    axes.set_xlabel("network evaluations an image")
    axes.set_ylabel("FID")
    axes.legend(frameon=False, fontsize=8)
    return drawn


if __name__ == "__main__":
    main(*sys.argv[1:])
