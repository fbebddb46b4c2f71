"""Comparisons of runs in words, as a table, and as a figure of differences with intervals."""

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from thaw.groups import GROUPS
from thaw.reporting.comparisons import EVERYTHING, Comparison
from thaw.reporting.numbers import number
from thaw.reporting.style import BLUE, GREY, ORANGE, own_style, panels, titled
from thaw.reporting.tables import MISSING, Cell, Number, Table

MAX_SENTENCES = 6
MAX_ROWS = 20


def name_of(key: str, value: str) -> str:
    """A value of a key as a sentence has it: ``blur``, but ``model.activation=gelu``."""
    stands_alone = {EVERYTHING, "experiment", *(group.name for group in GROUPS)}
    return value if key in stands_alone else f"{key}={value}"


def against_best(found: Sequence[Comparison]) -> list[Comparison]:
    """By each score, the comparisons of the value with the best mean, the others' alike."""
    kept: list[Comparison] = []
    sets = dict.fromkeys((each.key, each.rest, each.measured.label) for each in found)
    for chosen in sets:
        alike = [each for each in found if (each.key, each.rest, each.measured.label) == chosen]
        means = {each.first: each.means[0] for each in alike}
        means |= {each.second: each.means[1] for each in alike}
        lower = alike[0].measured.score.lower_is_better
        best = min(means, key=lambda value: means[value] if lower else -means[value])
        kept += [each for each in alike if best in (each.first, each.second)]
    return kept


def headline(found: Sequence[Comparison]) -> list[str]:
    """Sentences that answer which value is better, by the first score: the best against others."""
    first = found[0].measured.label
    by_first = [each for each in against_best(found) if each.measured.label == first]
    sentences = [sentence(each) for each in by_first[:MAX_SENTENCES]]
    if len(by_first) > MAX_SENTENCES:
        sentences.append(f"{len(by_first) - MAX_SENTENCES} more are in the table.")
    return sentences


def sentence(each: Comparison) -> str:
    """``A is better than B: FID 8.10 lower, 6.90 to 9.30 (95 %), 3 seeds, N = 1,000.``"""
    score, found = each.measured.score, each.difference
    names = [name_of(each.key, value) for value in (each.first, each.second)]
    better, other = reversed(names) if each.is_second_better else names
    low, high = sorted((-x if found.mean < 0 else x) for x in found.interval)
    unit = f" {score.unit}" if score.unit else ""
    change = f"{number(abs(found.mean), score.format)}{unit}"
    change += " lower" if score.lower_is_better else " higher"
    within = f"{number(low, score.format)} to {number(high, score.format)} (95 %)"
    label, size = each.measured.label, f"N = {each.num_images:,}"
    rest = f" ({each.rest})" if each.rest else ""
    if found.count < 2:
        chance = "with one seed nobody can say whether that is more than chance"
        return f"{better} against {other}{rest}: {label} {change}; {chance}."
    of = f"{found.count} {'seeds' if each.of_seeds else 'draws of one seed'}, {size}"
    only = "" if each.of_seeds else " Another training of either may turn it round."
    if each.is_called:
        return f"{better} is better than {other}{rest}: {label} {change}, {within}, {of}.{only}"
    settle = f" To settle it: {each.to_settle}." if each.of_seeds else only
    return (
        f"{better} and {other}{rest} are not distinguishable by {label} at {size}, "
        f"{of.partition(',')[0]}: {change} with {better}, {within}.{settle}"
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
        "of 100 repetitions.",
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
    shown = against_best(found)
    labels = list(dict.fromkeys(each.measured.label for each in shown))
    rows = {label: [e for e in shown if e.measured.label == label][:MAX_ROWS] for label in labels}
    height = 0.9 + 0.32 * max(map(len, rows.values()))
    figure, cells = panels(len(labels), 2, 4.6, height)
    for axes, label in zip(cells, labels, strict=True):
        for place, each in enumerate(rows[label]):
            difference = each.difference
            colour = GREY if not each.is_called else BLUE
            low, high = difference.interval
            if math.isfinite(low):
                axes.plot([low, high], [place, place], color=colour, lw=1.6)
            axes.plot(difference.mean, place, "o", color=colour, ms=5)
        axes.axvline(0, color=ORANGE, lw=0.8, ls="--")
        names = [f"{name_of(e.key, e.second)} - {name_of(e.key, e.first)}" for e in rows[label]]
        axes.set_yticks(range(len(names)), titled(names, 34, 2), fontsize=8)
        axes.set_ylim(len(names) - 0.5, -0.5)
        score = rows[label][0].measured.score
        better = "left" if score.lower_is_better else "right"
        unit = f" in {score.unit}" if score.unit else ""
        axes.set_xlabel(
            f"difference in {label}{unit} ({better}: the first named is better)", fontsize=8
        )
    return figure
