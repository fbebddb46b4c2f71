"""What a part of an experiment needs of the degradation: declared by the part, compared here."""

from typing import Any, Generic

from typing_extensions import TypeVar

from thaw.diffusion.degradations.base import Degradation

D = TypeVar("D", bound=Degradation, default=Any)


class Part(Generic[D]):
    """A sampler, grid, prediction, weighting or prior; some fit certain degradations only."""

    needs: type[D] = Degradation  # type: ignore[assignment]
    """The kind of degradation that it fits: a class such as ``Noising``."""

    def check(self, degradation: D) -> None:
        """Raise a ``ValueError`` with the reason where a degradation's settings do not fit."""


def check_needs(part: Part[D], degradation: Degradation) -> D:
    """The degradation, known to be of the kind that the part needs; else a ``ValueError``."""
    if not isinstance(degradation, part.needs):
        raise ValueError(
            f"{type(part).__name__} needs a degradation of the kind {part.needs.__name__}, got "
            f"{type(degradation).__name__}"
        )
    return degradation
