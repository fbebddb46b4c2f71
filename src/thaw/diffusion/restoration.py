"""Restoring images: degraded to a step, then brought back at once and step by step."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Generator, Tensor

from thaw.diffusion.degradations.base import all_at
from thaw.diffusion.guidance import guided, labels_in_words
from thaw.diffusion.inference import evaluating
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import SAMPLED, Path, Sampler, check_step
from thaw.diffusion.samplers.cold import ALGORITHM_1, ALGORITHM_2, Cold, Naive
from thaw.diffusion.zero_shot import METHODS, Rival
from thaw.ranks import WHOLE, Batch, Portion
from thaw.seeding import generator

REFINED = "_refined"
# Every stage that there may be, in the order of the way there.
STAGES = (
    "original",
    "degraded",
    "direct",
    *(
        f"{each}{suffix}"
        for each in (ALGORITHM_1, ALGORITHM_2, SAMPLED)
        for suffix in ("", REFINED)
    ),
    *METHODS,
)


def stage_title(name: str) -> str:
    """A stage of a restoration in words: ``Algorithm 1, refined``."""
    words = {
        "direct": "direct prediction",
        ALGORITHM_1: "Algorithm 1",
        ALGORITHM_2: "Algorithm 2",
        **{name: method.__name__ for name, method in METHODS.items()},
    }
    plain_name = name.removesuffix(REFINED)
    refined = ", refined" if name.endswith(REFINED) else ""
    return words.get(plain_name, plain_name) + refined


def degraded(
    restorer: Restorer, images: Tensor, t: int, batch: Batch, seed: int
) -> tuple[Tensor, Tensor, Tensor, Generator]:
    """(x_0, x_t, its noise, the generator that drew it) of one batch of images as stored.

    x_0 and x_t are floats in the model's range, on its device; t is 0..T, and x_t is x_0 at 0.
    """
    degradation = restorer.degradation
    draws = _draws(restorer, batch, seed)
    stored = restorer.pixel_range.from_uint8(images[batch.items].to(restorer.device))
    with torch.inference_mode():
        x_0, noise = degradation.draw(stored, draws)
        x_t = degradation(x_0, all_at(t, x_0), noise) if t else x_0
    return x_0, x_t, noise, draws


def _draws(restorer: Restorer, batch: Batch, seed: int) -> Generator:
    return generator(seed, "restore", batch.number, device=restorer.device)


class Restoration:
    """x_t = D(x_0, t, noise), and from that same x_t every way back to x_0.

    ``direct`` is R(x_t, t); ``algorithm_1`` and ``algorithm_2`` are those of Bansal et al. 2022
    with the sampler's settings; ``sampled`` is the sampler's own, where it is neither of them.
    Under Gaussian noise, where the two algorithms would have to know the noise, there are
    ``direct`` and ``sampled`` alone, by a noise of its own where the sampler asks for one. A
    class-conditional model is given the images' labels, or none where the sampler's guidance is 0.

    Args:
        restorer: the model.
        sampler: the run's, in as many of its steps as t leaves.
        t: the step that images are degraded to, 1..T; None is T.
        refine: whether each way of many steps has a last pass R(x_0, 1) as a stage of its own,
            ``algorithm_1_refined``, ...; it has where the run's sampler ends with one.
        rivals: Gaussian models that restore the same x_t too, each by a method that is a stage.

    Attributes:
        seconds: what each way back has taken so far, by stage.
    """

    def __init__(
        self,
        restorer: Restorer,
        sampler: Sampler,
        t: int | None = None,
        refine: bool = False,
        rivals: Sequence[Rival] = (),
    ) -> None:
        self.t = restorer.degradation.num_steps if t is None else t
        check_step("t", self.t, restorer.degradation)
        self.restorer = restorer
        self.sampler = sampler.to_restore().at_most(self.t)
        self.sampler.refine = False  # here that is a stage of its own
        self.refine = refine or sampler.refine
        own = self.sampler
        self.ways: dict[str, Sampler] = {SAMPLED: own}
        if restorer.degradation.noise_is_known:
            shared: Any = {"clip": own.clip, "grid": own.grid, "guidance": own.guidance}
            both = (algorithm(own.num_steps, **shared) for algorithm in (Naive, Cold))
            self.ways = {each.stage: each for each in (*both, own)}
        self.rivals = {rival.sampler.stage: rival for rival in rivals}
        for rival in rivals:
            rival.check(restorer, self.needs_labels)
        self.seconds: dict[str, float] = defaultdict(float)

    @property
    def stages(self) -> tuple[str, ...]:
        refined = {f"{name}{REFINED}" for name in self.ways} if self.refine else set()
        due = {"original", "degraded", "direct", *self.ways, *refined, *self.rivals}
        return tuple(name for name in STAGES if name in due)

    def describe(self) -> str:
        """The sampler and its steps, which the algorithms share: ``Cold, 28 steps``."""
        return self.sampler.describe(self.restorer.degradation)

    def labels_in_words(self, labels: str = "with their own labels") -> str:
        return labels_in_words(self.restorer, self.sampler.guidance, labels)

    @property
    def needs_labels(self) -> bool:
        return self.restorer.num_classes is not None and self.sampler.guidance != 0

    def check_labels(self, labels: Tensor | None) -> None:
        """Refuse to restore without the labels that the model is told."""
        if self.needs_labels and labels is None:
            without = ", or sampler.guidance=0 to restore without labels"
            raise ValueError(
                "a class-conditional model restores images by their labels, and these have none: "
                "give digit= (one class, or a list of classes that take turns)"
                + (without if self.restorer.label_dropout else "")
            )

    def check_degraded(self, image_shape: Sequence[int]) -> None:
        """Refuse images that are degraded already where their noise would have to be known."""
        try:
            self.restorer.degradation.draw_degraded(torch.zeros(1, *image_shape), self.t)
        except ValueError as error:
            raise ValueError(f"degraded=true: {error}") from error

    def num_evaluations(self) -> int:
        """How often a network is asked about a batch, on all ways together."""
        found = self.evaluations()
        # The ways are not gone twice for their last passes.
        return sum(1 if name.endswith(REFINED) else number for name, number in found.items())

    def evaluations(self) -> dict[str, int]:
        """How often a network is asked about an image on each way, by stage."""
        found = {"direct": 1}
        for name, way in self.ways.items():
            found[name] = way.num_evaluations(self.restorer.degradation)
            if self.refine:
                found[f"{name}{REFINED}"] = found[name] + 1
        for name, rival in self.rivals.items():
            found[name] = rival.num_evaluations()
        return found

    def num_calls(self) -> int:
        """How often networks have been asked about a batch, these and all others."""
        others = {id(rival.restorer): rival.restorer for rival in self.rivals.values()}
        return sum(each.chunked.calls for each in (self.restorer, *others.values()))

    def batches(
        self,
        images: Tensor,
        batch_size: int,
        seed: int,
        is_degraded: bool = False,
        portion: Portion = WHOLE,
        labels: Tensor | None = None,
    ) -> Iterator[dict[str, Tensor]]:
        """All stages by name, in the order of ``stages``, each ``[B, C, H, W]``, batch by batch.

        Images are uint8 ``[N, C, H, W]`` or as the data set has them, labels int64 ``[N]``. Where
        ``is_degraded`` they are x_t already, ``[N, C, H, W]``, which have to tell their noise, and
        there is no ``original``. ``portion`` is this process's portion of the batches.
        """
        self.check_labels(labels)
        for batch in portion.batches(len(images), batch_size):
            stages: dict[str, Tensor] = {}
            if is_degraded:
                restorer, draws = self.restorer, _draws(self.restorer, batch, seed)
                given = restorer.pixel_range.from_uint8(images[batch.items].to(restorer.device))
                x_t, noise = restorer.degradation.draw_degraded(given, self.t, draws)
            else:
                x_0, x_t, noise, draws = degraded(self.restorer, images, self.t, batch, seed)
                stages["original"] = x_0
            own = None if labels is None else labels[batch.items].to(x_t.device)
            stages |= {"degraded": x_t} | self.restored(x_t, noise, draws, own)
            for name, rival in self.rivals.items():
                # A generator for each, so that no stage depends on which others there are.
                its_draws = generator(seed, "restore", batch.number, name, device=x_t.device)
                told = own if self.needs_labels else None
                with self._timed(name):
                    stages[name] = rival.restored(
                        self.restorer, x_t, self.t, noise, its_draws, told
                    )
            yield {name: stage[batch.kept] for name, stage in stages.items()}

    def restored(
        self,
        x_t: Tensor,
        noise: Tensor,
        draws: Generator | None = None,
        labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """``direct`` and the later stages, from x_t ``[B, C, H, W]``, its noise and labels."""
        with evaluating(self.restorer):
            return dict(self.ways_back(x_t, noise, draws, labels))

    def ways_back(
        self,
        x_t: Tensor,
        noise: Tensor,
        draws: Generator | None = None,
        labels: Tensor | None = None,
    ) -> Iterator[tuple[str, Tensor]]:
        """(name, images) after each step of each way; a name's last images are that stage.

        Arguments as :meth:`restored`; to be read within ``evaluating``.
        """
        restorer, scale = self.restorer, self.sampler.guidance
        noise = self.known(noise, x_t)
        path = Path(restorer, restorer.degradation, noise, draws, labels)
        with self._timed("direct"):
            direct = guided(restorer, x_t, all_at(self.t, x_t), noise, labels, scale)
        yield "direct", direct
        for name, sampler in self.ways.items():
            x_0 = x_t
            with self._timed(name, f"{name}{REFINED}"):
                for state in sampler.trajectory(restorer, x_t, noise, draws, self.t, labels):
                    x_0 = state.x_t
                    yield name, x_0
            if self.refine:
                with self._timed(f"{name}{REFINED}"):
                    refined = sampler.last_pass(path, x_0)
                yield f"{name}{REFINED}", refined

    def known(self, noise: Tensor, x_t: Tensor) -> Tensor:
        """The noise of x_t ``[B, C, H, W]`` where it is known; else another, drawn anew."""
        degradation = self.restorer.degradation
        if degradation.noise_is_known:
            return noise
        return degradation.draw_noise(x_t, generator(0, "restore", "noise", device=x_t.device))

    @contextmanager
    def _timed(self, *names: str) -> Iterator[None]:
        """Add the time of the block, until the device has done it, to each of these stages."""
        start = time.perf_counter()
        yield
        if self.restorer.device.type != "cpu":
            torch.accelerator.synchronize(self.restorer.device)
        taken = time.perf_counter() - start
        for name in names:
            self.seconds[name] += taken
