"""What a run tells a logger beside its scalars; needs no Lightning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

if TYPE_CHECKING:
    import pytorch_lightning as pl
    from matplotlib.figure import Figure


class Adapter:
    """A logger of Lightning's; this one holds scalars and the configuration, and no pictures.

    Scalars of an epoch go to the logger itself. ``is_over`` says that training has ended, after
    which there are final scores and restorations.

    package: what must be installed, by the name it is imported by; empty for nothing.
    extra: of thaw, which installs it.
    id_key: the argument of the logger's class that goes on with an earlier run; empty for none.
    """

    package: ClassVar[str] = ""
    extra: ClassVar[str] = ""
    id_key: ClassVar[str] = ""

    def __init__(self, logger: Any, trainer: pl.Trainer, is_over: bool = False) -> None:
        self.logger = logger
        self.trainer = trainer
        self.is_over = is_over

    @property
    def step(self) -> int:
        """The latest step of the optimiser, over which curves are drawn."""
        return int(self.trainer.global_step)

    @classmethod
    def prepare(cls, logger: Any, name: str, resumed_at: int | None) -> None:
        """Before the first row, in the first process: ``name`` is the run's, ``resumed_at`` the
        step of the checkpoint that it goes on from, None for a run that starts.
        """

    def log_config(self, config: Mapping[str, Any], columns: Mapping[str, float | str]) -> None:
        """The whole configuration, and ``columns`` that a table of several runs shows."""
        self.logger.log_hyperparams({**config, "columns": dict(columns)})

    def log_series(self, name: str, values: Sequence[float], first: int) -> None:
        """Numbers of the steps ``first``, first + 1, ..."""
        for step, value in enumerate(values, start=first):
            self.logger.log_metrics({name: value}, step)

    def log_images(self, name: str, grid: Tensor, epoch: int) -> None:
        """A grid of images, uint8 ``[C, H, W]``."""

    def log_figure(self, name: str, figure: Figure, epoch: int = 0) -> None:
        """A figure, which stays open."""

    def log_scores(self, scores: Mapping[str, float], epoch: int) -> None:
        """Scores after training, by names such as ``final/fid``."""
        self.logger.log_metrics(dict(scores), self.step)
        self.flush()

    def log_end(self) -> None:
        """Training has come to its end."""

    def flush(self) -> None:
        """Have on the disk what was logged before."""
        self.logger.save()

    def close(self, failed: bool) -> None:
        """The run has ended; nothing is logged after this."""
