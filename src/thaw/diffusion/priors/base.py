"""What every prior is: a law of x_T, and the noise that belongs to each draw."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
import torch
from torch import Generator, Tensor, nn

from thaw.checks import NotNegative, checked
from thaw.diffusion.needs import D, Part


class Prior(nn.Module, Part[D], ABC):
    """p(x_T), with the noise that belongs to each draw; its state travels in the checkpoint.

    Fitted with labels it is p(x_T | y): line means tell most digits apart, so that the model has
    never seen an x_T of one class with the label of another. ``labels``, int64 ``[N]``,
    are those of the images that it was fitted to; None where there were none.

    Args:
        jitter: standard deviation, in the units of the images, of Gaussian noise added to each x_T.
            A cold model that starts from many equal pixels has little to tell them apart by; a
            little noise breaks the symmetry (Bansal et al. 2022, section 5.2).
    """

    depends_on_class: bool = True
    """Whether x_T tells anything of the class, so that the prior of a class-conditional model is
    fitted with labels."""

    labels: Tensor | None

    @checked
    def __init__(self, jitter: NotNegative = 0.0) -> None:
        super().__init__()
        self.jitter = jitter
        self.register_buffer("labels", None)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # It moves with the model, but keeps its types whatever that becomes (``module.double()``).
        super()._apply(lambda x: x.to(fn(x).device), recurse)  # type: ignore[no-untyped-call]
        return self

    def check(self, degradation: D) -> None:
        """Refuse a degradation whose fully degraded images this prior does not describe.

        Raises:
            ValueError: with the reason.
        """

    def fit(self, images: Tensor, degradation: D, labels: Tensor | None = None) -> None:
        """Learn from training images, uint8 ``[N, C, H, W]``, and what the degradation leaves.

        Args:
            images: all training images.
            degradation: whose x_T is drawn.
            labels: the images' classes, int64 ``[N]``, for a class-conditional model.

        Raises:
            ValueError: there are more classes than images to learn from.
        """

    def draw(
        self,
        num_samples: int,
        degradation: D,
        generator: Generator,
        labels: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(x_T, float32 ``[n, C, H, W]``, and its noise), on the generator's device.

        ``labels`` are their classes, int64 ``[n]`` on that device; None draws from all classes. How
        many numbers are drawn does not depend on them.

        Raises:
            ValueError: the fit had no image of such a class, or no labels.
        """
        if not self.depends_on_class:
            labels = None
        elif labels is not None:
            self._check_classes(labels)
        elif self.labels is not None:
            size, device = (num_samples,), generator.device
            index = torch.randint(len(self.labels), size, generator=generator, device=device)
            labels = self.labels[index]
        x_T, noise = self.draw_exactly(num_samples, degradation, generator, labels)
        if self.jitter:
            eps = torch.randn(x_T.shape, generator=generator, device=x_T.device)
            x_T = x_T + self.jitter * eps
        return x_T, noise

    @abstractmethod
    def draw_exactly(
        self,
        num_samples: int,
        degradation: D,
        generator: Generator,
        labels: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As :meth:`draw`, before any jitter; labels are None where the fit had none."""

    def misfit(self, degradation: D) -> str | None:
        """What x_T has that the draws lack, in a line; None where that is little.

        It is warned of, and recorded with every score.
        """
        return None

    def describe(self, degradation: D | None = None) -> str:
        """What is drawn from, as recorded with every score: ``gmm, 20 components, by class``.

        With the degradation it is drawn for, any :meth:`misfit` too.
        """
        misfit = None if degradation is None else self.misfit(degradation)
        by_class = "" if self.labels is None else ", by class"
        jitter = f", jitter {self.jitter:g}" if self.jitter else ""
        return self.label() + by_class + jitter + (f" ({misfit})" if misfit else "")

    def label(self) -> str:
        """Its short name and the settings that matter."""
        return type(self).__name__

    def _check_classes(self, labels: Tensor) -> None:
        if self.labels is None:
            raise ValueError(f"prior {self.label()} was fitted without labels")
        missing = sorted(set(labels.tolist()) - set(self.labels.unique().tolist()))
        if missing:
            raise ValueError(f"prior {self.label()} was fitted to no image of class {missing[0]}")

    def _of_class(self, labels: Tensor, generator: Generator) -> Tensor:
        """For each label the index of a random image of that class, int64 ``[n]``."""
        assert self.labels is not None
        counts = self.labels.bincount()
        starts = counts.cumsum(0) - counts
        draws = torch.randint(2**62, (len(labels),), generator=generator, device=generator.device)
        return self.labels.argsort(stable=True)[starts[labels] + draws % counts[labels]]

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        # Before a fit the number of labels is not known.
        stored = state_dict.get(f"{prefix}labels")
        if stored is not None:
            self.labels = next(self.buffers()).new_empty(stored.shape, dtype=torch.int64)
        super()._load_from_state_dict(state_dict, prefix, *args)


def shuffled(num_images: int, seed: int, labels: Tensor | None, most: int) -> Tensor:
    """The order of training images, int64 ``[N]``, in which a prior takes the first ``most``.

    Random, but with labels it begins with one image of each class.

    Raises:
        ValueError: there are more classes than that.
    """
    order = torch.randperm(num_images, generator=Generator().manual_seed(seed))
    if labels is None:
        return order
    classes, first = np.unique(labels.cpu()[order].numpy(), return_index=True)
    if len(classes) > most:
        raise ValueError(
            f"num_images={most} is less than the {len(classes)} classes of the training images; a "
            "class-conditional model starts from images of each"
        )
    is_later = torch.ones(num_images, dtype=torch.int64)
    is_later[first] = 0
    return order[is_later.argsort(stable=True)]
