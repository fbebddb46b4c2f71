"""Figures of the forward process, drawn before training starts."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pytorch_lightning as pl
import torch
from annotated_types import Ge
from matplotlib.figure import Figure
from torch import Tensor

from thaw import runs, storage
from thaw.checks import Count, checked
from thaw.data.module import ImageDataModule
from thaw.diffusion.degradations.base import all_at
from thaw.diffusion.schedules import alpha_bar_of, betas_of
from thaw.reporting.curves import schedule_figure
from thaw.reporting.panels import forward_strip
from thaw.reporting.style import harmless, own_style, save_figure
from thaw.seeding import generator
from thaw.training.loggers.opening import adapters
from thaw.training.module import DiffusionModule


class ForwardProcess(pl.Callback):
    """Writes ``figures/forward_process.png`` (x_0 ... x_t ... x_T), ``schedule.png`` and ``.csv``.

    A row of the strip for each of ``num_images``, a column for each of ``num_steps`` from 0 to T.
    """

    @checked
    def __init__(
        self,
        run_dir: Path,
        data: ImageDataModule,
        num_images: Count = 4,
        num_steps: Annotated[int, Ge(2)] = 8,
    ) -> None:
        self.run_dir = run_dir
        self.data = data
        self.num_images = num_images
        self.num_steps = num_steps

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, DiffusionModule)
        if not trainer.is_global_zero:
            return
        figures: dict[str, Callable[[], Figure]] = {
            "forward_process": lambda: self._strip(pl_module)
        }
        table = pl_module.restorer.degradation.schedule
        if table is not None:
            figures["schedule"] = lambda: schedule_figure({"": alpha_bar_of(table)})
            storage.write_atomically(self.run_dir / runs.SCHEDULE, _schedule_csv(table))
        for name, draw in figures.items():
            with harmless(name), own_style():
                figure = draw()
                for adapter in adapters(trainer):
                    adapter.log_figure(name, figure)
                save_figure(figure, self.run_dir / runs.FIGURES / f"{name}.png")

    def _strip(self, module: DiffusionModule) -> Figure:
        restorer = module.restorer
        degradation = restorer.degradation
        stored = restorer.pixel_range.from_uint8(self.data.train_images[: self.num_images])
        draws = generator(0, "strip", device=module.device)
        x_0, noise = degradation.draw(stored.to(module.device), draws)
        last = degradation.num_steps
        times = torch.linspace(0, last, min(self.num_steps, last + 1)).round().long().tolist()
        columns = [degradation(x_0, all_at(t, x_0), noise) for t in times]
        images = [restorer.pixel_range.to_uint8(x_t).cpu() for x_t in columns]
        return forward_strip(images, times)


def _schedule_csv(table: Tensor) -> str:
    alpha_bar = alpha_bar_of(table)
    betas = torch.cat([alpha_bar.new_zeros(1), betas_of(alpha_bar)])
    columns = torch.stack([betas, alpha_bar, *table.unbind(1)], dim=1)
    lines = [",".join(f"{value:.9g}" for value in (t, *row)) for t, row in enumerate(columns)]
    return "\n".join(["t,beta_t,alpha_t,signal,sigma", *lines]) + "\n"
