"""FID against core-seconds of training: thaw's networks, and a U-Net of diffusers' of like size.

``python benchmarks/quality_per_second.py OUT SEEDS [core-seconds ...]`` trains each contender anew
for each budget and seed, with the same data, objective (a DDPM on the cosine schedule that predicts
the velocity), optimiser, average of the weights and sampler; rates differ, and the peer has two.
What a step costs on one core of a CPU is measured in turns and kept in OUT/costs.json. What is in
OUT already is not trained again; the table and the figure are of all that is there.
"""

import json
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from diffusers import UNet2DModel
from matplotlib.figure import Figure
from plain_loop import (
    DEVICE,
    Recipe,
    mean_and_spread,
    prepare,
    score_suite,
    scores,
    side_by_side,
    step_seconds,
    train,
    training_images,
)
from torch import Tensor, nn

from thaw import storage
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.objectives import MSE, Objective
from thaw.diffusion.predictions import Velocity
from thaw.diffusion.priors.normal import Normal
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.gaussian import DDIM
from thaw.diffusion.schedules import cosine
from thaw.networks.cnn import CNN
from thaw.networks.patch_unet import PatchUNet
from thaw.networks.unet import UNet
from thaw.pixels import PixelRange
from thaw.reporting.style import line_styles, log_scale, own_style, save_figure

SHAPE, RANGE, NUM_STEPS = (1, 28, 28), PixelRange(-1.0, 1.0), 1000
BUDGETS = (60, 120, 240, 480)
NUM_SAMPLES, EVALUATIONS = 2000, 25
GOAL = 10.0


class Peer(nn.Module):
    """diffusers' UNet2DModel, of the number of parameters next to PatchUNet's."""

    num_classes = None

    def __init__(self) -> None:
        super().__init__()
        self.unet = UNet2DModel(
            sample_size=28,
            in_channels=1,
            out_channels=1,
            layers_per_block=1,
            block_out_channels=(24, 48),
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
            norm_num_groups=8,
        )

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        output: Tensor = self.unet(x_t, t).sample
        return output


@dataclass(frozen=True)
class Contender:
    """A network and its learning rate."""

    name: str
    network: Callable[[], nn.Module]
    lr: float

    def make(self) -> tuple[Restorer, Objective]:
        degradation = Gaussian(cosine(NUM_STEPS))
        return Restorer(self.network(), degradation, Velocity(), RANGE), MSE()

    def recipe(self) -> Recipe:
        return Recipe(self.make, self.lr)


CONTENDERS = (
    Contender("PatchUNet", lambda: PatchUNet(SHAPE, NUM_STEPS), 3e-3),
    Contender("CNN", lambda: CNN(SHAPE, NUM_STEPS), 2e-3),
    Contender("UNet", lambda: UNet(SHAPE, NUM_STEPS), 2e-3),
    Contender("UNet2DModel, lr 1e-3", Peer, 1e-3),
    Contender("UNet2DModel, lr 3e-3", Peer, 3e-3),
)


class Job(NamedTuple):
    """A contender by its number, its core-seconds and seed, and what a step costs."""

    contender: int
    budget: int
    seed: int
    step_s: float

    @property
    def file(self) -> str:
        name = CONTENDERS[self.contender].name.replace(" ", "_")
        return f"{name}_{self.budget}_seed_{self.seed}.json"


def main(out: str, seeds: str, *budgets: str) -> None:
    """Train and score what is missing, then write table and figure into OUT."""
    prepare()
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    costs = folder / "costs.json"
    if not costs.exists():
        x_0 = RANGE.from_uint8(training_images("mnist")[:64])
        found = step_seconds([contender.recipe() for contender in CONTENDERS], x_0)
        storage.write_atomically(costs, json.dumps(found) + "\n")
    steps = json.loads(costs.read_text())
    jobs = [
        Job(number, budget, seed, steps[number])
        for budget in map(int, budgets or BUDGETS)
        for seed in range(int(seeds))
        for number in range(len(CONTENDERS))
    ]
    missing = [job for job in jobs if not (folder / job.file).exists()]
    for job, row in side_by_side(tried, missing):
        storage.write_atomically(folder / job.file, json.dumps(row, indent=1) + "\n")
        print(row, flush=True)
    rows = [json.loads(path.read_text()) for path in sorted(folder.glob("*_seed_*.json"))]
    storage.write_atomically(folder / "quality_per_second.md", table(rows))
    save_figure(figure(rows), folder / "quality_per_second.png")
    print(table(rows))


def tried(job: Job) -> dict[str, Any]:
    """What a contender comes to."""
    contender, num_steps = CONTENDERS[job.contender], max(1, round(job.budget / job.step_s))
    restorer = train(contender.recipe(), training_images("mnist"), num_steps, job.seed)
    found = scores(restorer, DDIM(EVALUATIONS), Normal(SHAPE), score_suite(), NUM_SAMPLES)
    return {
        "name": contender.name,
        "budget": job.budget,
        "seed": job.seed,
        "device": DEVICE.type,
        "step_ms": round(1000 * job.step_s, 1),
        "steps": num_steps,
        "num_parameters": sum(p.numel() for p in restorer.network.parameters()),
        **{key: found[key] for key in ("fid", "fid_floor", "is_mean", "n")},
    }


def of_each(rows: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[int, list[float]]]]:
    """Of each contender one row, and its FID by core-seconds, seed by seed."""
    for contender in CONTENDERS:
        own = [row for row in rows if row["name"] == contender.name]
        budgets = sorted({row["budget"] for row in own})
        if own:
            yield own[0], {b: [row["fid"] for row in own if row["budget"] == b] for b in budgets}


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a row a contender, a column a budget: mean and standard deviation over seeds."""
    budgets = sorted({row["budget"] for row in rows})
    lines = [
        "| network | parameters | ms a step | " + " | ".join(f"{b} s" for b in budgets) + " |",
        "| --- | ---: | ---: |" + " ---: |" * len(budgets),
    ]
    for own, fids in of_each(rows):
        cells = [own["name"], f"{own['num_parameters']:,}", f"{own['step_ms']:.0f}"]
        cells += [mean_and_spread(fids.get(budget, [])) for budget in budgets]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


@own_style()
def figure(rows: list[dict[str, Any]]) -> Figure:
    """A line a contender, the mean over seeds between the best and worst; both axes logarithmic."""
    drawn = Figure(figsize=(6.4, 4.0), layout="compressed")
    axes = drawn.subplots()
    lines = list(of_each(rows))
    for (own, fids), style in zip(lines, line_styles(len(lines)), strict=True):
        means = [statistics.fmean(each) for each in fids.values()]
        axes.plot(list(fids), means, marker="o", markersize=4, label=own["name"], **style)
        lowest, highest = ([f(each) for each in fids.values()] for f in (min, max))
        axes.fill_between(
            list(fids), lowest, highest, alpha=0.15, linewidth=0, color=style["color"]
        )
    axes.axhline(GOAL, color="grey", linewidth=0.5)
    axes.set_xscale("log")
    budgets = sorted({row["budget"] for row in rows})
    axes.set_xticks(budgets, map(str, budgets))
    axes.minorticks_off()
    log_scale(axes, [row["fid"] for row in rows])
    axes.set_xlabel("core-seconds of training")
    axes.set_ylabel(f"FID of {NUM_SAMPLES:,} images")
    axes.legend(frameon=False, fontsize=8)
    return drawn


if __name__ == "__main__":
    main(*sys.argv[1:])
