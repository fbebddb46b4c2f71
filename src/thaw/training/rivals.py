"""A Gaussian run as the zero-shot rival of another run: it restores the same images."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.zero_shot import METHODS, Rival
from thaw.training.loading import LoadedRun


def rivals_of(
    own: LoadedRun,
    hot: LoadedRun,
    methods: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> list[Rival]:
    """How ``hot`` restores what the degradation of ``own`` makes of images, by each method.

    ValueError where they do not fit. None of the methods is all that fit the degradation. Of the
    ``settings`` (``num_steps``, ...) a method takes those that it has; None is its own default.
    """
    model, data = hot.experiment.restorer, hot.experiment.data
    if data.image_shape != own.experiment.data.image_shape:
        sizes = [" x ".join(map(str, each.experiment.data.image_shape)) for each in (hot, own)]
        raise ValueError(
            f"against= needs a run on images of the same size: {hot.run_dir} has {sizes[0]}, "
            f"{own.run_dir} {sizes[1]}"
        )
    if unknown := sorted(set(methods or ()) - METHODS.keys()):
        raise ValueError(f"methods must be of {', '.join(METHODS)}, got {', '.join(unknown)}")
    degradation = own.experiment.restorer.degradation
    chosen = [
        name
        for name in METHODS
        if (_fits(name, degradation) if methods is None else name in methods)
    ]
    given = {key: value for key, value in (settings or {}).items() if value is not None}
    taken = {name: given.keys() & _settings(name) for name in chosen}
    if unread := given.keys() - set().union(*taken.values()):
        raise ValueError(f"{', '.join(chosen)} has no {', '.join(sorted(unread))}")
    samplers = [METHODS[name](**{key: given[key] for key in taken[name]}) for name in chosen]
    if "num_steps" not in given:
        samplers = [sampler.at_most(model.degradation.num_steps) for sampler in samplers]
    try:
        return [Rival(model, hot.experiment.module.prior, sampler) for sampler in samplers]
    except ValueError as error:
        raise ValueError(f"against={hot.run_dir}: {error}") from error


def _fits(method: str, degradation: Degradation) -> bool:
    try:
        METHODS[method]().check_observed(degradation)
    except ValueError:
        return False
    return True


def _settings(method: str) -> set[str]:
    return {field.name for field in fields(METHODS[method]) if field.init}
