"""FID against core-seconds of training: thaw's networks, and a U-Net of diffusers' of like size.

``python benchmarks/quality_per_second.py OUT [core-seconds ...]`` trains each contender anew for
each budget, one after another in turns on one thread, with the same data, objective (a DDPM on the
cosine schedule that predicts the velocity), optimiser, average of the weights and sampler; rates
differ, and the peer has two. What is in OUT already is not trained again; the table and the figure
are of all that is there.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers import UNet2DModel
from matplotlib.figure import Figure
from plain_loop import Recipe, prepare, scores, step_seconds, train
from torch import Tensor, nn

from thaw import storage
from thaw.data import sources
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.objectives import MSE, Objective
from thaw.diffusion.predictions import Velocity
from thaw.diffusion.priors.normal import Normal
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.gaussian import DDIM
from thaw.diffusion.schedules import cosine
from thaw.metrics.encoders import load_encoder
from thaw.metrics.suite import ScoreSuite
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


def main(out: str, *budgets: str) -> None:
    """Train and score what is missing, then write table and figure into OUT."""
    prepare()
    folder = Path(out)
    images = sources.MNIST(os.environ["THAW_DATA"]).load()[0].images
    seconds = step_seconds(
        [contender.recipe() for contender in CONTENDERS], RANGE.from_uint8(images[:64])
    )
    suite = ScoreSuite(load_encoder("mnist"))
    for budget in map(int, budgets or BUDGETS):
        for contender, step in zip(CONTENDERS, seconds, strict=True):
            path = folder / f"{contender.name.replace(' ', '_')}_{budget}.json"
            if path.exists():
                continue
            restorer, spent = train(contender.recipe(), images, max(1, round(budget / step)))
            found = scores(restorer, DDIM(EVALUATIONS), Normal(SHAPE), suite, NUM_SAMPLES)
            row = {
                "name": contender.name,
                "budget": budget,
                "core_s": round(spent, 1),
                "step_ms": round(1000 * step, 1),
                "steps": round(budget / step),
                "num_parameters": sum(p.numel() for p in restorer.network.parameters()),
                **{key: found[key] for key in ("fid", "fid_floor", "is_mean", "n")},
            }
            storage.write_atomically(path, json.dumps(row, indent=1) + "\n")
            print(row, flush=True)
    rows = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    storage.write_atomically(folder / "quality_per_second.md", table(rows))
    save_figure(figure(rows), folder / "quality_per_second.png")
    print(table(rows))


def of_each(rows: list[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The rows of each contender, by core-seconds."""
    for contender in CONTENDERS:
        own = [row for row in rows if row["name"] == contender.name]
        if own:
            yield contender.name, sorted(own, key=lambda row: row["budget"])


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a row a contender, a column a budget."""
    budgets = sorted({row["budget"] for row in rows})
    lines = [
        "| network | parameters | ms a step | " + " | ".join(f"{b} s" for b in budgets) + " |",
        "| --- | ---: | ---: |" + " ---: |" * len(budgets),
    ]
    for name, own in of_each(rows):
        fids = {row["budget"]: f"{row['fid']:.1f}" for row in own}
        cells = [name, f"{own[0]['num_parameters']:,}", f"{own[0]['step_ms']:.0f}"]
        cells += [fids.get(budget, "") for budget in budgets]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


@own_style()
def figure(rows: list[dict[str, Any]]) -> Figure:
    """A line a contender, both axes logarithmic."""
    drawn = Figure(figsize=(6.4, 4.0), layout="compressed")
    axes = drawn.subplots()
    lines = list(of_each(rows))
    for (name, own), style in zip(lines, line_styles(len(lines)), strict=True):
        points = [(row["core_s"], row["fid"]) for row in own]
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, label=name, **style)
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
