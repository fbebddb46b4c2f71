"""The sections of a report: what it shows of the runs, and what it could not show and why."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from thaw import runs
from thaw.metrics import table
from thaw.metrics.table import Score
from thaw.reporting import curves, panels, results, settings
from thaw.reporting.finished import (
    FinishedRun,
    lacks_schedule,
    read_alpha_bar,
    read_image,
    read_restoration,
    sample_grids,
)
from thaw.reporting.groups import Group
from thaw.reporting.tables import Table

STUDY_EPOCHS = (1, 20, 40, 60, 100)
MAX_COLUMNS = 6
A = TypeVar("A")
T = TypeVar("T")


@dataclass(frozen=True)
class Drawing:
    """A figure of the report; ``is_chart``: lines on white, which a dark page may invert."""

    name: str
    caption: str
    figure: Figure
    is_chart: bool = True


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
    anchor: str = ""

    def draw(self, name: str, caption: str, figure: Figure, is_chart: bool = True) -> None:
        """Add a figure."""
        self.drawings.append(Drawing(f"{self.prefix}{name}", caption, figure, is_chart))

    def tabulate(self, *tables: Table) -> None:
        """Add those tables that have rows."""
        self.tables += [each for each in tables if each.rows]

    def note(self, title: str, what: str) -> None:
        """Say what is missing of which run."""
        self.notes.append(f"{title}: {what}")

    def read(self, reader: Callable[[A], T], source: A, title: str) -> T | None:
        """What ``reader`` gives of ``source``; where a file is damaged, None and a note."""
        try:
            return reader(source)
        except ValueError as error:
            self.note(title, str(error))
            return None


def sections(groups: Sequence[Group], drawn: Sequence[Group]) -> Iterator[Section]:
    """All sections in the order of the page: tables of ``groups``, figures of those ``drawn``.

    The latter are side by side and then each alone.
    """
    yield _problems(groups)
    yield _results(groups)
    yield _hyperparameters(groups)
    for side_by_side in SIDE_BY_SIDE:
        yield side_by_side(drawn, "")
    yield _setup(drawn)
    if len(drawn) > 1:
        for number, group in enumerate(drawn):
            yield _one(group, f"{number:02d}_{slug(group.title)}")
    section = Section("Environment")
    section.tabulate(settings.environment(groups))
    yield section


def _problems(groups: Sequence[Group]) -> Section:
    section = Section("What is missing")
    for group in groups:
        for run in group.members:
            is_alone = len(group.members) == 1
            title = group.title if is_alone else f"{group.title}, {run.directory.name}"
            for problem in run.problems:
                section.note(title, problem)
    return section


def _results(groups: Sequence[Group]) -> Section:
    section = Section("Results")
    for make_table in (
        results.results, results.estimates, results.evaluations, results.restorations
    ):  # fmt: skip
        section.tabulate(make_table(groups))
    for group in groups:
        if not group.first.final:
            section.note(group.title, "no final scores")
    return section


def _hyperparameters(groups: Sequence[Group]) -> Section:
    section = Section("Hyperparameters")
    section.tabulate(*settings.hyperparameters(groups))
    for group in groups:
        if not group.first.config:
            section.note(group.title, "run.json holds no configuration")
    return section


def _scores(groups: Sequence[Group], prefix: str) -> Section:
    section = Section("Scores over the epochs", prefix)
    for score in table.GENERATED:
        if not score.is_main:
            continue
        shown = {}
        for group in groups:
            curve = _curve(group, score)
            if len(curve.epochs):
                shown[group.title] = curve
            else:
                section.note(group.title, f"no val/{score.name} in metrics.csv")
        if shown:
            caption = f"{score.label} of images generated after an epoch{_sizes(groups)}."
            figure = curves.score_figure(shown, score.title, log=score.lower_is_better)
            section.draw(score.short, caption, figure)
    return section


def _sizes(groups: Sequence[Group]) -> str:
    sizes = sorted({n for group in groups for run in group.members for n in run.column("val/n")[1]})
    return f", N = {', '.join(f'{n:,.0f}' for n in sizes)}" if sizes else ""


def _curve(group: Group, score: Score) -> curves.Curve:
    columns = [run.column(f"val/{score.name}") for run in group.members]
    values = pd.concat([pd.Series(values, epochs, float) for epochs, values in columns])
    by_epoch = values.groupby(level=0)
    floor = group.first.column(f"val/{score.floor}")[1]
    sizes = group.first.column("val/n")[1]
    mean, std = by_epoch.mean(), by_epoch.std().fillna(0)
    return curves.Curve(mean.index.to_numpy(), mean.to_numpy(), std.to_numpy(), floor, sizes)


def _losses(groups: Sequence[Group], prefix: str) -> Section:
    section = Section("Loss", prefix)
    found = {}
    for group in groups:
        run = group.first
        steps, losses = run.step_losses
        ends = {row["epoch"]: row.get("step", row["epoch"]) for row in run.epochs}
        (train_epochs, train), (val_epochs, val) = map(run.column, ("train/loss", "val/loss"))
        num_steps = max(ends.values(), default=0)
        if not len(steps):
            section.note(group.title, "no loss of each step (no readable TensorBoard file)")
        elif len(steps) < num_steps:
            section.note(
                group.title,
                f"the loss of {len(steps)} of {num_steps:.0f} steps (TensorBoard's file is damaged "
                "or cut short)",
            )
        if len(steps) or train:
            found[group.title_of_first] = curves.Losses(
                steps, losses, [ends[epoch] for epoch in train_epochs], train,
                [ends[epoch] for epoch in val_epochs], val,
            )  # fmt: skip
    if found:
        caption = (
            "Training loss of each step, its mean over each epoch, and the loss on the "
            "validation images. Losses of different objectives or predictions do not compare."
        )
        section.draw("loss", caption, curves.loss_figure(found))
    return section


def _samples(groups: Sequence[Group], prefix: str) -> Section:
    section = Section("Samples", prefix)
    found = {group.title_of_first: sample_grids(group.first) for group in groups}
    epochs = chosen_epochs({epoch for grids in found.values() for epoch in grids})
    images = {}
    for title, grids in found.items():
        shown = [epoch for epoch in epochs if epoch in grids]
        read = {epoch: section.read(read_image, grids[epoch], title) for epoch in shown}
        whole = {epoch: image for epoch, image in read.items() if image is not None}
        if whole:
            images[title] = whole
        else:
            section.note(title, "no grids of samples")
    if images:
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
    found = []
    for group in groups:
        title = group.title_of_first
        stages = section.read(read_restoration, group.first, title)
        if stages:
            found.append((title, stages))
        elif stages is not None:
            section.note(title, "no restored test images")
    if found:
        caption = (
            "Test images, the same degraded all the way (t = T), and restored from there: by one "
            "prediction, by Algorithms 1 and 2 of Cold Diffusion, or by the run's own sampler."
        )
        section.draw("restoration", caption, panels.restoration_figure(found), is_chart=False)
    return section


def _classes(groups: Sequence[Group], prefix: str) -> Section:
    section = Section("Classes of the generated images", prefix)
    counts, real = {}, None
    for group in groups:
        final = group.first.final
        histogram = _counts(final.get("final/class_histogram"))
        if histogram:
            counts[group.title_of_first] = histogram
            real = real or _counts(final.get("final/class_histogram_real"))
        else:
            section.note(group.title, "no histogram of classes")
    if counts:
        caption = "Classes of the images of the final scores, as the encoder sees them."
        section.draw("classes", caption, curves.class_figure(counts, real))
    return section


def _counts(value: object) -> list[float] | None:
    """A histogram; None where it is not a valid one."""
    if isinstance(value, list) and all(isinstance(entry, int | float) for entry in value):
        return value if 0 < sum(value) < float("inf") and min(value) >= 0 else None
    return None


SIDE_BY_SIDE = (_scores, _losses, _samples, _restorations, _classes)


def _setup(groups: Sequence[Group]) -> Section:
    section = Section("Schedules and activation functions")
    schedules: dict[str, Tensor] = {}
    for group in groups:
        if lacks_schedule(group.first):
            section.note(group.title, f"no {runs.SCHEDULE.name}")
        alpha_bar = section.read(read_alpha_bar, group.first, group.title)
        if alpha_bar is not None and not any(map(alpha_bar.equal, schedules.values())):
            schedules[group.title] = alpha_bar
    if schedules:
        caption = "The noise schedules of the runs, each once."
        section.draw("schedules", caption, curves.schedule_figure(schedules))
    names = dict.fromkeys(filter(None, (_activation(group.first) for group in groups)))
    known = [name for name in names if curves.is_activation(name)]
    section.notes += [f"no activation function called {name}" for name in names
                      if name not in known]  # fmt: skip
    if known:
        caption = "The activation functions of the networks."
        section.draw("activations", caption, curves.activation_figure(known))
    return section


def _activation(run: FinishedRun) -> str:
    model = run.config.get("model")
    return str(model.get("activation") or "") if isinstance(model, dict) else ""


def _one(group: Group, folder: str) -> Section:
    """All figures of one run, folded away on the page."""
    whole = Section(group.title, folded=True, anchor=folder)
    for side_by_side in SIDE_BY_SIDE:
        whole.drawings += side_by_side([group], f"runs/{folder}/").drawings
    for run in group.members:
        overrides = run.record.get("overrides") or []
        whole.note(str(run.directory), " ".join(map(str, overrides)) or "no overrides")
    return whole


def slug(text: str) -> str:
    """A name for files and links made of what every system and browser takes."""
    return re.sub(r"[^\w.=+-]+", "-", text, flags=re.ASCII).strip("-.")[:60] or "run"
