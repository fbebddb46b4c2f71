"""Weights & Biases, MLflow and Comet, each on a server or on this machine alone."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from thaw.reporting.images import to_pil
from thaw.training.loggers.adapter import Adapter

# MLflow takes so many parameters in one call.
MOST = 1000


class Wandb(Adapter):
    """Weights & Biases; final scores are the run's summary, a column each and no curve."""

    package = extra = "wandb"
    id_key = "id"

    def log_images(self, name: str, grid: Tensor, epoch: int) -> None:
        self.logger.log_image(name, [to_pil(grid)], step=self.step)

    def log_figure(self, name: str, figure: Figure, epoch: int = 0) -> None:
        self.logger.log_image(name, [figure], step=self.step)

    def log_scores(self, scores: Mapping[str, float], epoch: int) -> None:
        self.logger.experiment.summary.update(dict(scores))

    def close(self, failed: bool) -> None:
        self.logger.experiment.finish(exit_code=int(failed))


class MLflow(Adapter):
    """MLflow; pictures are artifacts of the run."""

    package = extra = "mlflow"
    id_key = "run_id"

    @classmethod
    def prepare(cls, logger: Any, name: str, resumed_at: int | None) -> None:
        if resumed_at is not None:
            logger.experiment.update_run(logger.run_id, status="RUNNING")

    def log_config(self, config: Mapping[str, Any], columns: Mapping[str, float | str]) -> None:
        # A parameter cannot change, as trainer.max_epochs may on resume.
        if not self.logger.experiment.get_run(self.logger.run_id).data.params:
            super().log_config(config, columns)

    def log_series(self, name: str, values: Sequence[float], first: int) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(name, value, now, step) for step, value in enumerate(values, start=first)]
        for k in range(0, len(metrics), MOST):
            some = metrics[k : k + MOST]
            self.logger.experiment.log_batch(self.logger.run_id, metrics=some)

    def log_images(self, name: str, grid: Tensor, epoch: int) -> None:
        image = to_pil(grid)
        self.logger.experiment.log_image(self.logger.run_id, image, key=name, step=self.step)

    def log_figure(self, name: str, figure: Figure, epoch: int = 0) -> None:
        self.logger.experiment.log_figure(self.logger.run_id, figure, f"figures/{name}.png")

    def close(self, failed: bool) -> None:
        # Lightning has said how training ended; scores may fail after it.
        if failed:
            self.logger.experiment.set_terminated(self.logger.run_id, "FAILED")


class Comet(Adapter):
    """Comet."""

    package, extra = "comet_ml", "comet"
    id_key = "experiment_key"

    @classmethod
    def prepare(cls, logger: Any, name: str, resumed_at: int | None) -> None:
        logger.experiment.set_name(name)

    def log_images(self, name: str, grid: Tensor, epoch: int) -> None:
        self.logger.experiment.log_image(to_pil(grid), name=name, step=self.step)

    def log_figure(self, name: str, figure: Figure, epoch: int = 0) -> None:
        self.logger.experiment.log_figure(name, figure, step=self.step)

    def close(self, failed: bool) -> None:
        self.logger.experiment.end()
