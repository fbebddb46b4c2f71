"""Figures by matplotlib, drawn without a display."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

from thaw.diffusion.schedules import betas_of
from thaw.reporting.images import to_pil

BLUE, ORANGE = "#0072B2", "#D55E00"  # Okabe and Ito's palette, told apart by the colour-blind


def forward_strip(columns: Sequence[Tensor], times: Sequence[int]) -> Figure:
    """Images against steps: column k holds uint8 ``[N, C, H, W]`` at step ``times[k]``."""
    num_rows = len(columns[0])
    figure = Figure(figsize=(1.05 * len(columns), 1.02 * num_rows + 0.3), layout="compressed")
    axes = figure.subplots(num_rows, len(columns), squeeze=False)
    for k, (images, t) in enumerate(zip(columns, times, strict=True)):
        axes[0, k].set_title(f"$t = {t}$", fontsize=10)
        for row in range(num_rows):
            axes[row, k].imshow(to_pil(images[row]), cmap="gray", vmin=0, vmax=255)
            axes[row, k].set_axis_off()
    return figure


def schedule_figure(alpha_bar: Tensor) -> Figure:
    r"""beta_t and alpha_t = prod (1 - beta_s), the latter in the study's (Prince's) notation."""
    figure = Figure(figsize=(7, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = range(len(alpha_bar))
    left.plot(steps[1:], betas_of(alpha_bar), color=BLUE)
    left.set_ylabel(r"$\beta_t$ (variance added in step $t$)")
    right.plot(steps, alpha_bar, color=ORANGE)
    right.set_ylabel(r"$\alpha_t = \prod_{s \leq t} (1 - \beta_s)$")
    for axes in (left, right):
        axes.set_xlabel("step $t$")
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_ylim(bottom=0)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure, its format by suffix, making the folder where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
