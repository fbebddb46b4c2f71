"""The sections of a report: what it shows of the runs, and what it could not show and why."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np
from torch import Tensor

from thaw.metrics import table
from thaw.metrics.table import Score
from thaw.networks.activations import ACTIVATIONS
from thaw.reporting import curves, panels, results, settings, verdicts
from thaw.reporting.captions import (
    Value,
    about_losses,
    conditions,
    in_words,
    seeds_in_words,
    ways,
)
from thaw.reporting.comparisons import Comparison
from thaw.reporting.films import Films, films_of
from thaw.reporting.finished import read_alpha_bar, read_image, read_restoration, sample_grids
from thaw.reporting.groups import Group
from thaw.reporting.section import Section, slug
from thaw.reporting.style import Look

STUDY_EPOCHS = (1, 20, 40, 60, 100)
MAX_COLUMNS = 6
# More would make figures longer than any screen, and the page larger than 10 MB.
NUM_SHOWN, NUM_PLAYED = 24, 8


@dataclass(frozen=True)
class LossAxes:
    """How losses of several runs are drawn.

    over: ``epoch`` (means over each epoch) or ``step`` (every step).
    smooth: number of epochs or steps of the running mean over the training loss, 1 for none.
    """

    over: Literal["epoch", "step"] = "epoch"
    smooth: int = 1


@dataclass(frozen=True)
class Options:
    """What a report shows.

    title: title of the page.
    num_shown: largest number of experiments that have figures, those of the best FID; tables have
        all.
    labels: names for overrides, whole titles and run directories.
    compare: keys whose values are compared, all else equal.
    num_played: largest number of experiments that can be played with.
    data_root: folder of the data, if not that of training.
    losses: how losses of several runs are drawn.
    paper: whether paper/ is written too.
    overrides: those of the command that asked for it all, for reproduce.sh.
    """

    title: str = "Report"
    num_shown: int = NUM_SHOWN
    labels: Mapping[str, str] = field(default_factory=dict)
    compare: Sequence[str] = ()
    num_played: int = NUM_PLAYED
    data_root: str | None = None
    losses: LossAxes = field(default_factory=LossAxes)
    paper: bool = False
    overrides: Sequence[str] = ()


def sections(
    groups: Sequence[Group],
    drawn: Sequence[Group],
    options: Options,
    comparisons: Sequence[Comparison] = (),
) -> Iterator[Section]:
    """All sections in the order of the page: tables of ``groups``, figures of those ``drawn``."""
    losses = partial(_losses, shown=options.losses)
    side_by_side = (_scores, losses, _samples, _restorations, _classes)
    if comparisons:
        yield _comparison(comparisons)
    yield _problems(groups)
    yield _results(groups)
    yield _hyperparameters(groups)
    for section_of in side_by_side:
        yield section_of(drawn, "")
    yield _play(drawn[: options.num_played], options.data_root)
    yield _setup(drawn)
    if len(drawn) > 1:
        for number, group in enumerate(drawn):
            yield _one(group, f"{number:02d}_", side_by_side)
    yield Section("Environment").tabulate(settings.environment(groups))


def _comparison(comparisons: Sequence[Comparison]) -> Section:
    section = Section("What is better", words=verdicts.headline(comparisons))
    section.tabulate(verdicts.comparison_table(comparisons))
    caption = (
        "The best value of each key against the others: differences with 95 % intervals, blue "
        "where the two are told apart."
    )
    section.draw("differences", caption, partial(verdicts.difference_figure, comparisons))
    return section


def _play(groups: Sequence[Group], data_root: str | None) -> Section:
    section = Section("Play")

    def read(group: Group) -> Films:
        try:
            return films_of(group.first.directory, group.title_of_first, data_root)
        except ValueError as error:
            raise ValueError(f"nothing to play with: {error}") from error

    section.films = [asdict(films) for films in section.collect(groups, read).values()]
    return section


def _problems(groups: Sequence[Group]) -> Section:
    section = Section("What is missing")
    for group in groups:
        for run in group.members:
            is_alone = len(group.members) == 1
            title = group.title if is_alone else f"{group.title}, {run.directory.name}"
            section.notes += [f"{title}: {problem}" for problem in run.problems]
    return section


def _results(groups: Sequence[Group]) -> Section:
    kinds = (results.results, results.estimates, results.evaluations, results.restorations)
    section = Section("Results").tabulate(*(kind(groups) for kind in kinds))
    lacking = [group for group in groups if not group.first.get("final_scores")]
    section.notes += [f"{group.title}: no final scores" for group in lacking]
    return section


def _hyperparameters(groups: Sequence[Group]) -> Section:
    section = Section("Hyperparameters").tabulate(*settings.hyperparameters(groups))
    lacking = [group for group in groups if not group.first.get("config")]
    section.notes += [f"{group.title}: run.json holds no configuration" for group in lacking]
    return section


def _scores(groups: Sequence[Group], prefix: str) -> Section:
    section = Section("Scores over the epochs", prefix)
    looks = _looks(groups)
    for score in table.GENERATED:
        if score.is_main:
            found = section.collect(groups, partial(_curve, score), is_mean=True)
            if found:
                caption = _about_curves(score, groups, found)
                draw = partial(
                    curves.score_figure, found, score.title, score.lower_is_better, looks
                )
                section.draw(score.short, caption, draw)
    return section


def _about_curves(score: Score, groups: Sequence[Group], found: Mapping[str, curves.Curve]) -> str:
    """The caption of a score's curves: N, encoder, floors and seeds."""
    shown = [group for group in groups if group.title in found]
    measured = conditions(
        shown, lambda run: max(run.column("val/n")[1], default=None), lambda run: run.get("encoder")
    )
    floors = sorted({curve.floor for curve in found.values() if curve.floor is not None})
    said = f"{score.label} of images generated after an epoch{measured}; {seeds_in_words(shown)}"
    if any(np.any(curve.std) for curve in found.values()):
        said += ", the bands are one standard deviation to either side"
    if floors:
        values = in_words([format(floor, score.format) for floor in floors])
        said += f". Floor, what as many real test images score: {values}"
    return f"{said}."


