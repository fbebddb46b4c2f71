"""FID against the number of network evaluations, for each sampler on one trained Gaussian model.

``python benchmarks/quality_against_cost.py RUN OUT [num_samples] [sampler ...]`` evaluates what is
missing in OUT, a file a sampler, and rewrites the table and the figure of all that is there. All
start from the same x_T. A run of several hours can be stopped and taken up again, and two
processes with different samplers share the work.
"""

import json
import sys
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from matplotlib.figure import Figure

from thaw import storage
from thaw.commands import config
from thaw.commands.app import CONF
from thaw.reporting.style import line_styles, log_scale, own_style, save_figure
from thaw.training.loading import load_run
from thaw.training.scoring_generated import score_experiment

EVALUATIONS = (5, 10, 20, 50, 100, 1000)
SAMPLERS = {
    "ancestral": "sampler=ancestral",
    "ancestral_large": "sampler=ancestral sampler.variance=large",
    "ddim": "sampler=ddim",
    "dpmsolver": "sampler=dpmsolver",
    "heun": "sampler=heun",
    "heun_leading_grid": "sampler=heun sampler/grid=leading",
}
BATCH_SIZE = 125


def main(run: str, out: str, num_samples: str = "250", *names: str) -> None:
    """Evaluate, then write ``quality_against_cost.md`` and ``.png`` into OUT."""
    folder = Path(out)
    for evaluations in EVALUATIONS:
        for name in names or SAMPLERS:
            done = read(folder, name)
            if str(evaluations) not in done:
                done[str(evaluations)] = score(Path(run), name, evaluations, int(num_samples))
                text = json.dumps(done, indent=1) + "\n"
                storage.write_atomically(folder / f"{name}.json", text)
                print(name, evaluations, done[str(evaluations)], flush=True)
    results = {name: cells for name in SAMPLERS if (cells := read(folder, name))}
    storage.write_atomically(folder / "quality_against_cost.md", table(results))
    save_figure(figure(results), folder / "quality_against_cost.png")


def read(folder: Path, name: str) -> dict[str, Any]:
    """What is there of a sampler: scores by the number of evaluations."""
    path = folder / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


def score(run: Path, name: str, evaluations: int, num_samples: int) -> dict[str, Any]:
    """FID and IS with at most ``evaluations`` of the network an image."""
    # Heun's method asks twice a step, but for the last.
    num_steps = (evaluations + 1) // 2 if name.startswith("heun") else evaluations
    overrides = [*SAMPLERS[name].split(), f"sampler.num_steps={num_steps}"]
    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        sampler = compose("evaluate", overrides).sampler
    loaded = load_run(run, sampler=sampler)
    experiment = loaded.experiment
    suite = experiment.suite
    assert suite is not None
    if suite.reference is None:
        experiment.data.setup()
        suite.fit_reference(experiment.data.train_images, experiment.data.test_images)
    scores = score_experiment(experiment, num_samples, BATCH_SIZE, seed=0)
    kept = ("fid", "fid_floor", "is_mean", "is_std", "num_classes", "n", "encoder", "sampler")
    exact = experiment.sampler.num_evaluations(experiment.restorer.degradation)
    return {key: scores[key] for key in kept} | {"evaluations": exact}


def table(results: dict[str, dict[str, Any]]) -> str:
    """Markdown, a row a sampler and a column a number of evaluations."""
    lines = [
        "| sampler | " + " | ".join(map(str, EVALUATIONS)) + " |",
        "| --- |" + " ---: |" * len(EVALUATIONS),
    ]
    for name, cells in results.items():
        values = [f"{cells[str(n)]['fid']:.1f}" if str(n) in cells else "" for n in EVALUATIONS]
        lines.append(f"| {name.replace('_', ' ')} | " + " | ".join(values) + " |")
    return "\n".join(lines) + "\n"


@own_style()
def figure(results: dict[str, dict[str, Any]]) -> Figure:
    """A line a sampler, both axes logarithmic, and the floor that real images reach."""
    drawn = Figure(figsize=(6.4, 4.0), layout="compressed")
    axes = drawn.subplots()
    floor, seen = 0.0, []
    for (name, cells), style in zip(results.items(), line_styles(len(results)), strict=True):
        points = sorted((cell["evaluations"], cell["fid"]) for cell in cells.values())
        floor = max(cell["fid_floor"] for cell in cells.values())
        seen += [fid for _, fid in points]
        label = name.replace("_", " ")
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=label, **style)
    axes.axhline(floor, color="grey", linestyle=":", label="real images")
    axes.set_xscale("log")
    axes.set_xticks(EVALUATIONS, map(str, EVALUATIONS))
    axes.minorticks_off()
    log_scale(axes, [floor, *seen])
    axes.set_xlabel("network evaluations an image")
    axes.set_ylabel("FID")
    axes.legend(frameon=False, fontsize=8)
    return drawn


if __name__ == "__main__":
    main(*sys.argv[1:])
