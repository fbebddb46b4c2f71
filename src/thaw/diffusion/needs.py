"""What a part of an experiment needs of the degradation: declared by the part, compared here."""

from typing import ClassVar

from thaw.diffusion.degradations.base import Degradation


class Part:
    """A sampler, grid, prediction, weighting or prior; some fit certain degradations only."""

    needs: ClassVar[type[Degradation]] = Degradation  # type: ignore[type-abstract]
    """The kind of degradation that it fits: a class such as ``Noising``."""


def check_needs(part: Part, degradation: Degradation) -> None:
    """Refuse a part for a degradation of another kind.

    Raises:
        ValueError: naming the part, the kind that it needs and the degradation.
    """
    if not isinstance(degradation, part.needs):
        raise ValueError(
            f"{type(part).__name__} needs a degradation of the kind {part.needs.__name__}, got "
            f"{type(degradation).__name__}"
        )
