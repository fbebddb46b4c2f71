"""Scores against the share of the correction in Cold Diffusion's sampler.

``python benchmarks/correction.py OUT EPOCHS SEEDS [degradation ...]`` trains a model of each
degradation (:data:`DEGRADATIONS` if none is named) for each seed, then generates and restores by
x_s = D(x_0_hat, s) + lambda (x_t - D(x_0_hat, t)) with each lambda and number of steps.
SIDE_BY_SIDE is the number of processes. OUT has the run directories, and a file of scores for each,
which is not made again; its table, CSV file and figure are of all that is there.
"""

import csv
import json
import os
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from plain_loop import mean_and_spread, side_by_side
from torch import Tensor

import thaw
from thaw import storage
from thaw.api.run import Run
from thaw.diffusion.inference import evaluating
from thaw.diffusion.restoration import degraded
from thaw.diffusion.samplers.cold import Cold, Dissipation
from thaw.metrics.restored import RestorationScores
from thaw.ranks import WHOLE
from thaw.reporting.style import line_styles, log_scale, own_style, save_figure

DEGRADATIONS = (
    *("row_last_to_first", "column_random", "row_random", "column_noise", "gaussian", "blur"),
    *("pixelate", "inpaint", "inpaint_random", "snow", "zoom", "fade", "animorph"),
    *("column_outside_in", "column_inside_out", "column_last_to_first", "column_shuffled"),
    *("row_outside_in", "row_inside_out", "row_shuffled", "row_noise"),
    *("blur_linear", "blur_exponential", "heat", "blur_noise", "bridge"),
)
# lambda in the step that leaves T, and at t = 0.
CORRECTIONS = (
    (0.0, 0.0),
    (0.25, 0.25),
    (0.5, 0.5),
    (0.75, 0.75),
    (1.0, 1.0),
    (1.0, 0.0),
    (0.0, 1.0),
)
CONSTANT = tuple(pair for pair in CORRECTIONS if pair[0] == pair[1])
STEPS = (2, 4, 7, 14, 28)
DRAWN = ("column_random", "inpaint", "snow", "gaussian", "column_noise", "heat", "bridge")
SCORES = {
    "fid": "FID, generated",
    "recall": "recall, generated",
    "psnr": "PSNR in dB, restored",
}
NUM_GENERATED, NUM_RESTORED, BATCH_SIZE = 1000, 500, 500
RECIPE = {
    "model": "patch_unet",
    "prediction": "clean",
    "objective": "mse",
    "lr_scheduler": "one_cycle",
    "optimizer.lr": 3e-3,
    "ema": "standard",
    "prior": "gmm",
    "prior.components": 100,
    "data.batch_size": 64,
    "trainer.gradient_clip_val": 1.0,
    "trainer.devices": 1,
    "logger": "none",
    "metrics.num_samples": 0,
    "metrics.num_restored_each_epoch": 0,
    "metrics.final_num_samples": 0,
    "metrics.num_restored": 0,
}
OWN_PRIOR = {key: value for key, value in RECIPE.items() if not key.startswith("prior")}
# Where no density describes x_T, and of those that `make paths` trains, it is that of real images.
RECIPES = {
    "gaussian": OWN_PRIOR | {"schedule": "cosine"},
    "blur_noise": OWN_PRIOR,
    **dict.fromkeys(
        ("inpaint_random", "snow", "animorph", "heat", "bridge"), OWN_PRIOR | {"prior": "empirical"}
    ),
}
SAMPLERS = {"heat": Dissipation}
# Nobody knows the noise of their x_T.
NOISE_ALONE = ("gaussian", "blur_noise")


# The rows of a model and a number of steps, by lambda.
Scored = dict[tuple[float, float], dict[str, Any]]


class Job(NamedTuple):
    """A model to train and score in a folder."""

    out: str
    degradation: str
    seed: int
    epochs: int
    data: str

    @property
    def name(self) -> str:
        return f"{self.degradation}_seed_{self.seed}"


def main(out: str, epochs: str, seeds: str, *degradations: str) -> None:
    """Make what is missing in OUT."""
    data = "mnist" if "THAW_DATA" in os.environ else "mnist_5k"
    jobs = [
        Job(out, degradation, seed, int(epochs), data)
        for seed in range(int(seeds))
        for degradation in degradations or DEGRADATIONS
    ]
    missing = [job for job in jobs if not (Path(out) / f"{job.name}.json").exists()]
    for job, rows in side_by_side(tried, missing):
        storage.write_atomically(Path(out) / f"{job.name}.json", json.dumps(rows) + "\n")
        print(job.name, len(rows), flush=True)
    write(Path(out))


