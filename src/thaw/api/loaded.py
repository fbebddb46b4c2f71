"""What a loaded run consists of, and how a notebook shows it."""

import html
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import DictConfig
from PIL import Image

from thaw import runs
from thaw.api.pictures import as_html, grid, scores_table
from thaw.commands.errors import as_input_errors
from thaw.data.module import ImageDataModule
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.generation import draw_labels
from thaw.diffusion.priors.base import Prior
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Sampler
from thaw.metrics import table
from thaw.pixels import PixelRange
from thaw.reporting.numbers import scores_in_words
from thaw.training.generating import generated_images
from thaw.training.loading import LoadedRun
from thaw.training.opening import model_in_words

if TYPE_CHECKING:
    import pandas as pd

NUM_SHOWN = 16
# As in conf/sample.yaml.
BATCH_SIZE = 500


class Loaded:
    """The parts of a run, its record and its picture."""

    def __init__(self, loaded: LoadedRun) -> None:
        self._loaded = loaded

    @property
    def directory(self) -> Path:
        """The run directory, or the folder of weights."""
        return self._loaded.run_dir

    @property
    def config(self) -> DictConfig:
        """The configuration of the model, its data and its scores."""
        return self._loaded.config

    @property
    def record(self) -> dict[str, Any]:
        """The contents of run.json: status, versions, times, scores."""
        return runs.read_record(self.directory)

    @property
    def epoch(self) -> int:
        """The number of epochs that the weights were trained."""
        return self._loaded.epoch

    @property
    def restorer(self) -> Restorer:
        """The model, ``(x_t, t) -> x_0_hat``; the average of its weights where one is kept."""
        return self._loaded.experiment.restorer

    @property
    def degradation(self) -> Degradation:
        """The forward process, ``(x_0, t, noise) -> x_t``."""
        return self.restorer.degradation

    @property
    def sampler(self) -> Sampler[Any]:
        """The run's own sampler."""
        return self._loaded.experiment.sampler

    @property
    def prior(self) -> Prior[Any]:
        """The distribution of x_T."""
        return self._loaded.experiment.module.prior

    @property
    def num_steps(self) -> int:
        """T, the number of steps of the degradation."""
        return self.degradation.num_steps

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        return self._loaded.experiment.data.image_shape

    @property
    def pixel_range(self) -> PixelRange:
        """(low, high) of the floats that stand for 0 and 255 within the model."""
        return self.restorer.pixel_range

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.restorer.device

    @cached_property
    def data(self) -> ImageDataModule:
        """The run's images, read now: ``test_images``, uint8 ``[N, C, H, W]``, ``test_labels``, ...

        ValueError where the data is not there.
        """
        data = self._loaded.experiment.data
        with as_input_errors():
            data.setup()
        return data

    @property
    def history(self) -> "pd.DataFrame":
        """metrics.csv, a row an epoch: ``epoch``, ``step``, ``train/loss``, ``val/fid``, ...

        ValueError for a run without that file, such as a folder of weights.
        """
        # Imported here: it takes most of a second.
        import pandas as pd

        path = self.directory / runs.METRICS
        if not path.is_file():
            raise ValueError(f"no history: {path} is missing")
        return pd.read_csv(path)

    def show(self) -> None:
        """Show the run: a grid of samples, and its scores with their number N and floors."""
        try:
            from IPython.display import display
        except ImportError:
            print(self)
        else:
            display(self)

    def __repr__(self) -> str:
        """One line: what it is, how long it was trained, its final scores."""
        scores = scores_in_words(table.GENERATED, self._final_scores, "final/")
        words = f"{scores}  N {self._final_scores['final/n']}" if scores else "no scores"
        model = model_in_words(self.restorer)
        return f"Run({runs.shown(self.directory)}: {model}, epoch {self.epoch}; {words})"

    def _repr_html_(self) -> str:
        model = f"{model_in_words(self.restorer)}, epoch {self.epoch}"
        title = f"<b>{html.escape(str(runs.shown(self.directory)))}</b><br>{html.escape(model)}"
        return f"{title}<br>{as_html(self._grid)}{scores_table(self._final_scores, 'final/')}"

    @cached_property
    def _grid(self) -> Image.Image:
        """The newest grid of the training, or samples drawn now for a run without grids."""
        newest = max((self.directory / runs.SAMPLES).glob("epoch_*.png"), default=None)
        if newest is not None:
            with Image.open(newest, formats=("PNG",)) as image:
                return image.copy()
        labels = draw_labels(self.restorer, NUM_SHOWN, 0)
        return grid(generated_images(self._loaded.experiment, NUM_SHOWN, NUM_SHOWN, 0, labels))

    @property
    def _final_scores(self) -> dict[str, Any]:
        return self.record.get("final_scores") or {}
