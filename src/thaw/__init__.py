"""thaw: config-driven experiments with diffusion models, hot and cold.

In Python or a notebook (docs/python.md):

    run = thaw.train("degradation=column_random", "trainer.max_epochs=1")
    run = thaw.load("outputs/DATE/RUN")
    thaw.grid(run.sample(16))
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from thaw.api.composing import compose as compose
    from thaw.api.loading import load as load
    from thaw.api.pictures import grid as grid
    from thaw.api.run import Run as Run
    from thaw.api.training import train as train
else:
    from thaw.exports import exports

    __getattr__, __dir__ = exports(__name__)