def _curve(score: Score, group: Group) -> curves.Curve:
    columns = [run.column(f"val/{score.name}") for run in group.members]
    if not any(values for _, values in columns):
        raise ValueError(f"no val/{score.name} in metrics.csv")
    scored = [row for row in group.first.epochs if f"val/{score.name}" in row] or [{}]
    floor, size = scored[-1].get(f"val/{score.floor}"), scored[-1].get("val/n")
    return curves.Curve.over_seeds(columns, floor, size)


def _losses(groups: Sequence[Group], prefix: str, shown: LossAxes) -> Section:
    section = Section("Loss", prefix)
    for group in groups:
        num_read = len(group.first.step_losses[0])
        num_steps = max(group.first.column("step")[1], default=1)
        if num_read < num_steps:
            section.notes.append(
                f"{group.title}: its file has {num_read} of {num_steps:.0f} steps' losses"
            )
    known = [group for group in groups if len(group.first.step_losses[0]) or group.first.epochs]
    if len(known) == 1:
        _draw_steps(section, known[0])
    elif known:
        found = section.collect(known, partial(_loss, shown=shown), is_mean=True)
        caption = about_losses(found, shown.over, shown.smooth, seeds_in_words(known))
        draw = partial(curves.loss_figure, found, shown.over, _looks(known))
        section.draw("loss", caption, draw)
    return section


def _draw_steps(section: Section, group: Group) -> None:
    """The losses of one run, each step's too."""
    each_step, losses = group.first.step_losses, _loss(group, LossAxes("epoch"), "step")
    caption = about_losses({group.title: losses}, "epoch", 1, seeds_in_words([group]))
    if len(each_step[0]):
        of = f" of seed {group.first.get('seed')}" if len(group.members) > 1 else ""
        caption += f" Pale: the loss of each step{of}."
    section.draw("loss", caption, partial(curves.steps_figure, each_step, losses, group.look))


def _loss(group: Group, shown: LossAxes, x: str | None = None) -> curves.Losses:
    """Means over the seeds; the training loss by epoch where the steps' own losses are missing."""
    x = x or shown.over
    steps = [run.step_losses for run in group.members] if shown.over == "step" else []
    train = steps if any(len(losses) for _, losses in steps) else [
        run.column("train/loss", x) for run in group.members
    ]  # fmt: skip
    smooth = [(places, curves.smoothed(losses, shown.smooth)) for places, losses in train]
    val = [run.column("val/loss", x) for run in group.members]
    return curves.Losses(curves.Curve.over_seeds(smooth), curves.Curve.over_seeds(val))


