"""The choices in conf/ that go with a degradation, by what their classes need of it."""

from collections.abc import Iterator
from typing import NamedTuple

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from thaw.diffusion.degradations.base import Degradation
from thaw.groups import CONF

# The groups whose choices may need a certain kind of degradation.
NEEDY = (
    "prediction",
    "objective/weighting",
    "objective/timesteps",
    "sampler",
    "sampler/grid",
    "prior",
)


class Limit(NamedTuple):
    """A choice that goes with some degradations only: those choices, and the reason."""

    choice: str
    degradations: list[str]
    reason: str


def class_of(group: str, choice: str) -> type:
    """The class that a choice of a group names, itself or in the choice that it is built on."""
    contents = OmegaConf.load(CONF / group / f"{choice}.yaml")
    assert isinstance(contents, DictConfig)
    if target := contents.get("_target_"):
        found: type = get_object(target)
        return found
    (parent,) = (
        entry
        for entry in contents.defaults
        if isinstance(entry, str) and entry != "_self_" and not entry.startswith("/")
    )
    return class_of(group, parent)


def choices_of(group: str) -> list[str]:
    """The names of the choices of a group."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def fitting(group: str, degradation: type[Degradation]) -> list[str]:
    """The choices of a group that go with a class of degradations, as ``GROUP=CHOICE``.

    What a choice needs beyond the kind of degradation, such as a long schedule, is not known here.
    """
    return [
        f"{group}={choice}"
        for choice in choices_of(group)
        if issubclass(degradation, _needs(class_of(group, choice)))
    ]


def limits() -> Iterator[Limit]:
    """The choices of all groups that do not go with every degradation."""
    degradations = {name: class_of("degradation", name) for name in choices_of("degradation")}
    for group in NEEDY:
        for choice in choices_of(group):
            needs = _needs(class_of(group, choice))
            fit = [name for name, kind in degradations.items() if issubclass(kind, needs)]
            if len(fit) < len(degradations):
                about = (needs.__doc__ or "").strip().splitlines()[0]
                yield Limit(f"{group}={choice}", fit, f"needs `{needs.__name__}`: {about}")


def _needs(part: type) -> type:
    found: type = getattr(part, "needs", Degradation)
    return found
