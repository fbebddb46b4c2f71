"""The reference: statistics of real images under one encoder, with their floors, and its file."""

import math
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from safetensors.torch import save
from torch import Tensor

from thaw import storage
from thaw.metrics.encoders import read_safetensors

FORMAT = "thaw-reference"


@dataclass(frozen=True)
class Reference:
    """Statistics of real images under one encoder with D features and K classes.

    encoder: the encoder's name and version.
    fingerprint: the encoder's ``Encoder.fingerprint()``.
    num_images: training images behind mean, cov and class_counts.
    mean [D], cov [D, D]: moments of their features, float64.
    class_counts [K]: how many of them the encoder puts in each class, int64.
    features [R, D]: features of a random part of them, float16, for KID, precision and recall.
    kernel_mean [], radii [R]: what KID, precision and recall need of those alone, float64.
    scores: names of the F scores whose floors were measured.
    floor_sizes [S] ascending, floors [S, F]: scores of so many real test images against all this.
    """

    encoder: str
    fingerprint: str
    num_images: int
    scores: tuple[str, ...]
    mean: Tensor
    cov: Tensor
    class_counts: Tensor
    features: Tensor
    kernel_mean: Tensor
    radii: Tensor
    floor_sizes: Tensor
    floors: Tensor

    def floor(self, n: int) -> dict[str, float]:
        """What N = n real test images score: the best that N generated images can be expected to.

        Linear in 1 / N between the sizes measured, as the bias of these scores is to first order;
        beyond the largest size, the value measured there; NaN below the smallest, where FID is far
        from linear.
        """
        if n < self.floor_sizes[0]:
            return dict.fromkeys(self.scores, math.nan)
        inverse = 1 / self.floor_sizes.flip(0).double()
        columns = self.floors.flip(0).T
        return {
            name: float(np.interp(1 / n, inverse, column))
            for name, column in zip(self.scores, columns, strict=True)
        }

    def save(self, path: Path) -> None:
        """Write it as safetensors, in one step: nobody ever reads half a file."""
        metadata = {
            "format": FORMAT,
            "encoder": self.encoder,
            "fingerprint": self.fingerprint,
            "num_images": str(self.num_images),
            "scores": ",".join(self.scores),
        }
        tensors = {name: getattr(self, name).contiguous() for name in _TENSORS}
        path.parent.mkdir(parents=True, exist_ok=True)
        storage.write_atomically(path, save(tensors, metadata))

    @staticmethod
    def load(path: Path) -> "Reference":
        """Read it back; ValueError, in one line, for a damaged file or another one."""
        metadata, tensors = read_safetensors(path, FORMAT, "reference")
        missing = sorted({*_TENSORS, *_METADATA} - set(tensors) - set(metadata))
        if missing:
            raise ValueError(
                f"{path} lacks {', '.join(missing)}: delete it, and it is fitted again"
            )
        return Reference(
            encoder=metadata["encoder"],
            fingerprint=metadata["fingerprint"],
            num_images=int(metadata["num_images"]),
            scores=tuple(metadata["scores"].split(",")),
            **tensors,
        )


_METADATA = ("encoder", "fingerprint", "num_images", "scores")
_TENSORS = tuple(field.name for field in fields(Reference) if field.type is Tensor)