def _samples(groups: Sequence[Group], prefix: str) -> Section:
    section = Section("Samples", prefix)
    epochs = chosen_epochs({epoch for group in groups for epoch in sample_grids(group.first)})

    def read(group: Group) -> dict[int, np.ndarray]:
        paths = sample_grids(group.first)
        if not paths:
            raise ValueError("no grids of samples")
        return {epoch: read_image(path) for epoch, path in paths.items() if epoch in epochs}

    if images := section.collect(groups, read):
        caption = "Samples after some epochs, each run from the same starting points throughout."
        draw = partial(panels.samples_figure, images, epochs)
        section.draw("samples", caption, draw, is_chart=False)
    return section


def chosen_epochs(epochs: set[int]) -> list[int]:
    """At most six columns: all epochs, else the study's (1, 20, 40, 60, 100) and the last."""
    ordered = sorted(epochs)
    if len(ordered) <= MAX_COLUMNS:
        return ordered
    kept = [epoch for epoch in ordered if epoch in STUDY_EPOCHS or epoch == ordered[-1]]
    if len(kept) > 3:
        return kept
    last = len(ordered) - 1
    return [ordered[round(k * last / (MAX_COLUMNS - 1))] for k in range(MAX_COLUMNS)]


def _restorations(groups: Sequence[Group], prefix: str) -> Section:
    section = Section("Restoration", prefix)
    if found := section.collect(groups, lambda group: read_restoration(group.first)):
        there = {stage for stages in found.values() for stage in stages}
        caption = (
            "Test images, the same degraded all the way (t = T), and restored from there"
            f"{ways(there)}."
        )
        draw = partial(panels.restoration_figure, list(found.items()))
        section.draw("restoration", caption, draw, is_chart=False)
    return section


def _classes(groups: Sequence[Group], prefix: str) -> Section:
    section = Section("Classes of the generated images", prefix)
    if counts := section.collect(groups, _counts):
        real = next(iter(Section("").collect(groups, partial(_counts, end="_real")).values()), None)
        shown = [group for group in groups if group.title_of_first in counts]
        first = [replace(group, members=[group.first]) for group in shown]
        measured = conditions(first, *(_final_score(name) for name in ("n", "encoder")))
        marks = "; marks: real images" if real else ""
        caption = (
            f"Classes of the images of the final scores, as the encoder sees them{measured}{marks}."
        )
        draw = partial(curves.class_figure, counts, real, _looks(groups))
        section.draw("classes", caption, draw)
    return section


def _counts(group: Group, end: str = "") -> list[float]:
    value: list[float] | None = group.first.get("final_scores", f"final/class_histogram{end}")
    if not value:
        raise ValueError("no histogram of classes")
    return value


def _final_score(name: str) -> Value:
    return lambda run: run.get("final_scores", f"final/{name}")


def _looks(groups: Sequence[Group]) -> dict[str, Look]:
    """The looks of groups, by each title that they have in a figure."""
    return {title: group.look for group in groups for title in (group.title, group.title_of_first)}


def _setup(groups: Sequence[Group]) -> Section:
    section = Section("Schedules and activation functions")
    found = section.collect(groups, lambda group: read_alpha_bar(group.first), is_mean=True)
    schedules: dict[str, Tensor] = {}
    for title, alpha_bar in found.items():
        if alpha_bar is not None and not any(map(alpha_bar.equal, schedules.values())):
            schedules[title] = alpha_bar
    if schedules:
        caption = "The noise schedules of the runs, each once, by the first run that has it."
        draw = partial(curves.schedule_figure, schedules, _looks(groups))
        section.draw("schedules", caption, draw)
    known: dict[str, Look] = {}
    for group in groups:
        name = group.first.get("config", "model", "activation")
        if name in ACTIVATIONS:
            known.setdefault(name, group.look)
    if known:
        caption = "The activation functions of the networks, in the colour of the first run."
        draw = partial(curves.activation_figure, list(known), known)
        section.draw("activations", caption, draw)
    return section


def _one(
    group: Group, number: str, side_by_side: Sequence[Callable[[Sequence[Group], str], Section]]
) -> Section:
    """All figures of one run, folded away on the page."""
    whole = Section(group.title, folded=True, number=number)
    for section_of in side_by_side:
        folder = f"runs/{number}{slug(group.title)}/"
        whole.drawings += section_of([group], folder).drawings
    for run in group.members:
        overrides = run.get("overrides") or ["no overrides"]
        whole.notes.append(f"{run.directory}: {' '.join(overrides)}")
    return whole
