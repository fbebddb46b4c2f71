"""Scores of restored images: how close each is to its original, and whether they look real."""

import math
from collections.abc import Sequence
from pkgutil import resolve_name
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from thaw.metrics import table
from thaw.metrics.frechet import distance_from
from thaw.metrics.reference import Reference
from thaw.metrics.suite import ScoreSuite
from thaw.pixels import PixelRange

# SSIM's window in pixels, and its constants for images in 0..1.
WINDOW = 11
STD = 1.5
C_1, C_2 = 0.01**2, 0.03**2


class RestorationScores(nn.Module):
    """Every score of the table for restored images x_hat with originals x_0, over all processes.

    RMSE = sqrt(mean (x_hat - x_0)^2) over all pixels of all images, in the images' own units.
    PSNR = 20 log10((high - low) / RMSE) in dB, so infinite only where every image is exact.
    SSIM as :class:`SSIM`. Scores with a floor, such as FID, are of the restored images in 0..255,
    whichever original each belongs to; they need a suite. The errors of the others are standard
    errors of means over the images.
    """

    def __init__(self, pixel_range: tuple[float, float], suite: ScoreSuite | None = None) -> None:
        super().__init__()
        self.pixel_range = PixelRange(*pixel_range)
        self.suite = suite
        reference = None if suite is None else suite.reference
        self.of_pair = _collect(False, pixel_range)
        self.of_set = {} if reference is None else _collect(True, reference)
        self.metrics = nn.ModuleList([*self.of_pair.values(), *self.of_set.values()])

    def update(self, x_hat: Tensor, x_0: Tensor) -> None:
        """Add restored images and originals, both float [N, C, H, W]."""
        x_hat, x_0 = x_hat.float().contiguous(), x_0.float().contiguous()
        for metric in self.of_pair.values():
            metric.update(preds=x_hat, target=x_0)
        if self.suite is not None and self.of_set:
            features, _ = self.suite.encoder.encode(self.pixel_range.to_uint8(x_hat))
            for metric in self.of_set.values():
                metric.update(features=features)

    def compute(self) -> dict[str, float]:
        """The scores by name; those with a floor only with a suite."""
        found: dict[str, Tensor] = {}
        for name, metric in (*self.of_pair.items(), *self.of_set.items()):
            result = metric.compute()
            found |= result if isinstance(result, dict) else {name: result}
        scores = {row.name: float(found[row.name]) for row in table.RESTORED if row.name in found}
        errors = {row.error: float(found.get(row.error, math.nan)) for row in table.RESTORED}
        # One image, or images that are all exact, tell nothing of their spread.
        return scores | {name: error for name, error in errors.items() if math.isfinite(error)}


def _collect(has_floor: bool, source: object) -> dict[str, Any]:
    """The metrics of the table's rows with a floor or without, each once, by its first row's name.

    ``source`` is what each is built from: the reference, or the range of the pixels.
    """
    rows = [row for row in table.RESTORED if row.has_floor == has_floor]
    first = {row.metric: row.name for row in reversed(rows)}
    return {name: resolve_name(metric)(source) for metric, name in first.items()}


class Accumulated(nn.Module):
    """What a score keeps of all that ``update`` is given, on every process.

    With the ``update`` and ``compute`` of a ``torchmetrics.Metric``, which serves as well in the
    table; but importing torchmetrics takes longer than restoring.
    """

    def of_every_process(self, value: Tensor) -> list[Tensor]:
        """The value of each process, in order of rank, on the CPU where there are several."""
        if not (dist.is_available() and dist.is_initialized()):
            return [value]
        values: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(values, value.cpu())
        return values


class Frechet(Accumulated):
    """FID of the restored images, as :class:`thaw.metrics.fid.FrechetDistance`."""

    def __init__(self, reference: Reference) -> None:
        super().__init__()
        self.mean, self.cov = reference.mean, reference.cov
        self.features: list[Tensor] = []

    def update(self, features: Tensor) -> None:
        """Add features [N, D] of any float type."""
        self.features.append(features.detach())

    def compute(self) -> Tensor:
        """The distance, a float64 scalar."""
        features = torch.cat(self.of_every_process(torch.cat(self.features)))
        return distance_from(features.cpu().double(), self.mean, self.cov)


class Sums(Accumulated):
    """Sums over images, kept as buffers by the names that ``zeros`` has."""

    def __init__(self, **zeros: Tensor) -> None:
        super().__init__()
        for name, zero in zeros.items():
            self.register_buffer(name, zero, persistent=False)

    def summed(self, name: str) -> Tensor:
        """A sum over all processes."""
        return torch.stack(self.of_every_process(getattr(self, name))).sum(dim=0)


NOTHING = torch.zeros((), dtype=torch.float64)  # stays on the CPU: some devices lack float64


def sum_of_squares(values: Tensor) -> Tensor:
    """In float64, on the CPU, for a variance is the small difference of two such sums."""
    return values.cpu().double().square().sum()


