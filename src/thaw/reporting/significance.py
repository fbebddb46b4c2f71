"""Is a difference real? Student's t for pairs, Holm's correction, and what would settle it."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scipy import stats

LEVEL = 0.05
POWER = 0.8
MOST = 200


@dataclass(frozen=True)
class Difference:
    """The mean of ``count`` differences of pairs, and their standard deviation (NaN for one)."""

    mean: float
    std: float
    count: int

    @classmethod
    def of(cls, differences: Sequence[float]) -> "Difference":
        std = statistics.stdev(differences) if len(differences) > 1 else math.nan
        return cls(statistics.fmean(differences), std, len(differences))

    def reversed(self) -> "Difference":
        """The same, the other way round."""
        return replace(self, mean=-self.mean)

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return self.std / math.sqrt(self.count)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the mean, by Student's t; NaN for one pair."""
        if self.count < 2:
            return math.nan, math.nan
        half = float(stats.t.ppf(1 - LEVEL / 2, self.count - 1)) * self.error
        return self.mean - half, self.mean + half

    @property
    def p_value(self) -> float:
        """Of the two-sided t test against no difference; NaN for one pair."""
        if self.count < 2:
            return math.nan
        if self.std == 0:
            return 0.0 if self.mean else 1.0
        return float(2 * stats.t.sf(abs(self.mean) / self.error, self.count - 1))

    def pairs_needed(self, level: float = LEVEL) -> int | None:
        """The pairs in all that find a mean like this one with 80 % power, if at most 200.

        A guess as good as the mean and standard deviation of the pairs there are.
        """
        counts = range(max(2, self.count), MOST + 1)
        return next((k for k in counts if power(self.mean, self.std, k, level) >= POWER), None)


def power(mean: float, std: float, count: int, level: float = LEVEL) -> float:
    """How often the two-sided t test of ``count`` pairs finds this mean difference, 0 to 1.

    By the noncentral t distribution (Cohen 1988, section 2.3).
    """
    if std == 0:
        return 1.0 if mean else level
    freedom, shift = count - 1, abs(mean) / std * math.sqrt(count)
    critical = stats.t.ppf(1 - level / 2, freedom)
    found = stats.nct.sf(critical, freedom, shift) + stats.nct.cdf(-critical, freedom, shift)
    # The far tail is 0, for which the series of some versions has NaN.
    return float(found) if math.isfinite(found) else float(shift > critical)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values of a family of tests, corrected for their number (Holm 1979), in the given order.

    To reject those of at most 5 % keeps the chance of any false one at 5 %. NaN are left out of the
    family and stay.
    """
    known = sorted(
        (k for k, p in enumerate(p_values) if not math.isnan(p)), key=p_values.__getitem__
    )
    corrected = list(p_values)
    largest = 0.0
    for rank, k in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p_values[k]))
        corrected[k] = largest
    return corrected
