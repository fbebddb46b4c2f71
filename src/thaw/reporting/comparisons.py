"""Is one value of a key better than another, all else equal? Pairs of runs, tested."""

import itertools
import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from thaw.diffusion.restoration import stage_title
from thaw.diffusion.samplers.cold import ALGORITHM_2
from thaw.groups import GROUPS
from thaw.metrics import table
from thaw.metrics.table import Score
from thaw.reporting.finished import FinishedRun
from thaw.reporting.groups import Group
from thaw.reporting.labels import without_seed
from thaw.reporting.settings import settings_of
from thaw.reporting.significance import LEVEL, POWER, Difference, holm, power

EVERYTHING = "all"
COMPARED = ("fid", "kid", "is_mean")
COMPARED_RESTORED = ("psnr", "ssim")
FACTORS = (2, 5, 10, 20, 50, 100)


@dataclass(frozen=True)
class Measured:
    """A score of each run: its row of the table, its name, and its values by the run's directory.

    Values are a dictionary as run.json has it: ``draws`` and errors where they are known, ``n``.
    """

    score: Score
    label: str
    by_run: Mapping[Any, Mapping[str, Any]]

    def of(self, run: FinishedRun) -> float:
        """The run's value, NaN where it has none."""
        value = self.by_run[run.directory].get(self.score.name)
        return math.nan if value is None else float(value)

    def draws(self, run: FinishedRun) -> list[float]:
        """The value of each draw; empty where there is one alone."""
        return [draw[self.score.name] for draw in self.by_run[run.directory].get("draws", [])]

    def error(self, run: FinishedRun) -> float:
        """The sampling error of the value, NaN where it is not known."""
        return float(self.by_run[run.directory].get(self.score.error, math.nan))


@dataclass(frozen=True)
class Comparison:
    """Two values of a key by one score, in runs that are alike in all else.

    first, second: the two values of the key; differences are second - first.
    rest: what tells these runs from those of the key's other comparisons, or empty.
    means: of the score, for either value.
    of_seeds: over pairs of one seed, ``None`` where there is one seed.
    of_draws: over draws of one seed's two models, ``None`` with several seeds or without draws.
    sampling: what sampling alone adds to the spread of the differences; NaN where not known.
    p_value: corrected for the number of comparisons by this score.
    level: 5 % over that number, at which one of them is found whatever the others are.
    """

    key: str
    first: str
    second: str
    rest: str
    measured: Measured
    num_images: int
    means: tuple[float, float]
    of_seeds: Difference | None
    of_draws: Difference | None
    sampling: float = math.nan
    p_value: float = math.nan
    level: float = LEVEL

    @property
    def difference(self) -> Difference:
        """That over seeds, or else over draws, or else of the one pair there is."""
        one = Difference(self.means[1] - self.means[0], math.nan, 1)
        return self.of_seeds or self.of_draws or one

    def reversed(self) -> "Comparison":
        """The same, the other way round."""
        return replace(
            self,
            first=self.second,
            second=self.first,
            means=self.means[::-1],
            of_seeds=self.of_seeds and self.of_seeds.reversed(),
            of_draws=self.of_draws and self.of_draws.reversed(),
        )

    @property
    def is_called(self) -> bool:
        """Whether the two are told apart, at 5 % after the correction."""
        return self.p_value <= LEVEL

    @property
    def is_second_better(self) -> bool:
        """Whether the second value has the better mean."""
        return (self.difference.mean < 0) == self.measured.score.lower_is_better

    @property
    def verdict(self) -> str:
        """``better``, ``worse`` or ``not distinguishable``: the second value against the first."""
        if self.difference.count < 2:
            return "one seed: no error known"
        called = "better" if self.is_second_better else "worse"
        word = called if self.is_called else "not distinguishable"
        return word if self.of_seeds else f"{word} (these two models)"

    @property
    def to_settle(self) -> str:
        """What would settle it with 80 % power if the difference is as large as it seems."""
        if self.of_seeds is None:
            return "more seeds"
        if self.is_called:
            return ""
        needed = self.of_seeds.pairs_needed(self.level)
        ways = [f"{needed} seeds" if needed else "over 200 seeds"]
        if images := self._images_needed(self.of_seeds):
            ways.append(f"N = {images:,} with these seeds")
        return " or ".join(ways)

    def _images_needed(self, found: Difference) -> int | None:
        """N that would do with the same seeds; ``None`` where training makes up the spread."""
        if math.isnan(self.sampling):
            return None
        training = max(0.0, found.std**2 - self.sampling**2)
        spreads = {k: math.sqrt(training + self.sampling**2 / k) for k in FACTORS}
        enough = (
            k for k in FACTORS if power(found.mean, spreads[k], found.count, self.level) >= POWER
        )
        factor = next(enough, None)
        return None if factor is None else factor * self.num_images


def compared(groups: Sequence[Group], keys: Sequence[str]) -> list[Comparison]:
    """Every pair of values of each key, in runs alike in all else, by every score that they have.

    Of a group of choices, such as ``degradation``, runs are alike whose other overrides are; of any
    other key, those whose other values are. ``all`` compares every experiment with every other.

    Raises:
        ValueError: no two runs differ in one of the keys alone.
    """
    titles = {run.directory: group.title for group in groups for run in group.members}
    runs = [run for group in groups for run in group.members if run.is_done]
    scores = list(_scores(runs))
    found: list[Comparison] = []
    for key in keys:
        sets = _alike(runs, titles, key)
        pairs = [
            (rest, *pair)
            for rest, by_value in sets.items()
            for pair in itertools.combinations(by_value.items(), 2)
        ]
        made = (_compare(key, *pair, measured) for measured in scores for pair in pairs)
        by_key = [each for each in made if each is not None]
        if not by_key:
            raise ValueError(
                f"compare={key}: no two completed runs of one seed have scores, differ in it and "
                "are alike in all else (compare=all compares every experiment with every other)"
            )
        found += by_key
    return _corrected(found)


