"""What every prior is: a law of x_T, and the noise that belongs to each draw."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self

import numpy as np
import torch
from torch import Generator, Tensor, nn

from thaw.checks import NotNegative, checked
from thaw.diffusion.buffers import take_stored_shapes
from thaw.diffusion.needs import D, Part


class Prior(nn.Module, Part[D], ABC):
    """p(x_T), with the noise that belongs to each draw; its state travels in the checkpoint.

    Fitted with labels it is p(x_T | y): line means tell most digits apart, so that the model has
    never seen an x_T of one class with the label of another. ``labels``, int64 ``[N]``,
    are those of the images that it was fitted to; empty where there were none.

    Args:
        jitter: standard deviation, in the units of the images, of Gaussian noise added to each x_T.
            A cold model that starts from many equal pixels has little to tell them apart by; a
            little noise breaks the symmetry (Bansal et al. 2022, section 5.2).
    """

    depends_on_class: bool = True
    """Whether x_T tells anything of the class, so that it is fitted with labels."""

    labels: Tensor

    @checked
    def __init__(self, jitter: NotNegative = 0.0) -> None:
        super().__init__()
        self.jitter = jitter
        self.register_buffer("labels", torch.empty(0, dtype=torch.int64))
        self.register_load_state_dict_pre_hook(take_stored_shapes)  # type: ignore[no-untyped-call]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # It moves with the model, but keeps its types whatever that becomes (``module.double()``).
        super()._apply(lambda x: x.to(fn(x).device), recurse)  # type: ignore[no-untyped-call]
        return self

    def fit(self, images: Tensor, degradation: D, labels: Tensor | None = None) -> None:
        """Learn x_T from all training images, uint8 ``[N, C, H, W]``, and the degradation.

        Labels are the images' classes, int64 ``[N]``, for a class-conditional model.
        """

    def draw(
        self, num_samples: int, degradation: D, generator: Generator, labels: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(x_T, float32 ``[n, C, H, W]``, and its noise), on the generator's device.

        ``labels`` are their classes, int64 ``[n]`` on that device; None draws from all classes. How
        many numbers are drawn does not depend on them.
        """
        if not self.depends_on_class:
            labels = None
        elif labels is not None:
            missing = set(labels.tolist()) - set(self.labels.tolist())
            if missing:
                label = self.label()
                raise ValueError(f"prior {label} was fitted to no image of class {min(missing)}")
        elif len(self.labels):
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
        self, num_samples: int, degradation: D, generator: Generator, labels: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """As :meth:`draw`, before any jitter; labels are None where the fit had none."""

    def misfit(self, degradation: D) -> str | None:
        """What x_T has that the draws lack, in a line; None where that is little."""
        return None

    def describe(self, degradation: D | None = None) -> str:
        """What is drawn from, with any misfit: ``gmm, 20 components, by class``."""
        misfit = None if degradation is None else self.misfit(degradation)
        by_class = ", by class" if len(self.labels) else ""
        jitter = f", jitter {self.jitter:g}" if self.jitter else ""
        return self.label() + by_class + jitter + (f" ({misfit})" if misfit else "")

    def label(self) -> str:
        """Its short name and the settings that matter."""
        return type(self).__name__

    def _of_class(self, labels: Tensor, generator: Generator) -> Tensor:
        """For each label the index of a random image of that class, int64 ``[n]``."""
        counts = self.labels.bincount()
        starts = counts.cumsum(0) - counts
        draws = torch.randint(2**62, (len(labels),), generator=generator, device=generator.device)
        return self.labels.argsort(stable=True)[starts[labels] + draws % counts[labels]]


def shuffled(num_images: int, seed: int, labels: Tensor | None, most: int) -> Tensor:
    """The order of training images, int64 ``[N]``, in which a prior takes the first ``most``.

    Random, but with labels it begins with one image of each class.
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
