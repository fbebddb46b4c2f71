"""What TensorBoard shows beside scalars: hyperparameters, a scores dashboard, the config."""

from collections.abc import Container, Mapping
from typing import Any

import pytorch_lightning as pl
import yaml
from omegaconf import OmegaConf
from pytorch_lightning.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from thaw.groups import HYPERPARAMETERS
from thaw.metrics import table
from thaw.privates.torch_tensorboard import add_summary

# Columns that HPARAMS shows before any others are ticked.
SHOWN_FIRST = (
    "degradation",
    "model.activation",
    "schedule.timesteps",
    "optimizer.lr",
    "seed",
)
# Values of the configuration, with what stands where a run has none; one type for each column.
VALUES: dict[str, float | str] = {
    "schedule.timesteps": 0.0,
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
        *(f"final/{score.name}" for score in generated),
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


class TensorBoardPages(pl.Callback):
    """Writes the HPARAMS entry, the custom-scalars dashboard and the configuration at the start."""

    def __init__(self, config: Mapping[str, Any], choices: Mapping[str, str], encoder: str) -> None:
        self.config = config
        self.choices = choices
        self.encoder = encoder
        self.end: Summary | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        values = hyperparameters(self.config, self.choices) | {"encoder": self.encoder}
        experiment, start, self.end = hparams(values, dict.fromkeys(metrics(), 0.0))
        _show_first(experiment, SHOWN_FIRST)
        for writer in writers(trainer):
            for summary in (experiment, start):
                add_summary(writer, summary)
            writer.add_custom_scalars(layout())
            text = yaml.safe_dump(dict(self.config), sort_keys=False)
            writer.add_text("config", "    " + text.replace("\n", "\n    "))

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for writer in writers(trainer):
            add_summary(writer, self.end)


def _show_first(experiment: Summary, columns: Container[str]) -> None:
    """Mark columns of the HPARAMS tab as those that differ, which it shows before the others."""
    plugin = experiment.value[0].metadata.plugin_data
    contents = HParamsPluginData.FromString(plugin.content)
    for info in contents.experiment.hparam_infos:
        info.differs = info.name in columns
    plugin.content = contents.SerializeToString()


def hyperparameters(
    config: Mapping[str, Any], choices: Mapping[str, str]
) -> dict[str, float | str]:
    """The HPARAMS columns, identical keys in every run and never None."""
    columns: dict[str, float | str] = {
        group: choices.get(group) or "-" for group in HYPERPARAMETERS
    }
    values = OmegaConf.create(dict(config))
    columns |= {path: _plain(OmegaConf.select(values, path), VALUES[path]) for path in VALUES}
    if "schedule" not in config["degradation"]:  # composed, but without effect
        columns |= {"schedule": "-", "schedule.timesteps": 0.0}
    return columns


def _plain(value: Any, absent: float | str) -> float | str:
    if value is None:
        return absent
    return str(value) if isinstance(absent, str) else float(value)


def writers(trainer: pl.Trainer) -> list[SummaryWriter]:
    """The TensorBoard writers of a trainer, none on ranks other than zero."""
    if not trainer.is_global_zero:
        return []
    return [log.experiment for log in trainer.loggers if isinstance(log, TensorBoardLogger)]
