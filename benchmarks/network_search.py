"""A network for a CPU, searched at equal core-seconds: one change at a time to a U-Net on patches.

``python benchmarks/network_search.py OUT STEPS SEEDS ['key=value ...' ...]`` trains each candidate
of the list (:data:`CANDIDATES` if none is named) for as many steps as STEPS steps of the first
allow on one core of a CPU; what a step costs there, in turns with the first, is kept in
OUT/costs.json. SEEDS is the number of seeds. Each adds a line to OUT/search.jsonl, with scores of
images generated from nothing, and those that have one are left out; OUT/search.md is the table.
Keys are the fields of :class:`Candidate`. thaw's PatchUNet is what came of it.
"""

import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from plain_loop import (
    DEVICE,
    EMA_DECAY,
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
from torch.nn import functional

from thaw.data import sources
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.degradations.line_noise import LineNoise
from thaw.diffusion.objectives import L1, MSE, Objective
from thaw.diffusion.predictions import Clean, Noise, Velocity
from thaw.diffusion.priors.base import Prior
from thaw.diffusion.priors.gaussian_mixture import GaussianMixture
from thaw.diffusion.priors.normal import Normal
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Sampler
from thaw.diffusion.samplers.cold import Naive
from thaw.diffusion.samplers.gaussian import DDIM, Ancestral
from thaw.diffusion.schedules import cosine
from thaw.diffusion.weightings import MinSNR
from thaw.networks.cnn import CNN
from thaw.networks.embeddings import TimeEmbedding
from thaw.networks.patch_unet import ChannelNorm
from thaw.networks.unet import UNet
from thaw.pixels import PixelRange

SHAPE, NUM_SAMPLES = (1, 28, 28), 1000
ACTIVATIONS = {"silu": nn.SiLU, "relu": nn.ReLU, "gelu": nn.GELU}
PREDICTIONS = {"clean": Clean, "noise": Noise, "velocity": Velocity}


@dataclass(frozen=True)
class Candidate:
    """What is tried; the defaults are where the search began."""

    kind: str = "cold"  # cold, hybrid or hot
    axis: str = "column"  # or row; of cold and hybrid
    net: str = "patch"  # patch, cnn or unet
    width: int = 32
    depth: int = 1
    middle: int = 2
    kernel: int = 3
    patch: int = 2
    norm: str = "rms"  # rms, group1, group8, batch or none
    block: str = "full"  # full, one (a single norm) or next (ConvNeXt)
    activation: str = "silu"
    position: int = 1
    attention: int = 0
    from_zero: int = 0  # whether the last convolution starts at 0
    residual: int = 0  # whether the network adds to x_t
    lr: float = 3e-3
    batch: int = 64
    ema: float = EMA_DECAY  # 0 is no average of the weights
    loss: str = "mse"
    weighting: str = "none"  # none or min_snr
    prediction: str = "clean"
    largest: float = 0.5  # pixels are in -largest .. largest
    data: str = "mnist_5k"  # or mnist
    shift: int = 0  # whether batches are shifted by a pixel, at random
    seed: int = 0

    @classmethod
    def of(cls, text: str) -> "Candidate":
        kinds = {field.name: type(field.default) for field in fields(cls)}
        given = dict(pair.split("=") for pair in text.split())
        return cls(**{key: kinds[key](value) for key, value in given.items()})

    @property
    def cost(self) -> "Candidate":
        """The candidate that costs the same, of those that do the one to measure."""
        return replace(self, seed=0, data="mnist_5k", lr=Candidate.lr, largest=0.5, shift=0)

    @property
    def pixels(self) -> PixelRange:
        return PixelRange(-self.largest, self.largest)

    def make(self) -> tuple[Restorer, Objective]:
        degradation = self.degradation()
        network = NETWORKS[self.net](self, degradation.num_steps)
        weighting = MinSNR() if self.weighting == "min_snr" else None
        objective = {"mse": MSE, "l1": L1}[self.loss](weighting)
        prediction = PREDICTIONS[self.prediction]()
        return Restorer(network, degradation, prediction, self.pixels), objective

    def degradation(self) -> Degradation:
        if self.kind == "cold":
            return LineAverage(SHAPE, self.axis, "random")
        if self.kind == "hybrid":
            return LineNoise(SHAPE, self.axis, "random")
        return Gaussian(cosine(1000))

    def ways(self) -> dict[str, tuple[Prior, Sampler]]:
        """Priors that know no real image, and samplers."""
        if self.kind == "hot":
            return {"DDIM, 25": (Normal(SHAPE), DDIM(25))}
        prior = GaussianMixture(SHAPE, self.pixels, components=50)
        if self.kind == "hybrid":
            return {"ancestral, 30": (prior, Ancestral(30))}
        return {f"Algorithm 1, {n}": (prior, Naive(n)) for n in (4, 7)}

    def recipe(self) -> Recipe:
        return Recipe(
            self.make, self.lr, self.batch, self.ema, shifted if self.shift else lambda x: x
        )


def shifted(images: Tensor) -> Tensor:
    """By -1, 0 or 1 pixels along each side."""
    return images.roll(torch.randint(-1, 2, (2,)).tolist(), (2, 3))


CANDIDATES = [
    *("", "norm=group1", "norm=group8", "norm=batch", "norm=none"),
    *("width=24", "width=48", "depth=2", "middle=1", "middle=3", "kernel=5"),
    *("patch=1 width=16", "patch=4 width=64", "block=one", "block=next kernel=5"),
    *("activation=relu", "position=0", "attention=1", "from_zero=1", "residual=1"),
    *("lr=2e-3", "lr=5e-3", "batch=32", "batch=128", "loss=l1", "shift=1", "data=mnist"),
    *("ema=0", "ema=0.999", "axis=row", "axis=row norm=group1"),
    *("net=cnn lr=2e-3", "net=unet lr=2e-3"),
    *("kind=hot largest=1 prediction=velocity", "kind=hot largest=1 prediction=clean"),
    *("kind=hot largest=1 prediction=noise", "kind=hot largest=1 prediction=velocity norm=group1"),
    "kind=hot largest=1 prediction=velocity weighting=min_snr",
    *("kind=hybrid largest=1", "kind=hybrid", "kind=hybrid largest=1 norm=group1"),
]


class Job(NamedTuple):
    """A candidate with its seed, the number of its steps, and what they are equal to."""

    candidate: str
    seed: int
    steps: int
    as_long_as: int


def main(out: str, as_long_as: str, seeds: str, *texts: str) -> None:
    """Try what is missing in OUT."""
    prepare()
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "search.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = [(row["candidate"], row["seed"], row["as_long_as"]) for row in rows]
    chosen = texts or CANDIDATES
    costs = step_costs(chosen, folder / "costs.json")
    jobs = [
        Job(text, seed, round(int(as_long_as) / costs[text]), int(as_long_as))
        for seed in range(int(seeds))
        for text in chosen
        if (text, seed, int(as_long_as)) not in done
    ]
    for job, found in side_by_side(tried, jobs):
        rows.append(job._asdict() | found)
        with path.open("a") as file:
            file.write(json.dumps(rows[-1]) + "\n")
        print(rows[-1], flush=True)
    (folder / "search.md").write_text(table(rows, costs))


def step_costs(texts: Sequence[str], path: Path) -> dict[str, float]:
    """What a step of each costs on a CPU in steps of the first, measured unless the file has it."""
    costs: dict[str, float] = json.loads(path.read_text()) if path.exists() else {"": 1.0}
    first, images = Candidate(), sources.MNIST5k().load()[0].images
    known = {Candidate.of(text).cost: cost for text, cost in costs.items()}
    for text in texts:
        candidate = Candidate.of(text)
        if candidate.cost not in known:
            x_0 = candidate.pixels.from_uint8(images[: max(candidate.batch, first.batch)])
            step, step_of_first = step_seconds([candidate.recipe(), first.recipe()], x_0)
            known[candidate.cost] = round(step / step_of_first, 4)
        costs[text] = known[candidate.cost]
        path.write_text(json.dumps(costs, indent=1) + "\n")
    return costs


def tried(job: Job) -> dict[str, Any]:
    """Parameters, and FID, IS and class KL of each way to generate."""
    candidate = replace(Candidate.of(job.candidate), seed=job.seed)
    images = training_images(candidate.data)
    restorer = train(candidate.recipe(), images, job.steps, job.seed)
    parameters = sum(p.numel() for p in restorer.network.parameters())
    result: dict[str, Any] = {"parameters": parameters, "device": DEVICE.type}
    for name, (prior, sampler) in candidate.ways().items():
        prior.fit(images, candidate.degradation())
        found = scores(restorer, sampler, prior.to(DEVICE), score_suite(), NUM_SAMPLES)
        result[name] = {key: round(found[key], 3) for key in ("fid", "is_mean", "class_kl")}
    return result


def table(rows: list[dict[str, Any]], costs: dict[str, float]) -> str:
    """Markdown: the mean FID over the seeds, with their standard deviation, best first."""
    lines = [
        "| change | steps of | cost of a step | parameters | generated by | seeds | FID |",
        "| --- | ---: | ---: | ---: | --- | ---: | ---: |",
    ]
    found: dict[tuple[int, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        for way in (key for key, value in row.items() if isinstance(value, dict)):
            found.setdefault((row["as_long_as"], way, row["candidate"]), []).append(row)

    def of(key: tuple[int, str, str]) -> list[float]:
        return [row[key[1]]["fid"] for row in found[key]]

    for key in sorted(found, key=lambda key: (key[0], key[1], statistics.fmean(of(key)))):
        as_long_as, way, text = key
        cells = [f"`{text}`" if text else "-", f"{as_long_as:,}", f"{costs[text]:.2f}"]
        cells += [f"{found[key][0]['parameters']:,}", way, str(len(found[key]))]
        lines.append(f"| {' | '.join([*cells, mean_and_spread(of(key))])} |")
    return "\n".join(lines) + "\n"


def norm(kind: str, channels: int) -> nn.Module:
    """A normalisation by its name."""
    if kind.startswith("group"):
        return nn.GroupNorm(int(kind.removeprefix("group")), channels)
    kinds = {"rms": ChannelNorm, "batch": nn.BatchNorm2d, "none": lambda _: nn.Identity()}
    return kinds[kind](channels)


class Block(nn.Module):
    """A residual block of two convolutions, t by scale and shift; ``full``, ``one`` or ``next``."""

    def __init__(self, o: Candidate, channels: int, embedding: int) -> None:
        super().__init__()
        act, k = ACTIVATIONS[o.activation], o.kernel
        self.modulate = nn.Linear(embedding, 2 * channels)
        if o.block == "next":
            wide = 3 * channels
            depthwise = nn.Conv2d(channels, channels, k, padding=k // 2, groups=channels)
            self.inner = nn.Sequential(depthwise, norm(o.norm, channels))
            last = nn.Conv2d(wide, channels, 1)
            self.outer = nn.Sequential(nn.Conv2d(channels, wide, 1), act(), last)
        else:
            first, last = (nn.Conv2d(channels, channels, k, padding=k // 2) for _ in range(2))
            own, second = (norm(o.norm, channels) for _ in range(2))
            is_full = o.block == "full"
            self.inner = nn.Sequential(own, act(), first, second) if is_full else own
            self.outer = nn.Sequential(*([] if is_full else [first]), act(), last)
        for parameter in (*self.modulate.parameters(), *last.parameters()):
            nn.init.zeros_(parameter)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulate(embedding)[..., None, None].chunk(2, dim=1)
        output: Tensor = h + self.outer(self.inner(h) * (1 + scale) + shift)
        return output


class Attention(nn.Module):
    """Self-attention of four heads over all positions."""

    def __init__(self, o: Candidate, channels: int) -> None:
        super().__init__()
        self.norm = norm(o.norm, channels)
        self.qkv, self.out = nn.Conv2d(channels, 3 * channels, 1), nn.Conv2d(channels, channels, 1)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(h)).unflatten(1, (3, 4, -1)).flatten(4).mT.unbind(1)
        mixed = functional.scaled_dot_product_attention(q, k, v).mT
        output: Tensor = h + self.out(mixed.reshape(h.shape))
        return output


class Patches(nn.Module):
    """The U-Net on patches with everything that is tried."""

    num_classes = None

    def __init__(self, o: Candidate, num_steps: int) -> None:
        super().__init__()
        w, p, embedding = o.width, o.patch, 4 * o.width
        self.o, side = o, SHAPE[1] // p
        self.embed = nn.Sequential(TimeEmbedding(embedding, num_steps, "silu"), nn.SiLU())
        self.position = nn.Parameter(torch.zeros(w, side, side), requires_grad=bool(o.position))
        self.first = nn.Conv2d(p * p, w, 3, padding=1)
        self.down = nn.ModuleList(Block(o, w, embedding) for _ in range(o.depth))
        by = 1 if side % 2 else 2
        self.shrink = nn.Conv2d(w, 2 * w, by, stride=by)
        middle: list[nn.Module] = [Block(o, 2 * w, embedding) for _ in range(o.middle)]
        if o.attention:
            middle.insert(o.middle // 2, Attention(o, 2 * w))
        self.middle = nn.ModuleList(middle)
        self.grow = nn.ConvTranspose2d(2 * w, w, by, stride=by)
        self.join = nn.Conv2d(2 * w, w, 1)
        self.up = nn.ModuleList(Block(o, w, embedding) for _ in range(o.depth))
        last = nn.Conv2d(w, p * p, 3, padding=1)
        if o.from_zero:
            nn.init.zeros_(last.weight)
        self.last = nn.Sequential(norm(o.norm, w), nn.SiLU(), last)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        embedding, patch = self.embed(t), self.o.patch
        h = self.first(functional.pixel_unshuffle(x_t, patch)) + self.position
        for block in self.down:
            h = block(h, embedding)
        skip, h = h, self.shrink(h)
        for block in self.middle:
            h = block(h, embedding)
        h = self.join(torch.cat([self.grow(h), skip], dim=1))
        for block in self.up:
            h = block(h, embedding)
        output = functional.pixel_shuffle(self.last(h), patch)
        return output + x_t if self.o.residual else output


NETWORKS: dict[str, Callable[[Candidate, int], nn.Module]] = {
    "patch": Patches,
    "cnn": lambda o, num_steps: CNN(SHAPE, num_steps),
    "unet": lambda o, num_steps: UNet(SHAPE, num_steps),
}

if __name__ == "__main__":
    main(*sys.argv[1:])
