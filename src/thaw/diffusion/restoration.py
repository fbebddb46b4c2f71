"""Restoring images: degraded to a step, then brought back at once and step by step."""

import copy
from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from thaw.checks import check_whole
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.guidance import guided, told, with_guidance
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.base import Sampler
from thaw.diffusion.samplers.cold import Cold, Naive
from thaw.ranks import part
from thaw.seeding import generator

ALGORITHMS: dict[str, type[Sampler]] = {"algorithm_1": Naive, "algorithm_2": Cold}
REFINED = "_refined"
# All there may be, in the order of the way there.
STAGES = (
    "original",
    "degraded",
    "direct",
    *(f"{name}{suffix}" for name in (*ALGORITHMS, "sampled") for suffix in ("", REFINED)),
)


class Restoration:
    """x_t = D(x_0, t, noise), and from that same x_t every way back to x_0.

    ``direct`` is R(x_t, t); ``algorithm_1`` and ``algorithm_2`` are those of Bansal et al. 2022
    with the sampler's steps, grid and clipping; ``sampled`` is the sampler's own, where it is
    neither of them. Under Gaussian noise, where the two algorithms would have to know the noise,
    there are ``direct`` and ``sampled`` alone. A class-conditional model is told the images'
    labels, or none where the sampler's guidance is 0.

    Args:
        restorer: the model.
        sampler: the run's, in as many of its steps as t leaves.
        t: the step that images are degraded to, 1..T; None is T.
        refine: whether each way of many steps has a last pass R(x_0, 1) as a stage of its own,
            ``algorithm_1_refined``, ...; it has where the run's sampler ends with one.

    Raises:
        ValueError: there is no step t.
    """

    def __init__(
        self, restorer: Restorer, sampler: Sampler, t: int | None = None, refine: bool = False
    ) -> None:
        last = restorer.degradation.num_steps
        self.t = last if t is None else t
        check_whole("t", self.t, 1, last)
        self.restorer = restorer
        self.sampler = copy.copy(sampler)
        self.sampler.num_steps = min(sampler.num_steps or self.t, self.t)
        self.sampler.is_refined = False  # here that is a stage of its own
        self.refine = refine or sampler.is_refined
        self.ways = self._ways()

    def _ways(self) -> dict[str, Sampler]:
        """The samplers by the name of their stage."""
        own = self.sampler
        if isinstance(self.restorer.degradation, Gaussian):
            return {"sampled": own}
        settings = (own.num_steps, own.clip, own.grid, own.guidance)
        both = {name: algorithm(*settings) for name, algorithm in ALGORITHMS.items()}
        return both if isinstance(own, Naive | Cold) else both | {"sampled": own}

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of all stages, in order."""
        refined = {f"{name}{REFINED}" for name in self.ways} if self.refine else set()
        made = {"original", "degraded", "direct", *self.ways, *refined}
        return tuple(name for name in STAGES if name in made)

    def describe(self) -> str:
        """The sampler and its steps, which the algorithms share: ``Cold, 28 steps``."""
        how = self.sampler.describe(self.restorer.degradation)
        return with_guidance(how, self.restorer, self.sampler.guidance)

    def told(self, labels: str = "their own labels") -> str:
        """What the model is told of the images: ``with their own labels``; perhaps nothing."""
        return told(self.restorer, self.sampler.guidance, labels)

    def check_labels(self, labels: Tensor | None) -> None:
        """Refuse to restore without labels by a model that is to be told them.

        Raises:
            ValueError: with the ways out.
        """
        if labels is not None or self.restorer.num_classes is None or not self.sampler.guidance:
            return
        without = ", or sampler.guidance=0 to go without" if self.restorer.label_dropout else ""
        raise ValueError(
            "a class-conditional model restores images by their labels, and these have none: give "
            f"digit= (one class, or a list of classes that take turns){without}"
        )

    def num_evaluations(self) -> int:
        """How often the network is asked about a batch, on all ways together."""
        ways = [way.num_evaluations(self.restorer.degradation) for way in self.ways.values()]
        return 1 + sum(ways) + (len(ways) if self.refine else 0)

    def batches(
        self,
        images: Tensor,
        batch_size: int,
        seed: int,
        is_degraded: bool = False,
        place: tuple[int, int] = (0, 1),
        labels: Tensor | None = None,
    ) -> Iterator[dict[str, Tensor]]:
        """All stages of images, batch by batch.

        Args:
            images: originals, uint8 ``[N, C, H, W]``.
            batch_size: images at once.
            seed: of the degradation's noise and the sampler's.
            is_degraded: the images are x_t already: their noise has to be empty, and there is no
                ``original``.
            place: the rank of this process and the number of them. Each takes whole batches of
                those that one process would take, in order; where there are too few, a process gets
                an empty one, for metrics want a batch of each.
            labels: the classes, int64 ``[N]``, of a class-conditional model.

        Yields:
            By name, in the order of ``stages``, each ``[B, C, H, W]`` in the restorer's range.

        Raises:
            ValueError: the model is to be told labels, and there are none.
        """
        self.check_labels(labels)
        device = next(self.restorer.network.parameters()).device
        degradation = self.restorer.degradation
        batches = list(enumerate(images.split(batch_size)))
        mine = batches[part(len(batches), *place)]
        for number, batch in mine or batches[:1]:
            draws = generator(seed, "restore", number, device=device)
            given = self.restorer.pixel_range.from_uint8(batch.to(device))
            with torch.inference_mode():
                noise = degradation.draw_noise(given, draws)
                steps = torch.full((len(given),), self.t, device=device)
                x_t = given if is_degraded else degradation(given, steps, noise)
            original = {} if is_degraded else {"original": given}
            own = None if labels is None else labels.split(batch_size)[number].to(device)
            stages = original | {"degraded": x_t} | self.restored(x_t, noise, draws, own)
            yield stages if mine else {name: stage[:0] for name, stage in stages.items()}

    def restored(
        self,
        x_t: Tensor,
        noise: Tensor,
        draws: Generator | None = None,
        labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """``direct`` and the rest of the stages, from x_t ``[B, C, H, W]``, its noise and labels.

        The network is in evaluation mode meanwhile, and no gradient is kept.
        """
        restorer = self.restorer
        was_training = restorer.training
        restorer.eval()
        with torch.inference_mode():
            steps = torch.full((len(x_t),), self.t, device=x_t.device)
            model = guided(restorer, labels, self.sampler.guidance)
            made = {"direct": model(x_t, steps, noise)}
            for name, sampler in self.ways.items():
                made[name] = sampler.sample(model, x_t, noise, draws, self.t)
                if self.refine:
                    made[f"{name}{REFINED}"] = sampler.last_pass(model, made[name], noise)
        restorer.train(was_training)
        return made
