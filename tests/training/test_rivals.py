"""Which run restores the images of which other, and by which methods."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.degradations.inpaint import Inpaint
from thaw.diffusion.degradations.line_average import LineAverage
from thaw.diffusion.degradations.snow import Snow
from thaw.diffusion.predictions import Clean
from thaw.diffusion.priors.normal import Normal
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.schedules import cosine
from thaw.pixels import PixelRange
from thaw.training.rivals import rivals_of

SHAPE = (1, 8, 8)
RANGE = PixelRange(-1, 1)


class Same(nn.Module):
    """A network that returns what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(()))

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        return x_t


def run_of(degradation: Degradation, shape: tuple[int, int, int] = SHAPE) -> Any:
    """What is asked of a loaded run."""
    experiment = SimpleNamespace(
        data=SimpleNamespace(image_shape=shape),
        restorer=Restorer(Same(), degradation, Clean(), RANGE),
        module=SimpleNamespace(prior=Normal(shape)),
    )
    return SimpleNamespace(run_dir=Path("the_run"), experiment=experiment)


HOT = run_of(Gaussian(cosine(100)))


@pytest.mark.parametrize(
    ("degradation", "expected"),
    [
        (Inpaint(SHAPE, RANGE), ["repaint", "ddnm", "dps"]),
        (LineAverage(SHAPE, "row", "random"), ["ddnm", "dps"]),
        (Snow(RANGE), ["dps"]),
    ],
    ids=["inpaint", "rows", "snow"],
)
def test_without_a_choice_all_methods_that_fit_are_taken(
    degradation: Degradation, expected: list[str]
) -> None:
    rivals = rivals_of(run_of(degradation), HOT)
    assert [rival.sampler.stage for rival in rivals] == expected
    assert rivals[-1].describe() == "DPS, 100 steps, step size 2"
    *_, of_few = rivals_of(run_of(degradation), run_of(Gaussian(cosine(60))))
    assert of_few.describe() == "DPS, 60 steps, step size 2"
    for rival in rivals:
        rival.check(run_of(degradation).experiment.restorer, is_told_labels=False)


def test_each_method_takes_the_settings_that_it_has_in_the_order_of_the_stages() -> None:
    lines = run_of(LineAverage(SHAPE, "row", "random"))
    settings = {"num_steps": 7, "repeats": 2, "step_size": None}
    described = [rival.describe() for rival in rivals_of(lines, HOT, ["dps", "ddnm"], settings)]
    assert described == [
        "DDNM, 7 steps, 13 evaluations, each 2 times",
        "DPS, 7 steps, step size 2",
    ]
    with pytest.raises(ValueError, match="^dps has no repeats$"):
        rivals_of(lines, HOT, ["dps"], settings)


def test_images_of_another_size_are_refused() -> None:
    colours = run_of(Snow(RANGE), (3, 8, 8))
    with pytest.raises(ValueError, match="same size: the_run has 1 x 8 x 8, the_run 3 x 8 x 8"):
        rivals_of(colours, HOT)
