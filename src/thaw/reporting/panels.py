"""Figures made of images: the forward process, samples over the epochs, restorations."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from thaw.diffusion.restoration import STAGES, stage_title
from thaw.reporting.images import grid, to_pil
from thaw.reporting.style import canvas, make_room, own_style, show_image, titled


@own_style()
def forward_strip(columns: Sequence[Tensor], times: Sequence[int]) -> Figure:
    """Images against steps: column k holds uint8 ``[N, C, H, W]`` at step ``times[k]``."""
    num_rows = len(columns[0])
    figure = canvas(1.05 * len(columns), 1.02 * num_rows + 0.3, "compressed")
    axes = figure.subplots(num_rows, len(columns), squeeze=False)
    for k, (images, t) in enumerate(zip(columns, times, strict=True)):
        axes[0, k].set_title(f"$t = {t}$")
        for row in range(num_rows):
            show_image(axes[row, k], np.asarray(to_pil(images[row])))
    return figure


@own_style()
def restoration_figure(runs: Sequence[tuple[str, Mapping[str, Tensor]]]) -> Figure:
    """A block of rows for each run, a row for each stage (original, degraded, ...) of its images.

    Args:
        runs: titles, and images uint8 ``[N, C, H, W]`` by stage; not all ``STAGES`` need be there.
    """
    columns = min(2, len(runs))
    rows = -(-len(runs) // columns)
    most = max(len(stages) for _, stages in runs)
    figure = canvas(5.6 * columns, (0.62 * most + 0.27) * rows, "compressed")
    blocks = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in blocks[len(runs) :]:
        axes.set_axis_off()
    titles_of_runs = titled((title for title, _ in runs), figure.get_figwidth() / columns, 2)
    make_room(figure, titles_of_runs, columns)
    for axes, run_title, (_, stages) in zip(blocks, titles_of_runs, runs, strict=False):
        names = [name for name in STAGES if name in stages]
        images = [stages[name] for name in names]
        block = np.asarray(to_pil(grid(torch.cat(images), columns=len(images[0]))))
        show_image(axes, block)
        axes.yaxis.set_visible(True)
        height = len(block) / len(images)
        titles = [stage_title(name) for name in names]
        axes.set_yticks([height * (k + 0.5) for k in range(len(images))], titles)
        axes.tick_params(length=0)
        axes.set_title(run_title)
    return figure


@own_style()
def samples_figure(runs: Mapping[str, Mapping[int, np.ndarray]], epochs: Sequence[int]) -> Figure:
    """Grids of samples, a row for each run and a column for each epoch; some may be missing.

    Args:
        runs: by title, the grid uint8 ``[H, W]`` or ``[H, W, 3]`` of each epoch.
        epochs: epochs of the columns.
    """
    figure = canvas(2.1 * len(epochs) + 0.5, 2.2 * len(runs) + 0.2, "compressed")
    cells = figure.subplots(len(runs), len(epochs), squeeze=False)
    titles = titled(runs, figure.get_figheight() / len(runs), 4, "label")
    for row, title, grids in zip(cells, titles, runs.values(), strict=True):
        for axes, epoch in zip(row, epochs, strict=True):
            axes.set_axis_off()
            if epoch in grids:
                show_image(axes, grids[epoch])
                axes.set_axis_on()
                axes.set_title(f"epoch {epoch}")
        row[0].set_axis_on()
        row[0].yaxis.set_visible(True)
        row[0].set_xticks([])
        row[0].set_yticks([])
        row[0].spines[:].set_visible(False)
        row[0].set_ylabel(title)
    return figure
