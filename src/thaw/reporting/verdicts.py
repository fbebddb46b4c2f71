"""Comparisons of runs in words, as a table, and as a figure of differences with intervals."""

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from thaw.groups import GROUPS
from thaw.reporting.comparisons import EVERYTHING, Comparison
from thaw.reporting.numbers import number
from thaw.reporting.style import BLUE, GREY, ORANGE, own_style, panels, titled
from thaw.reporting.tables import MISSING, Cell, Number, Table

MAX_SENTENCES = 4
MAX_ROWS = 20


def name_of(key: str, value: str) -> str:
    """A value of a key as a sentence has it: ``blur``, but ``model.activation=gelu``."""
    stands_alone = {EVERYTHING, "experiment", *(group.name for group in GROUPS)}
    return value if key in stands_alone else f"{key}={value}"


def best_against_others(found: Sequence[Comparison]) -> dict[str, list[Comparison]]:
    """By each score, the comparisons of the value with the best mean, which comes ``first``."""
    kept: dict[str, list[Comparison]] = {}
    sets = dict.fromkeys((each.measured.label, each.key, each.rest) for each in found)
    for chosen in sets:
        alike = [each for each in found if (each.measured.label, each.key, each.rest) == chosen]
        means = {each.first: each.means[0] for each in alike}
        means |= {each.second: each.means[1] for each in alike}
        sign = 1 if alike[0].measured.score.lower_is_better else -1
        best = min(means, key=lambda value: sign * means[value])
        kept.setdefault(chosen[0], []).extend(
            each if each.first == best else each.reversed()
            for each in alike
            if best in (each.first, each.second)
        )
    return kept


def headline(found: Sequence[Comparison]) -> list[str]:
    """Sentences that answer which value is better, by the first score: the best against others."""
    by_first = best_against_others(found)[found[0].measured.label]
    sentences = [sentence(each) for each in by_first[:MAX_SENTENCES]]
    if len(by_first) > MAX_SENTENCES:
        sentences.append(f"{len(by_first) - MAX_SENTENCES} more are in the table.")
    if all(each.difference.count < 2 for each in by_first):
        sentences.append("One seed each: nobody can say whether that is more than chance.")
    return sentences


def sentence(each: Comparison) -> str:
    """``A is better than B: FID 8.10 lower, 6.90 to 9.30 (95 %), 3 seeds, N = 1,000.``

    A is the first value, the one with the better mean.
    """
    score, found = each.measured.score, each.difference
    first, second = (name_of(each.key, value) for value in (each.first, each.second))
    rest = f" ({each.rest})" if each.rest else ""
    sign = 1 if score.lower_is_better else -1
    unit = f" {score.unit}" if score.unit else ""
    change = f"{number(sign * found.mean, score.format)}{unit}"
    change += " lower" if score.lower_is_better else " higher"
    label, size = each.measured.label, f"N = {each.num_images:,}"
    if found.count < 2:
        return f"{first} against {second}{rest}: {label} {change} at {size}."
    ends = sorted(sign * end for end in found.interval)
    within = f"{' to '.join(number(end, score.format) for end in ends)} (95 %)"
    of = f"{found.count} seeds" if each.of_seeds else f"{found.count} draws of one seed"
    only = "" if each.of_seeds else " Another training of either may turn it round."
    if each.is_called:
        better = f"{first} is better than {second}{rest}"
        return f"{better}: {label} {change}, {within}, {of}, {size}.{only}"
    settle = f" To settle it: {each.to_settle}." if each.of_seeds else only
    return (
        f"{first} and {second}{rest} are not distinguishable by {label} at {size}, {of}: "
        f"{change} with {first}, {within}.{settle}"
    )


def comparison_table(found: Sequence[Comparison]) -> Table:
    """A row for each comparison."""
    return Table.of(
        "comparison",
        "Differences between the values of a key, all else equal: the second less the first, over "
        "pairs of runs of one seed, which share x_T and test images. The interval is of 95 %, by "
        "Student's t over the seeds, so that both training and sampling are in it; with one seed "
        "it is over draws of images, and of these two models alone. p is of the two-sided test, "
        "by Holm's method corrected for the number of comparisons by that score; up to 0.05 the "
        "two are told apart. What would settle it finds a difference as large as this one in 80 "
        "of 100 repetitions, whatever the other comparisons find.",
        [_row(each) for each in found],
    )


def _row(each: Comparison) -> dict[str, Cell]:
    score, found = each.measured.score, each.difference
    low, high = (number(x, score.format) for x in found.interval)
    return {
        "comparison": f"{name_of(each.key, each.second)} against {name_of(each.key, each.first)}",
        "all else": each.rest or MISSING,
        "score": each.measured.label,
        "first": Number(each.means[0], places=score.format),
        "second": Number(each.means[1], places=score.format),
        "difference": Number(found.mean, places=score.format),
        "95 % interval": f"{low} to {high}" if found.count > 1 else MISSING,
        "seeds": Number(found.count if each.of_seeds else 1, places=".0f"),
        "N": Number(each.num_images, places=",.0f"),
        "p": Number(each.p_value, places=".2g") if found.count > 1 else MISSING,
        "verdict": each.verdict,
        "what would settle it": each.to_settle or MISSING,
    }


@own_style()
def difference_figure(found: Sequence[Comparison]) -> Figure:
    """The best value against the others, a panel for each score: differences, 95 % intervals.

    Blue where the two are told apart, grey where they are not. At most 20 rows a score.
    """
    shown = {label: rows[:MAX_ROWS] for label, rows in best_against_others(found).items()}
    height = 1.0 + 0.44 * max(map(len, shown.values()))
    figure, cells = panels(len(shown), 2, 4.6, height)
    for axes, (label, rows) in zip(cells, shown.items(), strict=True):
        bests = {name_of(each.key, each.first) for each in rows}
        for place, each in enumerate(rows):
            colour = BLUE if each.is_called else GREY
            low, high = each.difference.interval
            if math.isfinite(low):
                axes.plot([low, high], [place, place], color=colour, lw=1.6)
            axes.plot(each.difference.mean, place, "o", color=colour, ms=5)
        axes.axvline(0, color=ORANGE, lw=0.8, ls="--")
        others = [
            name_of(each.key, each.second)
            + ("" if len(bests) == 1 else f" against {name_of(each.key, each.first)}")
            for each in rows
        ]
        axes.set_yticks(range(len(rows)), titled(others, 2.4, 2, "label"), fontsize="small")
        axes.set_ylim(len(rows) - 0.5, -0.5)
        than = f"\nless that of {bests.pop()}" if len(bests) == 1 else ", others less the best"
        unit = f" in {rows[0].measured.score.unit}" if rows[0].measured.score.unit else ""
        axes.set_title(f"{label}{unit}{than}")
    return figure