def tried(job: Job) -> list[dict[str, Any]]:
    """Scores with each lambda and number of steps."""
    run = trained(job)
    images = run.data.test_images[:NUM_RESTORED]
    rows = []
    for num_steps in sorted({min(each, run.num_steps) for each in STEPS}):
        for first, last in CORRECTIONS:
            sampler = SAMPLERS.get(job.degradation, Cold)(
                num_steps, correction=first, correction_end=last
            )
            generated = run.scores(NUM_GENERATED, sampler=sampler, batch_size=BATCH_SIZE)
            names = ("fid", "fid_floor", "is_mean", "recall", "class_kl", "n", "images")
            own = {name: generated[name] for name in names}
            own |= {"correction": first, "correction_end": last, "num_steps": num_steps}
            rows.append(job._asdict() | own | restored_scores(run, sampler, images))
    return rows


def trained(job: Job) -> Run:
    """The run of a job, from its directory if it has been there."""
    directory = Path(job.out, "runs", job.name)
    if (directory / "run.json").exists():
        return thaw.load(directory)
    recipe = RECIPES.get(job.degradation, RECIPE) | {
        "degradation": job.degradation,
        "data": job.data,
        "seed": job.seed,
        "trainer.max_epochs": job.epochs,
        "hydra.run.dir": directory,
    }
    return thaw.train(*(f"{key}={value}" for key, value in recipe.items()))


def restored_scores(run: Run, sampler: Cold, images: Tensor) -> dict[str, float]:
    """PSNR and SSIM of images, uint8, degraded to x_T and restored."""
    scores = RestorationScores(run.pixel_range).to(run.device)
    for batch in WHOLE.batches(len(images), BATCH_SIZE):
        x_0, x_T, noise, draws = degraded(run.restorer, images, run.num_steps, batch, seed=0)
        with evaluating(run.restorer):
            scores.update(sampler.sample(run.restorer, x_T, noise, draws), x_0)
    found = scores.compute()
    return {name: found[name] for name in ("psnr", "ssim")}


def write(out: Path) -> None:
    """Table, CSV file and figure of all scores in OUT."""
    rows = [row for path in sorted(out.glob("*.json")) for row in json.loads(path.read_text())]
    with (out / "correction.csv").open("w", newline="") as file:
        names = ["degradation", "seed", "num_steps", "correction", "correction_end", *SCORES]
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(names)
        lines.writerows([[rounded(row[name]) for name in names] for row in rows])
    (out / "correction.md").write_text("\n".join([*counts(rows), "", table(rows)]))
    save_figure(figure(rows), out / "correction.png")


