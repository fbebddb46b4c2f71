"""All scores of one set of images together, from features and logits that were encoded once."""

from typing import Any

from torch import Tensor, nn
from torchmetrics import Metric

from thaw.metrics.class_balance import ClassBalance
from thaw.metrics.fid import FrechetDistance
from thaw.metrics.inception_score import InceptionScore
from thaw.metrics.kid import KernelDistance
from thaw.metrics.precision_recall import PrecisionRecall
from thaw.metrics.reference import Reference


class Scores(nn.Module):
    """FID, IS, KID, precision, recall and class balance over the same images.

    torchmetrics shares an encoder between metrics by ``FeatureShare``, which hands every metric the
    same output, so IS gets features for logits; here each is handed what it is defined on.
    """

    def __init__(self, reference: Reference, **kwargs: Any) -> None:
        """Compare with ``reference``; the rest goes to every torchmetrics class."""
        super().__init__()
        real = reference.features.double()
        self.fid = FrechetDistance(reference.mean, reference.cov, **kwargs)
        self.kid = KernelDistance(real, reference.kernel_mean, **kwargs)
        self.precision_recall = PrecisionRecall(real, reference.radii, **kwargs)
        self.inception_score = InceptionScore(**kwargs)
        self.class_balance = ClassBalance(reference.class_counts, **kwargs)

    def reset(self) -> None:
        """Forget all images."""
        for metric in (*self._of_features, *self._of_logits):
            metric.reset()

    def update(self, features: Tensor, logits: Tensor) -> None:
        """Add images by their features [N, D] and logits [N, K]."""
        for metric in self._of_features:
            metric.update(features)
        for metric in self._of_logits:
            metric.update(logits)

    def compute(self) -> dict[str, float]:
        """The scores by name, with ``n`` the number of images.

        Raises:
            ValueError: fewer than two images.
        """
        balance = self.class_balance.compute()
        n = int(balance["n"])
        if n < 2:
            raise ValueError(f"scores need at least 2 images, not {n}")
        scores = {
            "fid": self.fid.compute(),
            **self.inception_score.compute(),
            "kid": self.kid.compute(),
            **self.precision_recall.compute(),
            "class_kl": balance["class_kl"],
        }
        counts = {"num_classes": int(balance["num_classes"]), "n": n}
        return {name: float(value) for name, value in scores.items()} | counts

    @property
    def _of_features(self) -> tuple[Metric, ...]:
        return self.fid, self.kid, self.precision_recall

    @property
    def _of_logits(self) -> tuple[Metric, ...]:
        return self.inception_score, self.class_balance
