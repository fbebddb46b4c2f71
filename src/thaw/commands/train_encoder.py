"""python train_encoder.py: the classifier whose features scores are computed on, for any data."""

import logging
from pathlib import Path

import torch
from omegaconf import DictConfig

from thaw.commands.errors import as_input_errors
from thaw.commands.keys import check_read
from thaw.commands.trained import device
from thaw.data.module import ImageDataModule
from thaw.metrics.train_encoder import train_and_write
from thaw.training.nodes import check_keys, create
from thaw.training.opening import data_in_words, device_in_words, num_images

log = logging.getLogger(__name__)


def main(cfg: DictConfig) -> None:
    """Train an encoder on the data's training images and write it, its reference and its card."""
    with as_input_errors():
        data, where = _prepare(cfg)
        data.setup()
        if data.num_classes < 2:
            raise ValueError(
                f"an encoder learns to tell classes apart, and {data.name} has one: put its images "
                "into a folder for each class, or use metrics=inception or metrics=none"
            )
    log.info(
        "%s: data %s in %d classes; on %s; to do: train a classifier for %d epochs, then floors",
        cfg.out,
        data_in_words(data, num_images(data)),
        data.num_classes,
        device_in_words(where),
        cfg.epochs,
    )
    files = train_and_write(
        data.train_images,
        data.train_labels,
        data.test_images,
        data.test_labels,
        data.num_classes,
        data.source.name,
        Path(cfg.out),
        cfg.seed,
        cfg.epochs,
        where,
    )
    log.info("accuracy    %.2f %% on the test images", 100 * files.test_accuracy)
    log.info("encoder     %s, its reference and model card beside it", files.encoder)
    log.info(
        "use it      python train.py data=%s metrics=mnist metrics.encoder=%s",
        data.name,
        files.encoder,
    )


def check(cfg: DictConfig) -> list[Path]:
    """Refuse a configuration that cannot give an encoder; returns the file that would hold it."""
    data, _ = _prepare(cfg)
    return [Path(cfg.out) / f"{data.source.name}.safetensors"]


def _prepare(cfg: DictConfig) -> tuple[ImageDataModule, torch.device]:
    check_read(cfg)
    check_keys(cfg)
    where = device(cfg.device)
    data: ImageDataModule = create(cfg.data)
    return data, where