def rounded(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value


def of(rows: Iterable[dict[str, Any]], score: str, **keys: Any) -> list[float]:
    """A score of the rows with these values, seed by seed."""
    return [row[score] for row in rows if all(row[key] == keys[key] for key in keys)]


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: each score in as many steps as were tried, mean and deviation over the seeds."""
    heads = [words(*pair) for pair in CORRECTIONS]
    lines = []
    for score, title in SCORES.items():
        lines += [f"{title}:", "", f"| degradation | steps | seeds | {' | '.join(heads)} |"]
        lines += ["| --- " + "| ---: " * (2 + len(heads)) + "|"]
        for name in DEGRADATIONS:
            own = [row for row in rows if row["degradation"] == name]
            last = max((row["num_steps"] for row in own), default=0)
            each = [
                of(own, score, num_steps=last, correction=first, correction_end=end)
                for first, end in CORRECTIONS
            ]
            if own:
                cells = [f"`{name}`", str(last), str(len(each[0])), *map(mean_and_spread, each)]
                lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def counts(rows: list[dict[str, Any]]) -> list[str]:
    """What the page counts, a line each; a model is one degradation and seed."""
    models: dict[Any, dict[int, Scored]] = {}
    for row in rows:
        of_model = models.setdefault((row["degradation"], row["seed"]), {})
        pair = (row["correction"], row["correction_end"])
        of_model.setdefault(row["num_steps"], {})[pair] = row
    averages = [each for (name, _), each in models.items() if is_average(name)]
    restored = [each for (name, _), each in models.items() if name not in NOISE_ALONE]
    in_all = [each[max(each)] for each in averages]
    last = [each[max(each)] for each in models.values()]
    of_each = [by for each in restored for by in each.values()]
    between = CONSTANT[1:-1]
    change = [max(at("fid", by, *between)) - min(at("fid", by, *between)) for by in in_all]
    claims = {
        "averages, all steps: FID with 0.75 below 1": [fid(by, 0.75) < fid(by, 1) for by in in_all],
        "averages, all steps: FID with 0.75 below 0": [fid(by, 0.75) < fid(by, 0) for by in in_all],
        "averages, 4 steps: FID lowest with 0": [best(each[4], "fid") == 0 for each in averages],
        "averages, every number of steps: recall lowest with 1": [
            all(worst(by, "recall") == 1 for by in each.values()) for each in averages
        ],
        "PSNR highest with 1, by model and steps": [best(by, "psnr") == 1 for by in of_each],
        "PSNR in 2 steps above all steps, with 1": [fewer_is_more(each, 1) for each in restored],
        "PSNR in 2 steps above all steps, with 0": [fewer_is_more(each, 0) for each in restored],
        "most steps: FID with 1 to 0 no lower than 0.75": [
            by[1.0, 0.0]["fid"] >= fid(by, 0.75) for by in last
        ],
        "most steps: FID with 0 to 1 no lower than 0.75": [
            by[0.0, 1.0]["fid"] >= fid(by, 0.75) for by in last
        ],
    }
    lines = [f"{claim}: {sum(found)} of {len(found)}" for claim, found in claims.items()]
    most = max(change, default=0.0)
    return [*lines, f"averages, all steps: FID from 0.25 to 0.75 changes by at most {most:.2f}"]


def is_average(name: str) -> bool:
    return name.startswith(("column_", "row_")) and not name.endswith("_noise")


def at(score: str, by: Scored, *pairs: tuple[float, float]) -> list[float]:
    return [by[pair][score] for pair in pairs]


def fid(by: Scored, correction: float) -> float:
    return float(by[correction, correction]["fid"])


def best(by: Scored, score: str) -> float:
    """The constant lambda with the lowest FID, or the highest of another score."""
    sign = -1 if score == "fid" else 1
    return max(CONSTANT, key=lambda pair: (sign * by[pair][score], pair))[0]


def worst(by: Scored, score: str) -> float:
    return min(CONSTANT, key=lambda pair: float(by[pair][score]))[0]


def fewer_is_more(each: dict[int, Scored], correction: float) -> bool:
    few, many = (each[steps][correction, correction]["psnr"] for steps in (min(each), max(each)))
    return bool(few > many)


def words(first: float, last: float) -> str:
    """``0.5``, or ``1 to 0``."""
    return f"{first:g}" if first == last else f"{first:g} to {last:g}"


@own_style()
def figure(rows: list[dict[str, Any]]) -> Figure:
    """A column a degradation, a row a score, a line a number of steps: the mean over the seeds."""
    drawn = Figure(figsize=(1.9 * len(DRAWN), 6.2), layout="compressed")
    panels = drawn.subplots(len(SCORES), len(DRAWN), sharex=True, squeeze=False)
    shares = [first for first, _ in CONSTANT]
    for column, name in enumerate(DRAWN):
        own = [row for row in rows if row["degradation"] == name]
        steps = sorted({row["num_steps"] for row in own})
        for score, axes in zip(SCORES, panels[:, column], strict=True):
            for num_steps, style in zip(steps, line_styles(len(steps)), strict=True):
                each = [
                    of(own, score, num_steps=num_steps, correction=share, correction_end=share)
                    for share in shares
                ]
                label = f"{num_steps} steps"
                axes.plot(shares, list(map(statistics.fmean, each)), label=label, **style)
                spread = (list(map(min, each)), list(map(max, each)))
                axes.fill_between(shares, *spread, alpha=0.15, linewidth=0, color=style["color"])
            if score == "fid":
                log_scale(axes, of(own, score))
                axes.set_title(name, fontsize=9)
        panels[-1, column].set_xlabel("lambda")
        panels[-1, column].set_xticks([0, 0.5, 1])
    for axes, label in zip(panels[:, 0], SCORES.values(), strict=True):
        axes.set_ylabel(label, fontsize=9)
    lines, labels = panels[0, 0].get_legend_handles_labels()
    drawn.legend(lines, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return drawn


if __name__ == "__main__":
    main(*sys.argv[1:])
