"""The suite of scores: uint8 images in, every score and its floor out."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from thaw.checks import checked
from thaw.metrics import table
from thaw.metrics.encoders import Encoder
from thaw.metrics.reference import Reference

if TYPE_CHECKING:
    from torchmetrics import MetricCollection

WAYS_OUT = (
    "use metrics=inception, train an encoder with `python train_encoder.py data={data}`, "
    "or switch scores off with metrics=none"
)


class ScoreSuite(nn.Module):
    """One encoder, its reference, and every score of the images given to ``update``.

    The reference is the one beside the encoder, where there is one. torchmetrics' ``FeatureShare``
    hands every metric the same output of the encoder, so IS would get features for logits; here
    each is handed what it is defined on. Neither uses the global random number generator nor
    records gradients.
    """

    @checked
    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.scores: MetricCollection | None = None
        self.reference: Reference | None = None
        if encoder.reference_path is not None:
            self.use_reference(Reference.load(encoder.reference_path))

    def check(self, data_name: str, image_shape: tuple[int, int, int]) -> None:
        """Refuse data that the encoder was not trained for; ``mnist_5k`` is data of ``mnist``."""
        ways_out = WAYS_OUT.format(data=data_name)
        name, own = self.encoder.name, self.encoder.dataset
        if own is not None and data_name != own and not data_name.startswith(f"{own}_"):
            raise ValueError(f"encoder {name} scores {own}, not {data_name}: {ways_out}")
        try:
            self.encoder.check_images(torch.empty(0, *image_shape, dtype=torch.uint8))
        except ValueError as error:
            raise ValueError(f"{error}: {ways_out}") from error

    def fit_reference(self, train_images: Tensor, test_images: Tensor) -> None:
        """Take the reference from training images, uint8 [N, C, H, W], and floors from test images.

        Needed where ``reference`` is None. One pass of the encoder, the first time; cached on disk.
        """
        from thaw.metrics.fitting import cached_reference

        self.use_reference(cached_reference(self.encoder, train_images, test_images))

    def use_reference(self, reference: Reference) -> None:
        """Compare with this reference from now on; refuse that of another encoder or weights."""
        if reference.fingerprint != self.encoder.fingerprint():
            raise ValueError(
                f"a reference of {reference.encoder} (weights {reference.fingerprint}) "
                f"cannot serve {self.encoder.name} (weights {self.encoder.fingerprint()})"
            )
        self.reference, self.scores = reference, None

    def reset(self) -> None:
        """Forget all images."""
        self._fitted()[0].reset()

    def update(self, images: Tensor) -> None:
        """Add generated images, uint8 [N, C, H, W] in 0..255, on any device."""
        features, logits = self.encoder.encode(images)
        self._fitted()[0].update(features=features, logits=logits)

    def compute(self) -> dict[str, float]:
        """Every score of the table, its standard deviation and error, ``n`` and every floor.

        Of at least two images, over all processes; call it on every rank.
        """
        scores, reference = self._fitted()
        n = sum(self.class_histogram())
        with torch.inference_mode():
            found = scores.compute()
        names = [name for row in table.GENERATED for name in (row.name, row.std, row.error)]
        floors = reference.floor(n)
        return (
            {name: found[name].item() for name in names if name in found}
            | {"n": n}
            | {row.floor: floors[row.name] for row in table.GENERATED if row.name in floors}
        )  # fmt: skip

    def class_histogram(self) -> list[int]:
        """Images predicted to be of each class, over all processes; call it on every rank."""
        scores, _ = self._fitted()
        histogram: list[int] = scores["class_kl"].compute()["class_counts"].tolist()
        return histogram

    def _fitted(self) -> tuple["MetricCollection", Reference]:
        """The scores, made when the first images come, and the reference."""
        assert self.reference is not None, "fit_reference comes first"
        if self.scores is None:
            # torchmetrics takes longer to import than a run to be sampled.
            from thaw.metrics.gathering import collect

            scores = collect(table.GENERATED, self.reference)
            self.scores = scores.to(next(self.encoder.parameters(), torch.empty(0)).device)
        return self.scores, self.reference
