"""TensorBoard: scalars and pictures, hyperparameters, a scores dashboard, the configuration."""

from collections.abc import Container, Mapping
from functools import cached_property
from typing import Any

import yaml
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from thaw.groups import HYPERPARAMETERS
from thaw.metrics import table
from thaw.privates.torch_tensorboard import add_summary
from thaw.training import event_files
from thaw.training.loggers.adapter import Adapter

# Columns that HPARAMS shows before any others are ticked.
SHOWN_FIRST = (
    "degradation",
    "model.activation",
    "T",
    "optimizer.lr",
    "seed",
)
# The tab has its groups in the order of the alphabet; these single dots come after the curves.
FINAL = "val_final/"
# Values of the configuration, with what stands where a run has none; one type for each column.
VALUES: dict[str, float | str] = {
    "degradation.group_size": 0.0,
    "model.activation": "-",
    "model.hidden": "-",
    "optimizer.lr": 0.0,
    "data.batch_size": 0.0,
    "trainer.max_epochs": 0.0,
    "seed": 0.0,
}


def metrics() -> list[str]:
    """The measured columns of HPARAMS, which shows the first of them."""
    generated, restored = table.GENERATED, table.RESTORED[0].name
    return [
        *(f"val/{score.name}" for score in generated if score.is_main),
        "val/loss",
        "train/loss",
        *(f"{FINAL}{score.name}" for score in generated),
        f"val/{restored}_direct",
        f"val/{restored}_algorithm_2",
    ]


def layout() -> dict[str, dict[str, list[Any]]]:
    """The custom-scalars dashboard: a chart for each score, with its floor."""
    return {
        "Scores": {
            score.title: [
                "Multiline",
                [f"val/{name}$" for name in (score.name, score.floor) if name],
            ]
            for score in table.GENERATED
        },
        # A line for the degraded images and one for each way of restoring them.
        "Restoration": {
            f"{score.title} of restored images": ["Multiline", [rf"val/{score.name}_(?!floor$)"]]
            for score in table.RESTORED
        },
        "Loss": {"Loss": ["Multiline", ["train/loss$", "val/loss$"]]},
    }


class TensorBoard(Adapter):
    """Event files in the run directory; what comes after training has a file of its own.

    That one belongs to no checkpoint, and stays where a longer training goes on.
    """

    @cached_property
    def writer(self) -> SummaryWriter:
        """Torch's writer."""
        if self.is_over:
            return SummaryWriter(self.logger.log_dir, filename_suffix=event_files.FINAL)
        writer: SummaryWriter = self.logger.experiment
        return writer

    def log_config(self, config: Mapping[str, Any], columns: Mapping[str, float | str]) -> None:
        self.logger.log_hyperparams(dict(config))  # hparams.yaml, which would be empty
        experiment, start, _ = hparams(dict(columns), dict.fromkeys(metrics(), 0.0))
        _show_first(experiment, SHOWN_FIRST)
        for summary in (experiment, start):
            add_summary(self.writer, summary)
        self.writer.add_custom_scalars(layout())
        text = yaml.safe_dump(dict(config), sort_keys=False)
        self.writer.add_text("config", "    " + text.replace("\n", "\n    "))

    def log_images(self, name: str, grid: Tensor, epoch: int) -> None:
        self.writer.add_image(name, grid, epoch)

    def log_figure(self, name: str, figure: Figure, epoch: int = 0) -> None:
        self.writer.add_figure(name, figure, epoch, close=False)

    def log_scores(self, scores: Mapping[str, float], epoch: int) -> None:
        for name, value in scores.items():
            self.writer.add_scalar(name.replace("final/", FINAL), value, epoch)
        self.writer.flush()

    def log_end(self) -> None:
        add_summary(self.writer, hparams({}, {})[2])

    def close(self, failed: bool) -> None:
        if self.is_over and "writer" in vars(self):
            self.writer.close()


def _show_first(experiment: Summary, columns: Container[str]) -> None:
    """Mark columns of the HPARAMS tab as those that differ, which it shows before the others."""
    plugin = experiment.value[0].metadata.plugin_data
    contents = HParamsPluginData.FromString(plugin.content)
    for info in contents.experiment.hparam_infos:
        info.differs = info.name in columns
    plugin.content = contents.SerializeToString()


def hyperparameters(
    config: Mapping[str, Any], choices: Mapping[str, str], num_steps: int
) -> dict[str, float | str]:
    """The columns of a table of runs, identical keys in every run and never None.

    ``num_steps`` is the T of the degradation, whether or not it has a schedule.
    """
    columns: dict[str, float | str] = {
        group: choices.get(group) or "-" for group in HYPERPARAMETERS
    }
    values = OmegaConf.create(dict(config))
    columns |= {path: _plain(OmegaConf.select(values, path), VALUES[path]) for path in VALUES}
    if "schedule" not in config["degradation"]:  # composed, but without effect
        columns["schedule"] = "-"
    return columns | {"T": float(num_steps)}


def _plain(value: Any, absent: float | str) -> float | str:
    if value is None:
        return absent
    return str(value) if isinstance(absent, str) else float(value)
