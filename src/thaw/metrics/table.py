"""The table of scores: a row for each, read by whatever computes, logs, keeps or shows scores.

A new score is one metric class and one row. Nothing here imports torch.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Score:
    """One score.

    Args:
        name: its name in files, such as ``val/NAME`` in metrics.csv and ``final/NAME`` in run.json.
            ``..._mean`` has a standard deviation beside it, ``..._std``; any may have a sampling
            error, ``..._error``: the standard error that comes of scoring N images and not all.
        label: its name for readers.
        metric: ``module:attribute`` of a callable that gives its ``torchmetrics.Metric``. One with
            a floor, and each of ``GENERATED``, takes the reference and is updated with ``features``
            or ``logits``; any other takes the pixel range and is updated with ``preds`` and
            ``target``. Its ``compute()`` is a scalar, or scalars by name where several rows share
            the metric.
        lower_is_better: whether the best value is the smallest.
        format: format of a value, such as ``.2f``.
        unit: unit of a value, or empty.
        has_floor: whether as many real test images are scored too; ``NAME_floor`` in files.
        is_main: whether it is shown wherever there is room for few: the line of an epoch, the
            progress bar, the table of a sweep, the curves of a report.
    """

    name: str
    label: str
    metric: str
    lower_is_better: bool
    format: str = ".3f"
    unit: str = ""
    has_floor: bool = True
    is_main: bool = False

    @property
    def short(self) -> str:
        """The name without ``_mean``."""
        return self.name.removesuffix("_mean")

    @property
    def std(self) -> str:
        """The name of its standard deviation, empty if it has no such score."""
        return f"{self.short}_std" if self.short != self.name else ""

    @property
    def error(self) -> str:
        """The name of its sampling error."""
        return f"{self.short}_error"

    @property
    def floor(self) -> str:
        """The name of its floor, empty if it has no floor."""
        return f"{self.short}_floor" if self.has_floor else ""

    @property
    def title(self) -> str:
        """``FID (lower is better)``: the heading of a chart."""
        unit = f" in {self.unit}" if self.unit else ""
        return f"{self.label}{unit} ({'lower' if self.lower_is_better else 'higher'} is better)"


FID = Score(
    "fid", "FID", "thaw.metrics.fid:FrechetDistance.against", True, ".2f", is_main=True
)  # fmt: skip
# Scores of generated images. The first chooses best.ckpt and the figures of a report.
GENERATED = (
    FID,
    Score(
        "is_mean", "IS", "thaw.metrics.inception_score:InceptionScore.against", False, ".2f",
        is_main=True,
    ),
    Score("kid", "KID", "thaw.metrics.kid:KernelDistance.against", True, ".4f"),
    Score("precision", "precision", "thaw.metrics.precision_recall:PrecisionRecall.against", False),
    Score("recall", "recall", "thaw.metrics.precision_recall:PrecisionRecall.against", False),
    Score("class_kl", "class KL", "thaw.metrics.class_balance:ClassBalance.against", True, ".4f"),
    Score(
        "num_classes", "classes", "thaw.metrics.class_balance:ClassBalance.against", False, ".0f",
        has_floor=False,
    ),
)  # fmt: skip
# Scores of restored images, kept as NAME_STAGE. The first stands in the line of an epoch and in
# the report's results. FID compares their features with the data's, the others each with its
# original.
RESTORED = (
    Score(
        "psnr", "PSNR", "thaw.metrics.restored:PixelError", False, ".2f", "dB", has_floor=False
    ),
    Score("ssim", "SSIM", "thaw.metrics.restored:SSIM", False, has_floor=False),
    Score("rmse", "RMSE", "thaw.metrics.restored:PixelError", True, ".4f", has_floor=False),
    replace(FID, metric="thaw.metrics.restored:Frechet"),
)  # fmt: skip