def standard_error(mean: Tensor, mean_square: Tensor, n: Tensor) -> Tensor:
    """Of the mean of n values, of which those of their squares is given; NaN for n = 1."""
    return ((mean_square - mean.square()).clamp(min=0) / (n - 1)).sqrt()


class PixelError(Sums):
    """RMSE over all pixels of all images, and PSNR from it."""

    squares: Tensor
    count: Tensor
    square_means: Tensor
    num_images: Tensor

    def __init__(self, pixel_range: tuple[float, float]) -> None:
        super().__init__(
            squares=torch.zeros(()),
            count=torch.zeros((), dtype=torch.int64),
            num_images=torch.zeros((), dtype=torch.int64),
        )
        self.square_means = NOTHING
        low, high = pixel_range
        self.width = torch.tensor(high - low)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add restored images and originals, both [N, C, H, W]."""
        self.squares = self.squares + (preds - target).square().sum()
        self.count = self.count + target.numel()
        of_each = (preds - target).square().flatten(1).mean(dim=1)
        self.square_means = self.square_means + sum_of_squares(of_each)
        self.num_images = self.num_images + len(target)

    def compute(self) -> dict[str, Tensor]:
        """``psnr`` in dB, ``rmse`` in the images' own units, and their errors."""
        mean = (self.summed("squares") / self.summed("count")).cpu()
        n = self.summed("num_images").cpu()
        error = standard_error(mean, self.summed("square_means") / n, n)
        decibels = 10 / torch.log(torch.tensor(10.0))
        psnr = (2 * torch.log(self.width) - torch.log(mean)) * decibels
        return {
            "psnr": psnr,
            "psnr_error": decibels * error / mean,
            "rmse": mean.sqrt(),
            "rmse_error": error / (2 * mean.sqrt()),
        }


class SSIM(Sums):
    """Wang et al. 2004, eq. 13, with their Gaussian window of standard deviation 1.5 on 11 x 11.

    The mean over images of the mean over all places where the window lies inside; -1..1.
    """

    total: Tensor
    squares: Tensor
    count: Tensor

    def __init__(self, pixel_range: tuple[float, float]) -> None:
        super().__init__(total=torch.zeros(()), count=torch.zeros((), dtype=torch.int64))
        self.squares = NOTHING
        self.low, self.high = pixel_range

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add restored images and originals, both [N, C, H, W] in the pixel range."""
        # SSIM compares brightness to darkness, so darkness must be 0.
        width = self.high - self.low
        found = ssim((preds - self.low) / width, (target - self.low) / width)
        self.total = self.total + found.sum()
        self.squares = self.squares + sum_of_squares(found)
        self.count = self.count + len(found)

    def compute(self) -> dict[str, Tensor]:
        """``ssim``, the mean over all images, and ``ssim_error``."""
        n = self.summed("count").cpu()
        mean = self.summed("total").cpu() / n
        return {"ssim": mean, "ssim_error": standard_error(mean, self.summed("squares") / n, n)}


def check_size(image_shape: Sequence[int]) -> None:
    """Refuse images, ``[..., H, W]``, with a side below SSIM's window of 11 pixels."""
    if min(image_shape[-2:]) < WINDOW:
        raise ValueError(f"SSIM needs images of at least {WINDOW} pixels a side")


def ssim(x_hat: Tensor, x_0: Tensor) -> Tensor:
    """SSIM [N] of images [N, C, H, W] in 0..1, as scikit-image and the authors' code have it.

    torchmetrics averages over the padded border too: on digits, whose border is empty, quite
    another number.

    >>> x_0 = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    >>> ssim(x_0, x_0).tolist()
    [1.0, 1.0]
    """
    if not len(x_0):  # a convolution knows no batch without images
        return x_0.new_empty(0)
    moments = torch.cat((x_hat, x_0, x_hat * x_hat, x_0 * x_0, x_hat * x_0))
    window = _window(x_0).expand(x_0.shape[1], 1, -1, -1)
    means = functional.conv2d(moments, window, groups=x_0.shape[1]).split(len(x_0))
    mean_hat, mean_0, square_hat, square_0, product = means
    # Rounding may put a variance below 0.
    var_hat = (square_hat - mean_hat.square()).clamp(min=0)
    var_0 = (square_0 - mean_0.square()).clamp(min=0)
    likeness = 2 * mean_hat * mean_0 + C_1
    likeness *= 2 * (product - mean_hat * mean_0) + C_2
    most = (mean_hat.square() + mean_0.square() + C_1) * (var_hat + var_0 + C_2)
    at_each_place: Tensor = likeness / most
    return at_each_place.mean(dim=(1, 2, 3))


def _window(like: Tensor) -> Tensor:
    """A Gaussian [11, 11] of standard deviation 1.5 whose weights sum to 1."""
    places = torch.arange(WINDOW, dtype=like.dtype, device=like.device) - WINDOW // 2
    weights = torch.exp(-(places / STD).square() / 2)
    weights /= weights.sum()
    return torch.outer(weights, weights)
