"""Captions: what a table or figure shows, of what is there, and how it was measured."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from thaw.diffusion.restoration import stage_title
from thaw.diffusion.samplers.base import SAMPLED
from thaw.diffusion.samplers.cold import ALGORITHM_1, ALGORITHM_2
from thaw.metrics import table
from thaw.reporting.curves import Losses
from thaw.reporting.finished import FinishedRun
from thaw.reporting.groups import Group

Value = Callable[[FinishedRun], Any]
# Stages of a restoration, and how they are restored.
WAYS = {
    "direct": "one prediction (direct)",
    ALGORITHM_1: "Algorithm 1",
    ALGORITHM_2: "Algorithm 2",
    SAMPLED: "the run's own sampler (sampled)",
}


def about_results(columns: Sequence[str], seeds: str, measured: str, has_floors: bool) -> str:
    """What the table has, of those columns that are there."""
    scores = [score.label for score in table.GENERATED if score.label in columns]
    means = ": means and standard deviations" if "seeds" in columns else ""
    said = [f"Results of each run after its last epoch, {seeds}{means}."]
    if scores:
        said.append(
            f"{in_words(scores)} {'are' if len(scores) > 1 else 'is'} of generated images, which "
            f"start from the prior, not from an image of the data{measured}."
        )
    if "class KL" in scores:
        said.append("class KL is the KL divergence of their classes from the data's.")
    if has_floors:
        said.append(
            "The floor, in the last rows, is what N real test images score: the best that N "
            "generated images can be expected to."
        )
    main = table.RESTORED[0].label
    if there := [stage for stage in WAYS if restored_column(stage) in columns]:
        said.append(
            f"{main} is of restored images: test images degraded all the way (t = T) and restored"
            f"{ways(there)}."
        )
    return " ".join(said)


def about_restored(columns: Sequence[str], there: Collection[str], measured: str) -> str:
    """What the table has, of those columns and stages that are there."""
    said = [
        f"Test images degraded all the way (t = T), and restored from that same x_T{ways(there)}"
        f"{measured}."
    ]
    if {ALGORITHM_1, ALGORITHM_2} & {*there}:
        said.append("The algorithms are those of Cold Diffusion, with the sampler's steps.")
    if "FID" in columns:
        said.append("FID is of the N restored images.")
    if "RMSE" in columns:
        said.append(
            "RMSE is in the images' own units, whose range has width 1 unless the configuration "
            "says otherwise."
        )
    return " ".join(said)


def about_losses(
    found: Mapping[str, Losses], over: Literal["epoch", "step"], smooth: int, seeds: str
) -> str:
    """What the plot of losses has: of training, of validation, how smooth, of how many seeds."""
    kinds = []
    if any(len(losses.train.epochs) for losses in found.values()):
        each = "mean over each epoch" if over == "epoch" else "each step"
        each += f", running mean over {smooth} {over}s" if smooth > 1 else ""
        kinds.append(f"training loss ({each})")
    if any(len(losses.val.epochs) for losses in found.values()):
        kinds.append("validation loss")
    words = in_words(kinds)
    said = f"{words[:1].upper()}{words[1:]}; {seeds}"
    if any(np.any(losses.train.std) for losses in found.values()):
        said += ", the bands are one standard deviation to either side"
    compared = " Losses of different objectives or predictions do not compare."
    return f"{said}.{compared if len(found) > 1 else ''}"


def ways(there: Collection[str]) -> str:
    """`` by one prediction (direct) and Algorithm 1``: of the stages that are there."""
    found = [words for stage, words in WAYS.items() if stage in there]
    return f" by {in_words(found)}" if found else ""


def restored_column(stage: str) -> str:
    """The column of a stage's main score in the table of results."""
    score = table.RESTORED[0]
    return f"{score.label} {stage_title(stage).removesuffix(' prediction')} ({score.unit})"


def conditions(groups: Sequence[Group], n: Value, encoder: Value) -> str:
    """``, N = 1,000, encoder mnist-cnn-v1``: what is known of how the groups were scored."""
    members = [run for group in groups for run in group.members]
    sizes = sorted({value for run in members if isinstance(value := n(run), int | float)})
    encoders = sorted({str(value) for run in members if (value := encoder(run)) is not None})
    said = [f"N = {in_words([f'{size:,.0f}' for size in sizes])}"] if sizes else []
    if encoders:
        said.append(f"encoder {in_words(encoders)}")
    return "".join(f", {part}" for part in said)


def seeds_in_words(groups: Sequence[Group]) -> str:
    """``one seed``, ``3 seeds``, or ``1 to 3 seeds``."""
    counts = [len(group.members) for group in groups]
    fewest, most = min(counts), max(counts)
    if most == 1:
        return "one seed"
    return f"{fewest} to {most} seeds" if fewest < most else f"{most} seeds"


def in_words(parts: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
