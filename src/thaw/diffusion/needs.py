"""What a part of an experiment needs of the degradation: declared by the part, compared here."""

from typing import ClassVar

from thaw.diffusion.degradations.base import Degradation


class Part:
    """A sampler, grid, prediction, weighting or prior: it may go with some degradations alone."""

    needs: ClassVar[type[Degradation]] = Degradation  # type: ignore[type-abstract]
    """The degradations that it goes with: the class, or a kind of them such as ``Noising``."""


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
