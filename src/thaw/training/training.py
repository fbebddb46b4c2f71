"""One training, from a configuration to the last score; it needs no command line."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig

from thaw import runs, storage
from thaw.diffusion.restoration import Restoration
from thaw.provenance import processor, versions
from thaw.ranks import Portion
from thaw.training import opening
from thaw.training.callbacks.checkpoints import Checkpoints, StepsAreOver, StopAfterStep
from thaw.training.callbacks.configuration import LogConfiguration
from thaw.training.callbacks.ending import AfterLast, early_end
from thaw.training.callbacks.epoch_scores import EpochScores
from thaw.training.callbacks.guard import Guard
from thaw.training.callbacks.losses import LossLog
from thaw.training.callbacks.pruning import Pruning
from thaw.training.callbacks.restorations import Restorations
from thaw.training.callbacks.run_files import RunFiles
from thaw.training.callbacks.scores import Scores
from thaw.training.checkpoint_files import read_checkpoint
from thaw.training.checkpoint_io import CheckpointFiles
from thaw.training.compatibility import check_fits
from thaw.training.experiment import (
    build,
    check_classes,
    check_optimizer,
    compile_networks,
    fit_prior,
    resolved,
)
from thaw.training.final_scores import final_scores
from thaw.training.initial import Initial
from thaw.training.loaders import Loaders
from thaw.training.loggers.adapter import Adapter
from thaw.training.loggers.opening import adapters, check_installed, open_loggers
from thaw.training.memory import check_memory
from thaw.training.module import DiffusionModule
from thaw.training.nodes import create, members
from thaw.training.scoring_generated import warn_of_misfit
from thaw.training.scoring_restored import check_restored, final_restoration

log = logging.getLogger(__name__)


class NothingTrainedError(ValueError):
    """Training failed before the end of its very first step."""


class Training:
    """A run: its objects when it is created, then its data, then training, then its last scores.

        training = Training(cfg, run_dir)
        training.read_data()
        training.prepare()
        training.fit()
        training.score()

    ``choices``, the choice in each configuration group, are for loggers and run.json; a run of
    a search has its ``pruning``. A mistake in the configuration is a ValueError before any data is
    read or anything written.
    """

    def __init__(
        self,
        cfg: DictConfig,
        run_dir: Path,
        choices: Mapping[str, str] | None = None,
        pruning: Pruning | None = None,
    ) -> None:
        pl.seed_everything(cfg.seed, verbose=False)
        self.cfg = cfg
        self.run_dir = run_dir
        self.choices = dict(choices or {})
        self.pruning = pruning
        self.ended_by: str | None = None
        self.provenance: dict[str, Any] = {"config": resolved(cfg), "versions": versions()}
        self.experiment = build(cfg, self.provenance)
        check_optimizer(self.experiment.module)
        check_installed(cfg)
        self.module = DiffusionModule.of(self.experiment.module)
        self.loaders = Loaders(self.experiment.data)
        check_classes(self.experiment.module.restorer, self.experiment.data)
        check_restored(cfg.metrics, self.experiment)
        check_memory(self.experiment.module.restorer, self.experiment.data)
        self.encoder = self.experiment.suite.encoder.name if self.experiment.suite else "none"
        self.scores = self._make_scores()
        self.trainer = self._make_trainer()
        self.checkpoint: Path | None = None
        self.adapters: list[Adapter] = []

    @property
    def device(self) -> torch.device:
        """Where this process trains."""
        device: torch.device = self.trainer.strategy.root_device
        return device

    @property
    def restored_stages(self) -> tuple[str, ...]:
        """The ways back from x_T that each epoch scores; none where x_T shows nothing of x_0."""
        restorer = self.experiment.restorer
        if not self.cfg.metrics.num_restored_each_epoch or restorer.degradation.leaves_nothing:
            return ()
        return Restoration(restorer, self.experiment.score_sampler).stages[1:]

    def read_data(self) -> None:
        """Read the images, and say in one line what is to be done."""
        data, trainer = self.experiment.data, self.trainer
        data.setup()
        self.provenance["dataset"] = data.identity
        log.info(
            opening.LINE,
            runs.shown(self.run_dir),
            opening.data_in_words(data, opening.num_images(data)),
            opening.model_in_words(self.experiment.module.restorer),
            opening.device_in_words(self.device, trainer.world_size),
            opening.training_in_words(self.cfg),
        )

    def prepare(self, checkpoint: Path | None = None, initial: Initial | None = None) -> None:
        """Whatever is learnt before the first step, once the data is read.

        ValueError where ``checkpoint``, to go on from, is of another model or other classes, or
        where nothing of ``initial``, to start from, fits.
        """
        experiment, trainer = self.experiment, self.trainer
        module, data, suite = self.module, experiment.data, experiment.suite
        self.checkpoint = checkpoint
        if checkpoint is not None and (earlier := check_fits(checkpoint, module)):
            self.provenance["dataset"]["earlier"] = earlier
        started = {} if initial is None else {"init_from": initial.start(module)}
        module.restorer.fit(data.train_images)
        module.restorer.fit_labels(data.train_labels)
        fit_prior(experiment)
        if suite is not None and suite.reference is None:
            suite.fit_reference(data.shown(data.train_images), data.shown(data.test_images))
        self.provenance["encoder"] = self.encoder
        # Lightning would do so after loading a checkpoint, whose doubles it would round.
        trainer.precision_plugin.convert_module(module)
        if self.cfg.compile:
            compile_networks(experiment, self.device, trainer.accumulate_grad_batches > 1)
        runs.update_record(
            self.run_dir,
            {
                "dataset": self.provenance["dataset"],
                "num_images": opening.num_images(data),
                "encoder": self.encoder,
                "choices": self.choices,
                "cpu": processor(),
                "device": opening.device_in_words(self.device),
                "num_threads": torch.get_num_threads(),
                "num_parameters": sum(p.numel() for p in experiment.restorer.network.parameters()),
            }
            | started,
        )
        warn_of_misfit(experiment)

    def end_after(self, num_epochs: int) -> None:
        """Train so many epochs in place of ``trainer.max_epochs``; before :meth:`fit`."""
        self.cfg.trainer.max_epochs = num_epochs
        self.provenance["config"]["trainer"]["max_epochs"] = num_epochs
        self.trainer.fit_loop.max_epochs = num_epochs

    def fit(self) -> None:
        """Train; NothingTrainedError where it fails before the end of the very first step."""
        # Imported here: in a notebook it warns of missing widgets, which thaw.train keeps quiet.
        from tqdm.contrib.logging import logging_redirect_tqdm

        module, loaders, trainer = self.module, self.loaders, self.trainer
        try:
            trainer.loggers = open_loggers(self.cfg, self.run_dir, self._steps_before())
            with self._timed(), logging_redirect_tqdm(), storage.writing(self.run_dir):
                trainer.fit(
                    module, datamodule=loaders, ckpt_path=self.checkpoint, weights_only=True
                )
        except OSError:
            raise
        except Exception as error:
            if self._has_trained():
                raise
            progress = trainer.fit_loop.epoch_loop.batch_progress.total
            has_begun = progress.ready > progress.completed
            is_of_step = has_begun and not isinstance(error, MisconfigurationException)
            what = "the first step fails: " if is_of_step else ""
            message = " ".join(str(error).split()) or repr(error)
            raise NothingTrainedError(what + message) from error
        module.to(self.device).eval()  # Lightning has moved it to the CPU
        self.ended_by = end = early_end(trainer, self.cfg.trainer)
        ended = f", ended by {end}" if end else ""
        log.info(
            "trained to epoch %d in %s%s", trainer.current_epoch, _duration(self.seconds), ended
        )
        runs.update_record(self.run_dir, {runs.ENDED_BY: end})

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Add the seconds of training to those of the run's earlier parts, in run.json."""
        before, start = runs.read_record(self.run_dir).get("training_s", 0), time.perf_counter()
        try:
            yield
        finally:
            self.seconds = before + time.perf_counter() - start
            runs.update_record(self.run_dir, {"training_s": round(self.seconds, 1)})

    def score(self) -> None:
        """The final scores of generated and of restored images, into run.json and the log.

        A run that a search has ended early is not worth their time.
        """
        if runs.is_pruned({runs.ENDED_BY: self.ended_by}):
            return
        trainer = self.trainer
        portion = Portion(trainer.global_rank, trainer.world_size)
        last = (self.cfg.seed, trainer.current_epoch, portion)
        self.adapters = adapters(trainer, is_over=True)
        final_scores(self.experiment, self.cfg.metrics, self.run_dir, *last, self.adapters)
        final_restoration(self.experiment, self.cfg.metrics, self.run_dir, *last, self.adapters)
        self.close()

    def close(self, failed: bool = False) -> None:
        """Have the loggers send what they hold, and say how the run ended; once."""
        for adapter in self.adapters or adapters(self.trainer):
            adapter.close(failed)
        self.adapters, self.trainer.loggers = [], []

    def _has_trained(self) -> bool:
        if self.checkpoint is None:
            progress = self.trainer.fit_loop.epoch_loop.batch_progress.total
            return self.trainer.global_step > 0 or progress.completed > 0
        # The batches of the checkpoint count as completed.
        return self.trainer.global_step > (self._steps_before() or 0)

    def _steps_before(self) -> int | None:
        """The step of the checkpoint that training goes on from; None where it starts."""
        if self.checkpoint is None:
            return None
        step: int = read_checkpoint(self.checkpoint).get("global_step", 0)
        return step

    def _make_scores(self) -> list[EpochScores]:
        metrics, experiment = self.cfg.metrics, self.experiment
        suite, sampler = experiment.suite, experiment.score_sampler
        shared = {
            "every_n_epochs": metrics.every_n_epochs,
            "batch_size": metrics.batch_size,
            "seed": self.cfg.seed,
        }
        scores: list[EpochScores] = []
        if suite is not None and metrics.num_samples > 0:
            scores.append(Scores(suite, sampler, metrics.num_samples, **shared))
        if self.restored_stages:
            restored = (experiment.data, metrics.num_restored_each_epoch)
            scores.append(Restorations(*restored, sampler, suite, **shared))
        return scores

    def _make_trainer(self) -> pl.Trainer:
        """Lightning's trainer, its callbacks in an order that matters.

        Signals end the run at once when an epoch's steps are over; broken numbers end it before
        they are logged; losses and scores are logged before whatever reads them (the chosen
        callbacks, early stopping); RunFiles writes what all of these have logged, and the
        checkpoint comes last. Lightning keeps this order, but calls those that are a ``Checkpoint``
        (AfterLast and what follows it here) after all others.
        """
        cfg, experiment = self.cfg, self.experiment
        context = {
            "run_dir": self.run_dir,
            "sampler": experiment.sampler,
            "data": experiment.data,
            "seed": cfg.seed,
        }
        chosen = {name: create(node, **context) for name, node in members(cfg, "callbacks").items()}
        if not cfg.trainer.get("enable_progress_bar", True):
            chosen.pop("progress", None)
        checkpoints = Checkpoints(self.run_dir, cfg.checkpoint.every_n_steps)
        trainer: pl.Trainer = create(
            cfg.trainer,
            callbacks=[
                StepsAreOver(),
                Guard(self.run_dir, experiment.data),
                LossLog(self.run_dir),
                *self.scores,
                LogConfiguration(self.provenance["config"], self.choices, self.encoder),
                *chosen.values(),
                *([self.pruning] if self.pruning else []),
                AfterLast(),
                RunFiles(self.run_dir, self.scores),
                StopAfterStep(checkpoints),
                checkpoints,
            ],
            plugins=[CheckpointFiles()],
            logger=False,  # some open an entry on a server: not before training
            default_root_dir=self.run_dir,
        )
        return trainer


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
