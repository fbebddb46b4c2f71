"""A trained run, and all that can be done with it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import torch
from annotated_types import Ge, Interval
from torch import Generator, Tensor

from thaw import ranks
from thaw.api.errors import as_value_errors
from thaw.api.loaded import BATCH_SIZE, NUM_SHOWN, Loaded
from thaw.api.pictures import in_words
from thaw.checks import Count, Seed, check, checked
from thaw.commands.choices import make_sampler
from thaw.commands.errors import InputError
from thaw.commands.evaluate import generated_scores
from thaw.diffusion.generation import draw_labels
from thaw.diffusion.restoration import Restoration, degraded
from thaw.diffusion.samplers.base import Sampler, State
from thaw.seeding import generator
from thaw.training.experiment import Experiment, check_sampler
from thaw.training.generating import (
    Start,
    drawn_start,
    generated_images,
    generated_states,
    labels_in_turn,
    states_from,
)
from thaw.training.rivals import rivals_of
from thaw.training.scoring_generated import warn_of_misfit

Digit = int | Sequence[int] | Tensor


class Run(Loaded):
    """A trained model with its degradation, sampler, prior and data; :func:`thaw.load` makes one.

    Images are uint8 tensors ``[N, C, H, W]`` on the CPU, 0 to 255, everywhere: as data sets, files
    and ``samples.npz`` hold them. Of a run on pairs ``degrade`` and ``restore`` take ``[N, 2C, H,
    W]``, clean and then degraded, and of data with a ``value_range`` float32, 0 to 255 for its
    ends, which they return too. Those given must have the run's size and number of channels
    (``run.image_shape``). The parts from ``thaw.diffusion`` (``run.restorer``, ``run.degradation``,
    ``run.sampler``, ``run.prior``) work on floats in ``run.pixel_range`` on ``run.device``.

    What is drawn depends on ``seed`` alone, and is what the commands draw for the same seed.
    """

    @checked
    def sample(
        self,
        num_images: Count | None = None,
        *,
        start: Start | None = None,
        digit: Digit | None = None,
        sampler: str | Sampler[Any] | None = None,
        num_steps: Count | None = None,
        seed: Seed = 0,
        batch_size: Count = BATCH_SIZE,
        **settings: Any,
    ) -> Tensor:
        """Generated images, uint8 ``[N, C, H, W]``: those of ``sample.py`` with the same arguments.

        Args:
            num_images: N; None is 16, or as many as ``start`` has.
            start: the x_T to start from and its noise, as :meth:`draw` gives them; None draws them.
            digit: the class of every image of a class-conditional model, or a list of classes that
                take turns; None draws them by their shares of the training images.
            sampler: a choice of the group ``sampler``, such as ``ddim``, or a
                :class:`~thaw.diffusion.Sampler`; None is the run's own.
            num_steps: its steps, 1..T; None leaves them.
            seed: seed for all that is drawn.
            batch_size: images generated at once, on which the draws depend too.
            settings: other settings of the sampler, such as ``guidance=2`` or ``eta=0.5``.

        Raises:
            ValueError: a value that is not allowed, or that does not fit the run.
        """
        experiment = self._with(sampler, num_steps, settings)
        size = self._size(num_images, start)
        labels = self._labels(digit, size, seed)
        if start is not None:
            *_, last = self._states_from(experiment, start, seed, labels)
            return last.x_t
        warn_of_misfit(experiment)
        return generated_images(experiment, size, batch_size, seed, labels)

    @checked
    def trajectory(
        self,
        num_images: Count | None = None,
        *,
        start: Start | None = None,
        digit: Digit | None = None,
        sampler: str | Sampler[Any] | None = None,
        num_steps: Count | None = None,
        seed: Seed = 0,
        **settings: Any,
    ) -> list[State]:
        """Every state ``(t, x_t, x_0_hat)`` on the way to the images of :meth:`sample`.

        From ``t = T``, where ``x_0_hat`` is None, to ``t = 0``, where ``x_t`` is what ``sample``
        returns in one batch. Images are uint8 ``[N, C, H, W]``, clamped to what can be shown.
        Arguments and errors as :meth:`sample`.
        """
        experiment = self._with(sampler, num_steps, settings)
        size = self._size(num_images, start)
        labels = self._labels(digit, size, seed)
        if start is not None:
            return list(self._states_from(experiment, start, seed, labels))
        return generated_states(experiment, size, self._draws(seed), labels)

    @checked
    def draw(
        self, num_images: Count = NUM_SHOWN, *, digit: Digit | None = None, seed: Seed = 0
    ) -> Start:
        """(x_T, noise) from the prior, where :meth:`sample` with the same seed starts in one batch.

        Several samplers, or several seeds of one, may start from them: ``run.sample(start=...)``.
        x_T ``[N, C, H, W]`` are floats in ``run.pixel_range`` (noise goes beyond) on
        ``run.device``. Arguments and errors as :meth:`sample`.
        """
        labels = self._labels(digit, num_images, seed)
        return drawn_start(self._loaded.experiment, num_images, self._draws(seed), labels)

    @checked
    def degrade(
        self,
        images: Tensor,
        t: int | None = None,
        *,
        seed: Seed = 0,
        batch_size: Count = BATCH_SIZE,
    ) -> Tensor:
        """x_t of clean images, uint8 ``[N, C, H, W]``, clamped to what can be shown.

        Args:
            images: uint8 ``[N, C, H, W]`` of the run's size, or as ``run.data`` has them.
            t: the step, 0 (clean) to T; None is T.
            seed: seed for the noise.
            batch_size: images degraded at once, on which the noise depends too.

        Raises:
            ValueError: images of another type or size, or no such step.
        """
        given = self._checked(images, self._loaded.experiment.data.stored_shape)
        step = self.num_steps if t is None else t
        check("t", step, Annotated[int, Interval(ge=0, le=self.num_steps)])
        batches = ranks.WHOLE.batches(len(given), batch_size)
        found = (degraded(self.restorer, given, step, batch, seed)[1] for batch in batches)
        return torch.cat([self._as_given(x_t) for x_t in found])

    @checked
    def restore(
        self,
        images: Tensor,
        t: int | None = None,
        *,
        is_degraded: bool = False,
        digit: Digit | None = None,
        sampler: str | Sampler[Any] | None = None,
        num_steps: Count | None = None,
        refine: bool = False,
        seed: Seed = 0,
        batch_size: Count = BATCH_SIZE,
        against: "Run | None" = None,
        methods: Sequence[str] | None = None,
        zero_shot: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> dict[str, Tensor]:
        """Images degraded to step t and brought back, as by ``sample.py task=restore``.

        Args:
            images: uint8 ``[N, C, H, W]`` of the run's size, clean, or as ``run.data`` has them.
            t: the step, 1 to T; None is T.
            is_degraded: whether the images are at step t already, which only a degradation without
                noise allows.
            digit: their classes, for a class-conditional model: one, or N of them (a list or an
                int64 tensor ``[N]``).
            sampler: as for :meth:`sample`.
            num_steps: as for :meth:`sample`.
            refine: whether a last pass R(x_0, 1) is a stage of its own.
            seed: seed for the noise and all else that is drawn.
            batch_size: images restored at once, on which the draws depend too.
            against: a run of Gaussian noise that restores the same degraded images too.
            methods: how it does: ``repaint``, ``ddnm``, ``dps``, or several; None is all that fit.
            zero_shot: their settings, ``{"num_steps": 50}``, as in ``sample.py``.
            settings: as for :meth:`sample`.

        Returns:
            Each stage by name, uint8 ``[N, C, H, W]``: ``original``, ``degraded``, ``direct``, then
            ``algorithm_1`` and ``algorithm_2`` of Bansal et al. 2022, or ``sampled``, then the
            methods of ``against`` by their names.

        Raises:
            ValueError: images of another type or size, no such step, or labels are missing.
        """
        data = self._loaded.experiment.data
        given = self._checked(images, data.image_shape if is_degraded else data.stored_shape)
        chosen = self._with(sampler, num_steps, settings).sampler
        rivals = []
        if against is not None:
            if is_degraded:
                raise ValueError("against restores what is degraded here: leave out is_degraded")
            if against.device != self.device:
                raise ValueError(f"both runs must be on {self.device}: load(..., device=...)")
            rivals = rivals_of(self._loaded, against._loaded, methods, zero_shot)
        elif methods or zero_shot:
            raise ValueError("methods and zero_shot need against, a run of Gaussian noise")
        restoration = Restoration(self.restorer, chosen, t, refine, rivals)
        if is_degraded:
            restoration.check_degraded(self.image_shape)
        labels = None if digit is None else self._labels(digit, len(given), seed)
        batches = restoration.batches(given, batch_size, seed, is_degraded, labels=labels)
        parts = [
            {name: self._as_given(stage) for name, stage in stages.items()} for stages in batches
        ]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    @checked
    def scores(
        self,
        num_images: Annotated[int, Ge(2)] = 1000,
        *,
        sampler: str | Sampler[Any] | None = None,
        num_steps: Count | None = None,
        num_draws: Count = 1,
        seed: Seed = 0,
        batch_size: Count = BATCH_SIZE,
        **settings: Any,
    ) -> dict[str, Any]:
        """Scores of generated images, as ``evaluate.py`` has them under ``generated``.

        ``fid``, ``is_mean``, ``kid``, ... with what real test images score at the same number N
        (``fid_floor``, ...), and how they were measured: ``n``, ``encoder``, ``sampler``,
        ``images``, ``seed``. With several draws of ``num_images`` images they are means, with
        their standard errors (``fid_error``, ...) and the scores of each draw (``draws``). On a
        CPU a sampler that was not given its steps takes at most 30.
        Arguments as :meth:`sample`.

        Raises:
            ValueError: the run has no encoder (``metrics=none``), or a value is not allowed.
        """
        chosen = replace(self._loaded, experiment=self._with(sampler, num_steps, settings))
        return generated_scores(chosen, num_images, batch_size, seed, num_draws)

    def _with(
        self, sampler: str | Sampler[Any] | None, num_steps: int | None, settings: dict[str, Any]
    ) -> Experiment:
        """The experiment with the sampler of a call, checked to fit the model."""
        if num_steps is not None:
            settings = settings | {"num_steps": num_steps}
        if sampler is None and not settings:
            return self._loaded.experiment
        with as_value_errors(command="sample"):
            if not isinstance(sampler, Sampler):
                sampler = make_sampler(self.config.sampler, sampler, settings)
            elif settings:
                raise InputError(f"a Sampler has its own settings: give it {', '.join(settings)}")
            check_sampler(sampler, self.restorer)
        return replace(self._loaded.experiment, sampler=sampler)

    def _size(self, num_images: int | None, start: Start | None) -> int:
        """The number of images of a call, whose start fits the model if there is one."""
        if start is None:
            return num_images or NUM_SHOWN
        x_T, noise = start
        shape = self.image_shape
        if not x_T.is_floating_point() or x_T.shape[1:] != shape or len(x_T) != len(noise):
            sizes = ", ".join(map(str, shape))
            raise ValueError(
                f"start must be (x_T, noise) as run.draw() gives them: x_T floats [N, {sizes}], "
                f"noise [N, ...], got {in_words(x_T)} and {in_words(noise)}"
            )
        if num_images not in (None, len(x_T)):
            raise ValueError(f"num_images={num_images}, but start has {len(x_T)}: leave it out")
        return len(x_T)

    def _states_from(
        self, experiment: Experiment, start: Start, seed: int, labels: Tensor | None
    ) -> Iterator[State]:
        return states_from(experiment, start, self._draws(seed), labels)

    def _draws(self, seed: int) -> Generator:
        return generator(seed, "generate", 0, device=self.device)

    def _labels(self, digit: Digit | None, num_images: int, seed: int) -> Tensor | None:
        """The class of each image, int64 ``[N]``: those given, else drawn; None without classes."""
        if digit is None:
            return draw_labels(self.restorer, num_images, seed)
        classes = digit.tolist() if isinstance(digit, Tensor) else digit
        return labels_in_turn(self.restorer, classes, num_images, self.directory)

    def _checked(self, images: Tensor, shape: tuple[int, int, int]) -> Tensor:
        dtype = self._loaded.experiment.data.stored_type
        if images.dtype != dtype or images.shape[1:] != shape or not len(images):
            kind, sizes = str(dtype).removeprefix("torch."), ", ".join(map(str, shape))
            raise ValueError(f"images must be {kind} [N, {sizes}], got {in_words(images)}")
        return images

    def _as_given(self, x: Tensor) -> Tensor:
        """Images as the run's data set keeps them, without partners, on the CPU."""
        is_of_bytes = self._loaded.experiment.data.stored_type == torch.uint8
        return (self.pixel_range.to_uint8 if is_of_bytes else self.pixel_range.to_levels)(x).cpu()
