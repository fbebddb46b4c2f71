"""The sections of a report: what it shows of the runs, and what it could not show and why."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from thaw.metrics import table
from thaw.metrics.table import Score
from thaw.networks.activations import ACTIVATIONS
from thaw.reporting import curves, panels, results, settings
from thaw.reporting.finished import read_alpha_bar, read_image, read_restoration, sample_grids
from thaw.reporting.groups import Group
from thaw.reporting.tables import Table

STUDY_EPOCHS = (1, 20, 40, 60, 100)
MAX_COLUMNS = 6
T = TypeVar("T")


@dataclass
class Drawing:
    """A figure of the report.

    is_chart: whether it is lines on white, which a dark page may invert.
    source: the address of its image on the page, once it is written.
    """

    name: str
    caption: str
    figure: Figure
    is_chart: bool = True
    source: str = ""


@dataclass
class Section:
    """Part of the page: what it shows, and what it could not show and why.

    prefix: folder of its figures, ending in a slash, or empty.
    """

    title: str
    prefix: str = ""
    drawings: list[Drawing] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    folded: bool = False
    number: str = ""

    @property
    def anchor(self) -> str:
        """The name that links to it."""
        return f"{self.number}{slug(self.title)}".lower()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.drawings or self.tables or self.notes)

    def draw(self, name: str, caption: str, figure: Figure, is_chart: bool = True) -> None:
        """Add a figure."""
        self.drawings.append(Drawing(f"{self.prefix}{name}", caption, figure, is_chart))

    def tabulate(self, *tables: Table) -> "Section":
        """Add those tables that have rows; returns this section."""
        self.tables += [each for each in tables if each.rows]
        return self

    def collect(
        self, groups: Sequence[Group], read: Callable[[Group], T], is_mean: bool = False
    ) -> dict[str, T]:
        """What ``read`` gives of each group, by title; its ``ValueError`` becomes a note.

        The title names the seed of the run that is read, unless ``is_mean`` says that all are.
        """
        found = {}
        for group in groups:
            try:
                found[group.title if is_mean else group.title_of_first] = read(group)
            except ValueError as error:
                self.notes.append(f"{group.title}: {error}")
        return found


def sections(groups: Sequence[Group], drawn: Sequence[Group]) -> Iterator[Section]:
    """All sections in the order of the page: tables of ``groups``, figures of those ``drawn``."""
    yield _problems(groups)
    yield _results(groups)
    yield _hyperparameters(groups)
    for side_by_side in SIDE_BY_SIDE:
        yield side_by_side(drawn, "")
    yield _setup(drawn)
    if len(drawn) > 1:
        for number, group in enumerate(drawn):
            yield _one(group, f"{number:02d}_")
    yield Section("Environment").tabulate(settings.environment(groups))


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
    sizes = sorted({n for group in groups for run in group.members for n in run.column("val/n")[1]})
    of = f", N = {', '.join(f'{n:,.0f}' for n in sizes)}" if sizes else ""
    for score in table.GENERATED:
        if score.is_main:
            found = section.collect(groups, partial(_curve, score), is_mean=True)
            if found:
                caption = f"{score.label} of images generated after an epoch{of}."
                figure = curves.score_figure(found, score.title, log=score.lower_is_better)
                section.draw(score.short, caption, figure)
    return section


def _curve(score: Score, group: Group) -> curves.Curve:
    columns = [run.column(f"val/{score.name}") for run in group.members]
    values = pd.concat([pd.Series(values, epochs, float) for epochs, values in columns])
    if values.empty:
        raise ValueError(f"no val/{score.name} in metrics.csv")
    by_epoch = values.groupby(level=0)
    mean, std = by_epoch.mean(), by_epoch.std().fillna(0)
    scored = [row for row in group.first.epochs if f"val/{score.name}" in row] or [{}]
    floor, size = scored[-1].get(f"val/{score.floor}"), scored[-1].get("val/n")
    return curves.Curve(mean.index.to_numpy(), mean.to_numpy(), std.to_numpy(), floor, size)


def _losses(groups: Sequence[Group], prefix: str) -> Section:
    section = Section("Loss", prefix)
    for group in groups:
        num_read = len(group.first.step_losses[0])
        num_steps = max(group.first.column("step")[1], default=1)
        if num_read < num_steps:
            section.notes.append(
                f"{group.title}: its file has {num_read} of {num_steps:.0f} steps' losses"
            )
    known = [group for group in groups if len(group.first.step_losses[0]) or group.first.epochs]
    if found := section.collect(known, _loss):
        caption = (
            "Training loss of each step, its mean over each epoch, and the loss on the "
            "validation images. Losses of different objectives or predictions do not compare."
        )
        section.draw("loss", caption, curves.loss_figure(found))
    return section


def _loss(group: Group) -> curves.Losses:
    run = group.first
    return curves.Losses(
        run.step_losses, run.column("train/loss", "step"), run.column("val/loss", "step")
    )


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
        section.draw("samples", caption, panels.samples_figure(images, epochs), is_chart=False)
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
        caption = (
            "Test images, the same degraded all the way (t = T), and restored from there: by one "
            "prediction, by Algorithms 1 and 2 of Cold Diffusion, or by the run's own sampler."
        )
        figure = panels.restoration_figure(list(found.items()))
        section.draw("restoration", caption, figure, is_chart=False)
    return section


def _classes(groups: Sequence[Group], prefix: str) -> Section:
    section = Section("Classes of the generated images", prefix)
    if counts := section.collect(groups, _counts):
        real = next(iter(Section("").collect(groups, partial(_counts, end="_real")).values()), None)
        caption = "Classes of the images of the final scores, as the encoder sees them."
        section.draw("classes", caption, curves.class_figure(counts, real))
    return section


def _counts(group: Group, end: str = "") -> list[float]:
    value: list[float] | None = group.first.get("final_scores", f"final/class_histogram{end}")
    if not value:
        raise ValueError("no histogram of classes")
    return value


SIDE_BY_SIDE = (_scores, _losses, _samples, _restorations, _classes)


def _setup(groups: Sequence[Group]) -> Section:
    section = Section("Schedules and activation functions")
    found = section.collect(groups, lambda group: read_alpha_bar(group.first), is_mean=True)
    schedules: dict[str, Tensor] = {}
    for title, alpha_bar in found.items():
        if alpha_bar is not None and not any(map(alpha_bar.equal, schedules.values())):
            schedules[title] = alpha_bar
    if schedules:
        caption = "The noise schedules of the runs, each once."
        section.draw("schedules", caption, curves.schedule_figure(schedules))
    given = dict.fromkeys(group.first.get("config", "model", "activation") for group in groups)
    known = [name for name in given if name in ACTIVATIONS]
    if known:
        caption = "The activation functions of the networks."
        section.draw("activations", caption, curves.activation_figure(known))
    return section


def _one(group: Group, number: str) -> Section:
    """All figures of one run, folded away on the page."""
    whole = Section(group.title, folded=True, number=number)
    for side_by_side in SIDE_BY_SIDE:
        folder = f"runs/{number}{slug(group.title)}/"
        whole.drawings += side_by_side([group], folder).drawings
    for run in group.members:
        overrides = run.get("overrides") or ["no overrides"]
        whole.notes.append(f"{run.directory}: {' '.join(overrides)}")
    return whole


def slug(text: str) -> str:
    """A name for files and links made of what every system and browser takes."""
    return re.sub(r"[^\w.=+-]+", "-", text, flags=re.ASCII).strip("-.")[:60] or "run"
