"""Draws every path, and digits generated along it, from the runs of seed 0 of ``make paths``.

``python docs/draw_paths.py multirun/paths OUT.png``: a row for each line of :data:`ROWS` of which
there is a run. Digits start from noise, or from the mixture of Gaussians of ``prior=gmm``.
"""

import sys
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from torch import Tensor

import thaw
from thaw.reporting.style import own_style, save_figure
from thaw.runs import OVERRIDES

# What was typed for the run, by the label of its row.
ROWS = {
    "hot: noise": "degradation=gaussian schedule=cosine prediction=clean",
    "hot: rectified flow": "degradation=gaussian schedule=flow",
    "warm: blur and noise": "degradation=blur_noise degradation.blur_to_noise=1",
    "warm: heat": "degradation=heat",
    "between: rows and noise": "degradation=row_noise",
    "cold: rows": "degradation=row_random",
    "cold: columns": "degradation=column_random",
    "cold: blur": "degradation=blur",
    "cold: pixelate": "degradation=pixelate",
    "cold: inpaint": "degradation=inpaint",
    "straight: to row means": "degradation=bridge degradation/to=row_random",
    "straight: to pixelate": "degradation=bridge degradation/to=pixelate",
}
NUM_STEPS, NUM_GENERATED = 6, 9
# A three.
SHOWN = 3


def main(sweep: str, out: str) -> None:
    """Write OUT."""
    typed = {path: overrides(path) for path in sorted(Path(sweep).glob("*/")) if path.is_dir()}
    found = {
        label: next((path for path, given in typed.items() if {*text.split()} <= given), None)
        for label, text in ROWS.items()
    }
    drawn = {label: path for label, path in found.items() if path}
    if not drawn:
        raise SystemExit(f"no run of seed 0 in {sweep} is one of {', '.join(ROWS)}")
    save_figure(figure(drawn), Path(out))


def overrides(run_dir: Path) -> set[str]:
    """What was typed for a run of seed 0; nothing of others."""
    path = run_dir / OVERRIDES
    given = {*OmegaConf.load(path)} if path.exists() else set()
    return given if "seed=0" in given else set()


@own_style()
def figure(run_dirs: dict[str, Path]) -> Figure:
    """Two strips a row."""
    drawn = Figure(figsize=(8.2, 0.5 * len(run_dirs) + 0.3), layout="constrained")
    columns = {"width_ratios": [NUM_STEPS + 1, NUM_GENERATED]}
    panels = drawn.subplots(len(run_dirs), 2, squeeze=False, gridspec_kw=columns)
    for (label, run_dir), (forward, generated) in zip(run_dirs.items(), panels, strict=True):
        run = thaw.load(run_dir)
        image = run.data.test_images[SHOWN : SHOWN + 1]
        times = [round(k * run.num_steps / NUM_STEPS) for k in range(NUM_STEPS + 1)]
        show(forward, torch.cat([run.degrade(image, t) for t in times]))
        forward.set_ylabel(label, rotation=0, ha="right", va="center")
        if not run.degradation.leaves_nothing:
            run = thaw.load(run_dir, prior="gmm")
        show(generated, run.sample(NUM_GENERATED))
        print(label, run.sampler.describe(run.degradation), flush=True)
    panels[0, 0].set_title("the image, degraded from t = 0 to T")
    panels[0, 1].set_title("generated from nothing")
    return drawn


def show(axes: Axes, images: Tensor) -> None:
    """Images ``[N, 1, H, W]`` side by side."""
    axes.imshow(torch.cat([*images[:, 0]], dim=1), cmap="gray", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


if __name__ == "__main__":
    main(*sys.argv[1:])
