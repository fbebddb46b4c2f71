"""The sections of a report: what it shows of the runs, and what it could not show and why."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from thaw import runs
from thaw.reporting import curves, panels, results, settings
from thaw.reporting.finished import (
    FinishedRun,
    Group,
    read_alpha_bar,
    read_image,
    read_restoration,
    sample_grids,
)
from thaw.reporting.tables import Table

STUDY_EPOCHS = (1, 20, 40, 60, 100)
MAX_COLUMNS = 6
MAX_CLASSES = 1000
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
    """Part of the page: what it shows, and what it could not show and why."""

    title: str
    drawings: list[Drawing] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    folded: bool = False
    anchor: str = ""


def sections(groups: Sequence[Group], drawn: Sequence[Group]) -> Iterator[Section]:
    """All sections in the order of the page: tables of ``groups``, figures of those ``drawn``.

    The latter are side by side and then each alone.
    """
    yield _problems(groups)
    yield _results(groups)
    yield _hyperparameters(groups)
    yield _scores(drawn)
    yield _losses(drawn)
    yield _samples(drawn)
    yield _restorations(drawn)
    yield _classes(drawn)
    yield _setup(drawn)
    if len(drawn) > 1:
        for number, group in enumerate(drawn):
            yield _one(group, f"{number:02d}_{slug(group.title)}")
    yield _environment(groups)


def _problems(groups: Sequence[Group]) -> Section:
    notes = [
        f"{_name(group, run)}: {problem}"
        for group in groups
        for run in group.members
        for problem in run.problems
    ]
    return Section("What is missing", notes=notes)


def _results(groups: Sequence[Group]) -> Section:
    makers = (results.results, results.estimates, results.evaluations, results.restorations)
    found = [make(groups) for make in makers]
    missing = [f"{group.title}: no robust estimate" for group in groups if not group.first.final]
    return Section("Results", tables=[table for table in found if table.rows], notes=missing)


def _hyperparameters(groups: Sequence[Group]) -> Section:
    different, shared = settings.hyperparameters(groups)
    notes = [
        f"{group.title}: run.json holds no configuration"
        for group in groups
        if not group.first.config
    ]
    return Section(
        "Hyperparameters",
        tables=[table for table in (different, shared) if table.rows],
        notes=notes,
    )


def _scores(groups: Sequence[Group], prefix: str = "") -> Section:
    section = Section("Scores over the epochs")
    for name, column, label, log in (
        ("fid", "val/fid", "FID (lower is better)", True),
        ("is", "val/is_mean", "IS (higher is better)", False),
    ):
        found = {group.title: _curve(group, column, f"val/{name}_floor") for group in groups}
        shown = {title: curve for title, curve in found.items() if curve.epochs}
        section.notes += [
            f"{title}: no {column} in metrics.csv" for title in found if title not in shown
        ]
        if shown:
            caption = f"{label.split()[0]} of images generated after an epoch{_sizes(groups)}."
            drawing = curves.score_figure(shown, label, log)
            section.drawings.append(Drawing(f"{prefix}{name}", caption, drawing))
    return section


def _sizes(groups: Sequence[Group]) -> str:
    sizes = sorted({n for group in groups for run in group.members for n in run.column("val/n")[1]})
    return f", N = {', '.join(f'{n:,.0f}' for n in sizes)}" if sizes else ""


def _curve(group: Group, column: str, floor: str) -> curves.Curve:
    values: dict[float, list[float]] = {}
    for run in group.members:
        for epoch, value in zip(*run.column(column), strict=True):
            values.setdefault(epoch, []).append(value)
    epochs = sorted(values)
    return curves.Curve(
        epochs,
        [float(np.mean(values[epoch])) for epoch in epochs],
        [_deviation(values[epoch]) for epoch in epochs],
        group.first.column(floor)[1],
        group.first.column("val/n")[1],
    )


def _deviation(values: Sequence[float]) -> float:
    with np.errstate(invalid="ignore"):  # of a run that diverged
        return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def _losses(groups: Sequence[Group], prefix: str = "") -> Section:
    section = Section("Loss")
    found = {}
    for group in groups:
        run = group.first
        steps, losses = run.step_losses
        ends = {row["epoch"]: row.get("step", row["epoch"]) for row in run.epochs}
        (train_epochs, train), (val_epochs, val) = map(run.column, ("train/loss", "val/loss"))
        if not len(steps):
            section.notes.append(
                f"{group.title}: no loss of each step (no readable TensorBoard file)"
            )
        elif len(steps) < max(ends.values(), default=0):
            section.notes.append(
                f"{group.title}: the loss of {len(steps)} of {max(ends.values()):.0f} steps "
                "(TensorBoard's file is damaged or cut short)"
            )
        if len(steps) or train:
            found[_first_seed(group)] = curves.Losses(
                steps, losses, [ends[epoch] for epoch in train_epochs], train,
                [ends[epoch] for epoch in val_epochs], val,
            )  # fmt: skip
    if found:
        caption = (
            "Training loss of each step, its mean over each epoch, and the loss on the "
            "validation images. Losses of different objectives or predictions do not compare."
        )
        section.drawings.append(Drawing(f"{prefix}loss", caption, curves.loss_figure(found)))
    return section


def _samples(groups: Sequence[Group], prefix: str = "") -> Section:
    section = Section("Samples")
    found = {_first_seed(group): sample_grids(group.first) for group in groups}
    epochs = chosen_epochs({epoch for grids in found.values() for epoch in grids})
    images = {}
    for title, grids in found.items():
        read = {
            epoch: _tried(read_image, grids[epoch], title, section)
            for epoch in epochs
            if epoch in grids
        }
        images[title] = {epoch: image for epoch, image in read.items() if image is not None}
        if not images[title]:
            section.notes.append(f"{title}: no grids of samples")
    images = {title: grids for title, grids in images.items() if grids}
    if images:
        caption = "Samples after some epochs, each run from the same starting points throughout."
        figure = panels.samples_figure(images, epochs)
        section.drawings.append(Drawing(f"{prefix}samples", caption, figure, is_chart=False))
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


def _restorations(groups: Sequence[Group], prefix: str = "") -> Section:
    section = Section("Restoration")
    found = []
    for group in groups:
        title = _first_seed(group)
        stages = _tried(read_restoration, group.first, title, section)
        if stages:
            found.append((title, stages))
        elif stages is not None:
            section.notes.append(f"{title}: no restored test images")
    if found:
        caption = (
            "Test images, the same degraded all the way (t = T), what one prediction makes of "
            "that, and what Algorithms 1 and 2 of Cold Diffusion, or the run's own sampler, make "
            "of the same."
        )
        figure = panels.restoration_figure(found)
        section.drawings.append(Drawing(f"{prefix}restoration", caption, figure, is_chart=False))
    return section


def _classes(groups: Sequence[Group], prefix: str = "") -> Section:
    section = Section("Classes of the generated images")
    counts, real = {}, None
    for group in groups:
        final = group.first.final
        histogram = _counts(final.get("final/class_histogram"))
        if histogram:
            counts[_first_seed(group)] = histogram
            real = real or _counts(final.get("final/class_histogram_real"))
        else:
            section.notes.append(f"{group.title}: no histogram of classes")
    if counts:
        caption = "Classes of the images of the robust estimate, as the encoder sees them."
        figure = curves.class_figure(counts, real)
        section.drawings.append(Drawing(f"{prefix}classes", caption, figure))
    return section


def _counts(value: object) -> list[float] | None:
    """A histogram, None where it is none."""
    if isinstance(value, list) and all(isinstance(entry, int | float) for entry in value):
        fits = len(value) <= MAX_CLASSES and all(0 <= entry < float("inf") for entry in value)
        return value if fits and sum(value) > 0 else None
    return None


def _setup(groups: Sequence[Group]) -> Section:
    section = Section("Schedules and activation functions")
    schedules: dict[str, Tensor] = {}
    for group in groups:
        alpha_bar = _tried(read_alpha_bar, group.first, group.title, section)
        if _lacks_schedule(group.first):
            section.notes.append(f"{group.title}: no {runs.SCHEDULE.name}")
        if alpha_bar is None or any(alpha_bar.equal(known) for known in schedules.values()):
            continue
        schedules[group.title] = alpha_bar
    if schedules:
        caption = "Noise schedules, each once."
        section.drawings.append(Drawing("schedules", caption, curves.schedule_figure(schedules)))
    names = dict.fromkeys(str(_activation(group.first)) for group in groups)
    known = [name for name in names if curves.is_activation(name)]
    section.notes += [f"no activation function called {name}" for name in names
                      if name not in known and name != "None"]  # fmt: skip
    if known:
        caption = "The activation functions of the networks."
        section.drawings.append(Drawing("activations", caption, curves.activation_figure(known)))
    return section


def _lacks_schedule(run: FinishedRun) -> bool:
    degradation = run.config.get("degradation")
    takes_one = isinstance(degradation, dict) and "schedule" in degradation
    return takes_one and not (run.directory / runs.SCHEDULE).is_file()


def _activation(run: FinishedRun) -> object:
    model = run.config.get("model")
    return model.get("activation") if isinstance(model, dict) else None


def _one(group: Group, folder: str) -> Section:
    """All figures of one run, folded away on the page."""
    whole = Section(group.title, folded=True, anchor=folder)
    prefix = f"runs/{folder}/"
    parts: list[Callable[[Sequence[Group], str], Section]] = [
        _losses, _scores, _samples, _restorations, _classes,
    ]  # fmt: skip
    for part in parts:
        whole.drawings += part([group], prefix).drawings
    for run in group.members:
        overrides = run.record.get("overrides") or []
        whole.notes.append(f"{run.directory}: {' '.join(map(str, overrides)) or 'no overrides'}")
    return whole


def _environment(groups: Sequence[Group]) -> Section:
    found = settings.environment(groups)
    return Section("Environment", tables=[found] if found.rows else [])


def _tried(read: Callable[[A], T], source: A, title: str, section: Section) -> T | None:
    """What ``read`` gives of ``source``; where a file is damaged, None and a note."""
    try:
        return read(source)
    except ValueError as error:
        section.notes.append(f"{title}: {error}")
        return None


def _first_seed(group: Group) -> str:
    if len(group.members) == 1:
        return group.title
    return f"{group.title} (seed {group.first.record.get('seed')})"


def _name(group: Group, run: FinishedRun) -> str:
    return group.title if len(group.members) == 1 else f"{group.title}, {run.directory.name}"


def slug(text: str) -> str:
    """A name for files and links made of what every system and browser takes."""
    return re.sub(r"[^\w.=+-]+", "-", text, flags=re.ASCII).strip("-.")[:60] or "run"