def _corrected(found: Sequence[Comparison]) -> list[Comparison]:
    """With Holm's correction over all comparisons by one score."""
    result = list(found)
    for label in dict.fromkeys(each.measured.label for each in found):
        places = [k for k, each in enumerate(found) if each.measured.label == label]
        p_values = holm([found[k].difference.p_value for k in places])
        level = LEVEL / max(1, sum(map(math.isfinite, p_values)))
        for k, p_value in zip(places, p_values, strict=True):
            result[k] = replace(found[k], p_value=p_value, level=level)
    return result


BySeed = Mapping[Any, FinishedRun]


def _alike(
    runs: Sequence[FinishedRun], titles: Mapping[Any, str], key: str
) -> dict[str, dict[str, BySeed]]:
    """Runs by what else they are, as far as that differs, by their value of the key, by seed."""
    split = [_split(run, key) for run in runs]
    if key == EVERYTHING:
        split = [([], titles[run.directory]) for run in runs]
    whole = [{*rest, f"N={run.get('final_scores', 'final/n')}", f"encoder={run.get('encoder')}"}
             for run, (rest, _) in zip(runs, split, strict=True)]  # fmt: skip
    shared = set.intersection(*whole) if whole else set()
    found: dict[str, dict[str, dict[Any, FinishedRun]]] = {}
    for run, own, (_, value) in zip(runs, whole, split, strict=True):
        if value is not None:
            of_value = found.setdefault(" ".join(sorted(own - shared)), {}).setdefault(value, {})
            of_value[run.get("seed")] = run
    return {rest: dict(by_value) for rest, by_value in found.items()}


def _split(run: FinishedRun, key: str) -> tuple[list[str], str | None]:
    """What else a run is, and its value of the key, ``None`` where it has none.

    A choice brings companions of its own, which would all differ: there overrides are compared.
    """
    if key in {"experiment", *(group.name for group in GROUPS)}:
        overrides = without_seed(run.get("overrides") or [])
        own = [part for part in overrides if part.startswith((f"{key}=", f"{key}/", f"{key}."))]
        rest = [part for part in overrides if part not in own]
        choice = (run.get("choices") or {}).get(key)
        given = " ".join(part.removeprefix(f"{key}=") for part in own)
        return rest, given or (None if choice is None else str(choice))
    found = settings_of(run)
    value = found.pop(key, None)
    return [f"{name}={text}" for name, text in found.items()], value


def _scores(runs: Sequence[FinishedRun]) -> Iterator[Measured]:
    """The scores to compare by: of generated images, then of restored ones."""
    generated = _draws_of_all(runs) or {
        run.directory: {
            name.removeprefix("final/"): value
            for name, value in (run.get("final_scores") or {}).items()
        }
        for run in runs
    }
    by_name = {row.name: row for row in table.GENERATED}
    yield from (Measured(by_name[name], by_name[name].label, generated) for name in COMPARED)
    restored = [run.get("restoration") or {} for run in runs]
    with_scores = [each for each in restored if "direct" in each]
    stage = ALGORITHM_2 if all(ALGORITHM_2 in each for each in with_scores) else "direct"
    by_run = {
        run.directory: {**each.get(stage, {}), "n": each.get("n")}
        for run, each in zip(runs, restored, strict=True)
    }
    for row in table.RESTORED:
        if row.name in COMPARED_RESTORED:
            yield Measured(row, f"{row.label}, {stage_title(stage)}", by_run)


def _draws_of_all(runs: Sequence[FinishedRun]) -> dict[Any, dict[str, Any]] | None:
    """The scores of the evaluation in several draws that every run has, the one of most images."""
    by_settings: dict[str, dict[Any, dict[str, Any]]] = {}
    for run in runs:
        for evaluation in run.evaluations:
            if "num_draws" in evaluation.get("generated", {}):
                settings = json.dumps(evaluation.get("settings"), sort_keys=True)
                by_settings.setdefault(settings, {})[run.directory] = evaluation["generated"]
    common = [found for found in by_settings.values() if len(found) == len(runs)]

    def size(found: Mapping[Any, Mapping[str, Any]]) -> int:
        return min(int(scores["n"] * scores["num_draws"]) for scores in found.values())

    return max(common, key=size, default=None)


def _compare(
    key: str,
    rest: str,
    first: tuple[str, BySeed],
    second: tuple[str, BySeed],
    measured: Measured,
) -> Comparison | None:
    """The two values by one score over the seeds that both have; ``None`` without any."""
    both = [(run, second[1][seed]) for seed, run in first[1].items() if seed in second[1]]
    both = [pair for pair in both if all(math.isfinite(measured.of(run)) for run in pair)]
    if not both:
        return None
    values = [[measured.of(run) for run in side] for side in zip(*both, strict=True)]
    differences = [b - a for a, b in zip(*values, strict=True)]
    of_draws = None
    if len(both) == 1:
        draws = list(zip(*(measured.draws(run) for run in both[0]), strict=False))
        of_draws = Difference.of([b - a for a, b in draws]) if len(draws) > 1 else None
    squares = [sum(measured.error(run) ** 2 for run in pair) for pair in both]
    return Comparison(
        key,
        first[0],
        second[0],
        rest,
        measured,
        num_images=int(measured.by_run[both[0][0].directory]["n"]),
        means=(statistics.fmean(values[0]), statistics.fmean(values[1])),
        of_seeds=Difference.of(differences) if len(both) > 1 else None,
        of_draws=of_draws,
        sampling=math.sqrt(statistics.fmean(squares)),
    )
