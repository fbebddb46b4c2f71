"""What the page does with a run: degrade an image, restore it, generate others, step by step."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, NamedTuple, TypeVar

from annotated_types import Interval
from torch import Tensor

from thaw import ranks, runs
from thaw.checks import Seed, check, checked
from thaw.diffusion.generation import draw_labels, trajectory
from thaw.diffusion.inference import evaluating
from thaw.diffusion.restoration import REFINED, Restoration, degraded, stage_title
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import SAMPLED, Sampler
from thaw.seeding import generator
from thaw.training.experiment import check_sampler
from thaw.training.generating import as_bytes, labels_in_turn
from thaw.training.loading import LoadedRun
from thaw.training.scoring_generated import affordable

S = TypeVar("S")
MAX_IMAGES = 64
OWN = "the run's own"
WHOLE = ranks.WHOLE.batches(1, 1)[0]


class Shown(NamedTuple):
    """How far the work is, in words and as a share, and pictures by name, uint8 [N, C, H, W]."""

    words: str
    share: float
    pictures: dict[str, Tensor]


class Playground:
    """A loaded run, and samplers by name, the first of which is its own.

    Images are uint8 ``[1, C, H, W]``; ``label`` is a class, None for none (to restore) or any (to
    generate). What :meth:`restored` and :meth:`generated` give comes about between two of their
    states, which whoever reads them may do in any thread, and stop at any time.
    """

    def __init__(self, run: LoadedRun, samplers: Mapping[str, Sampler[Any]]) -> None:
        self.run = run
        self.experiment = run.experiment
        self.restorer: Restorer = run.experiment.restorer
        self.samplers = dict(samplers)
        self.image_shape: tuple[int, int, int] = run.experiment.data.image_shape
        self._reading = threading.Lock()
        self.num_steps: int = self.restorer.degradation.num_steps

    @property
    def classes(self) -> list[tuple[str, int]]:
        """The name and number of each class that can be asked for."""
        if self.restorer.num_classes is None:
            return []
        dataset = runs.read_record(self.run.run_dir).get("dataset") or {}
        names = dataset.get("classes") or list(range(self.restorer.num_classes))
        frequencies = self.restorer.class_frequencies.tolist()
        return [(str(name), k) for k, name in enumerate(names) if frequencies[k]]

    @property
    def is_guided(self) -> bool:
        """Whether the model is told classes, and has learnt to go without them too."""
        return self.restorer.num_classes is not None and self.restorer.label_dropout > 0

    def steps_of(self, name: str) -> int:
        """The number of steps to begin with: the sampler's own, or few enough for a CPU."""
        own = affordable(self.samplers[name], self.restorer).num_steps
        return own or self.num_steps

    def test_image(self, place: float) -> tuple[Tensor, str, int | None]:
        """An image of the run's test split, at a place of it from 0 to 1, its name, and its class.

        The class is None where the model is told none, or has never seen this one.

        OSError or ValueError where the data is not there.
        """
        data = self.experiment.data
        with self._reading:
            data.setup()
        number = int(place * len(data.test_images))
        label = int(data.test_labels[number])
        known = any(label == each for _, each in self.classes)
        image = data.shown(data.test_images[number : number + 1])
        return image, f"test image {number}", label if known else None

    def degraded(self, image: Tensor, t: int, seed: int = 0) -> Tensor:
        """x_t of an image, 0 <= t <= T: where :meth:`restored` of the same seed begins."""
        check("t", t, Annotated[int, Interval(ge=0, le=self.num_steps)])
        return self._bytes(degraded(self.restorer, image, t, WHOLE, seed)[1])

    @checked
    def restored(
        self, image: Tensor, t: int, seed: Seed = 0, label: int | None = None
    ) -> Iterator[Shown]:
        """The image degraded to t, and every way back as it comes about, by title."""
        if t == 0:
            raise ValueError("at t = 0 the image is clean: move t up, then restore")
        sampler = self.samplers[OWN]
        if label is None and self.is_guided:
            sampler = replace(sampler, guidance=0.0)
        restoration = Restoration(self.restorer, sampler, t)
        labels = None if label is None else self._labels(label, 1)
        if restoration.needs_labels and labels is None:
            raise ValueError("this model restores an image of a known class: choose its class")
        return self._ways_back(restoration, image, seed, labels)

    def _ways_back(
        self, restoration: Restoration, image: Tensor, seed: int, labels: Tensor | None
    ) -> Iterator[Shown]:
        x_0, x_t, noise, draws = degraded(self.restorer, image, restoration.t, WHOLE, seed)
        own = None if labels is None else labels.to(x_t.device)
        stages = {"original": self._bytes(x_0), f"t = {restoration.t}": self._bytes(x_t)}
        total, before = restoration.num_evaluations(), self.restorer.chunked.calls
        titles = {SAMPLED: restoration.describe(), f"{SAMPLED}{REFINED}": "the same, refined"}
        yield Shown("restoring", 0, stages)
        states = restoration.ways_back(x_t, noise, draws, own)
        for name, images in self._each(states):
            title = titles.get(name, stage_title(name))
            stages = {**stages, title: self._bytes(images)}
            share = (self.restorer.chunked.calls - before) / total
            yield Shown(f"restoring: {title}", min(1.0, share), stages)
        yield Shown(f"restored from t = {restoration.t}", 1, stages)

    @checked
    def generated(
        self,
        num_images: Annotated[int, Interval(ge=1, le=MAX_IMAGES)],
        sampler: str = OWN,
        num_steps: int | None = None,
        seed: Seed = 0,
        label: int | None = None,
        guidance: float | None = None,
    ) -> Iterator[Shown]:
        """x_t and x_0_hat of images after each step, then the images: those of ``sample.py``."""
        if sampler not in self.samplers:
            raise ValueError(f"sampler must be one of {', '.join(self.samplers)}, got {sampler}")
        own = self.samplers[sampler]
        scale = own.guidance if guidance is None else guidance
        chosen = replace(own, num_steps=num_steps or own.num_steps, guidance=scale)
        check_sampler(chosen, self.restorer)
        labels = (
            draw_labels(self.restorer, num_images, seed)
            if label is None
            else self._labels(label, num_images)
        )
        return self._states(chosen, num_images, seed, labels)

    def _states(
        self, sampler: Sampler[Any], num_images: int, seed: int, labels: Tensor | None
    ) -> Iterator[Shown]:
        draws = generator(seed, "generate", 0, device=self.restorer.device)
        prior = self.experiment.module.prior
        states = trajectory(self.restorer, sampler, prior, num_images, draws, labels)
        total = sampler.num_evaluations(self.restorer.degradation)
        before = self.restorer.chunked.calls
        images: Tensor | None = None
        for state in self._each(states):
            images = self._bytes(state.x_t)
            pictures = {f"x_t, t = {state.t}": images}
            if state.x_0_hat is not None:
                pictures["x_0_hat, the network's guess"] = self._bytes(state.x_0_hat)
            share = (self.restorer.chunked.calls - before) / total
            yield Shown(f"generating: t = {state.t} of {self.num_steps}", min(1.0, share), pictures)
        assert images is not None
        how = sampler.describe(self.restorer.degradation)
        yield Shown(f"{how}, seed {seed}", 1, {"generated": images})

    def _each(self, states: Iterator[S]) -> Iterator[S]:
        """Each state, computed in evaluation mode; in between the mode is left.

        torch keeps it by thread, and a server goes on with a generator in any of its threads.
        """
        while True:
            with evaluating(self.restorer):
                state = next(states, None)
            if state is None:
                return
            yield state

    def _labels(self, label: int, num_images: int) -> Tensor:
        return labels_in_turn(self.restorer, label, num_images, self.run.run_dir)

    def _bytes(self, images: Tensor) -> Tensor:
        return as_bytes(images, self.restorer.pixel_range)
