"""The table of configuration groups: one row for each folder of conf/, and the nodes within.

A new group is a folder in conf/ and a row here. Classes are given by name: ``--help`` reads this
table too, and must not import torch.
"""

from pathlib import Path
from typing import NamedTuple

_HERE = Path(__file__).parent
# At the top of a checkout, or inside the installed package; zoo/ lies beside it.
CONF = next(conf for conf in (_HERE.parents[1] / "conf", _HERE / "conf") if conf.is_dir())


class Group(NamedTuple):
    """A group of choices, or another place where a configuration names a class.

    name: on the command line, such as ``objective/weighting``.
    base: the class that a choice must be a subclass of, or a function that returns one; empty
        where a choice is no single node.
    about: what the group is, in Markdown, for docs/configuration.md.
    home: the package, module or class within which a configuration from a file may name classes and
        functions of that kind; empty for none.
    is_hyperparameter: whether a choice is part of the model or of how it is trained, which tables
        of hyperparameters show and checkpoints are compared by.
    is_stateful: whether its class decides what a checkpoint holds.
    has_members: whether the group holds several nodes by name.
    brought_by: the group whose choices choose from this one, or the only choice that does.
    """

    name: str
    base: str
    about: str = ""
    home: str = "thaw"
    is_nullable: bool = False
    is_hyperparameter: bool = True
    is_stateful: bool = False
    has_members: bool = False
    brought_by: str = ""

    @property
    def place(self) -> str:
        """The key in the configuration."""
        return self.name.replace("/", ".")

    @property
    def root(self) -> str:
        """The key at the root of the configuration."""
        return self.name.split("/")[0]


# In the order of docs/configuration.md.
GROUPS = (
    Group(
        "degradation",
        "thaw.diffusion.degradations.base.Degradation",
        """\
The forward process `x_t = D(x_0, t, noise)`, from the clean image at t = 0 to the fully degraded
image at t = T. A degradation brings companions that fit it, and each can still be chosen by its own
group: `degradation=column_random sampler=naive`. A new degradation is
[one class and one file](adding_a_degradation.md).""",
        is_stateful=True,
    ),
    Group(
        "degradation/to",
        "thaw.diffusion.degradations.base.Degradation",
        """\
The end of the path of `degradation=bridge`: any other degradation, whose prior comes with it. Its
keys are those of its own file: `degradation=bridge degradation/to=blur degradation.to.sigma=2`.""",
        is_stateful=True,
        brought_by="degradation=bridge",
    ),
    Group(
        "schedule",
        "torch.Tensor",
        "How noisy an image is at step t, for a degradation that takes a schedule.",
        home="thaw.diffusion.schedules",
        is_nullable=True,
    ),
    Group(
        "prediction",
        "thaw.diffusion.predictions.Prediction",
        "What the network is trained to output, and how a clean image is computed from it.",
        brought_by="degradation",
    ),
    Group(
        "objective",
        "thaw.diffusion.objectives.Objective",
        """\
The loss: a distance between the network's output and its target, weighted by the time step, at
random time steps.""",
        brought_by="degradation",
    ),
    Group(
        "objective/weighting",
        "thaw.diffusion.weightings.Weighting",
        "The weight of each time step in the loss.",
        brought_by="objective",
    ),
    Group(
        "objective/timesteps",
        "thaw.diffusion.timesteps.Timesteps",
        "How often each time step is drawn.",
        is_stateful=True,
        brought_by="objective",
    ),
    Group(
        "sampler",
        "thaw.diffusion.samplers.base.Sampler",
        """\
How an image is computed from `x_T`. The scores of each epoch have a sampler of their own, with the
same choices and keys: `sampler@metrics.sampler=ddim metrics.sampler.num_steps=10`.""",
        brought_by="degradation",
    ),
    Group(
        "sampler/grid",
        "thaw.diffusion.samplers.grids.Grid",
        """\
The steps that a sampler visits on the way from T to 0. For the scores of each epoch:
`sampler/grid@metrics.sampler.grid=quadratic`; for the sampler of a finished run, with a plus:
`python evaluate.py run=DIR +sampler/grid=quadratic`.""",
        brought_by="sampler",
    ),
    Group(
        "prior",
        "thaw.diffusion.priors.base.Prior",
        "The distribution of `x_T` that generated images start from.",
        is_stateful=True,
        brought_by="degradation",
    ),
    Group(
        "model", "torch.nn.Module", "The network, from `x_t` and t to an image.", is_stateful=True
    ),
    Group(
        "optimizer",
        "torch.optim.Optimizer",
        """\
The optimiser of the weights. A further argument of its class is added with a plus:
`+optimizer.amsgrad=true`.""",
        home="torch.optim",
        is_stateful=True,
    ),
    Group(
        "lr_scheduler",
        "torch.optim.lr_scheduler.LRScheduler",
        "How the learning rate changes in the course of a run.",
        home="thaw.training.lr_schedules",
        is_nullable=True,
        is_stateful=True,
    ),
    Group(
        "ema",
        "thaw.training.ema.EMA",
        "Whether an average of the weights is kept, and then scored and sampled in their place.",
        is_nullable=True,
        is_stateful=True,
    ),
    Group(
        "data",
        "thaw.data.module.ImageDataModule",
        """\
The images, and how they are split, scaled and put into batches. A choice of data brings metrics
that fit it, and others can still be chosen: `data=fashion_mnist metrics=none`.""",
    ),
    Group(
        "data/augment",
        "builtins.object",
        """\
Random changes of the training images, different in each epoch; none unless chosen. A new choice is
a file that names a [transform of torchvision](https://docs.pytorch.org/vision/stable/transforms.html)
which keeps an image's size and its type, uint8.""",
        home="torchvision.transforms.v2",
        is_nullable=True,
        is_hyperparameter=False,
        brought_by="data",
    ),
    Group(
        "metrics",
        "",
        """\
FID, IS and the other [scores](metrics.md) of generated images, after epochs and at the end. They
come with the data; their sampler, `metrics.sampler`, comes with the degradation.""",
        is_hyperparameter=False,
        brought_by="data",
    ),
    Group(
        "trainer",
        "pytorch_lightning.Trainer",
        """\
How long to train, on which device and in which precision. A further argument of Lightning's Trainer
is added with a plus: `+trainer.reload_dataloaders_every_n_epochs=1`.""",
        home="pytorch_lightning.Trainer",
        is_hyperparameter=False,
    ),
    Group(
        "callbacks",
        "pytorch_lightning.Callback",
        "Sample grids, figures, a progress bar. `callbacks.forward_process=null` leaves one out.",
        home="thaw.training.callbacks",
        is_hyperparameter=False,
        has_members=True,
    ),
    Group(
        "logger",
        "pytorch_lightning.loggers.Logger",
        """\
Where a run is shown, besides `metrics.csv`, `samples/` and `figures/`, which it always has; several
at a time are `logger=[tensorboard,wandb]`, and in an experiment
`override /logger: [tensorboard,wandb]`. What each needs and holds:
[scaling](scaling.md).""",
        home="pytorch_lightning.loggers.TensorBoardLogger",
        is_hyperparameter=False,
        has_members=True,
    ),
)
# Further places of classes, which have no folder of choices.
WITHIN = (
    Group("data/source", "thaw.data.sources.Source", home="thaw.data"),
    Group("metrics/suite", "thaw.metrics.suite.ScoreSuite", is_nullable=True),
    Group("metrics/suite/encoder", "thaw.metrics.encoders.Encoder", home="thaw.metrics.encoders"),
    Group("metrics/suite/encoder", "thaw.metrics.encoders.Encoder", home="thaw.metrics.inception"),
    Group("metrics/sampler", "thaw.diffusion.samplers.base.Sampler", is_nullable=True),
    *(
        Group(
            "logger",
            "pytorch_lightning.loggers.Logger",
            home=f"pytorch_lightning.loggers.{name}",
            is_hyperparameter=False,
            has_members=True,
        )
        for name in ("CSVLogger", "WandbLogger", "MLFlowLogger", "CometLogger")
    ),
    Group(
        "trainer/strategy",
        "pytorch_lightning.strategies.Strategy",
        home="pytorch_lightning.strategies.DDPStrategy",
        is_hyperparameter=False,
    ),
)
# Groups whose choices are no part of the configuration: they change other keys, or Hydra's own.
PRESETS = {
    "experiment": """\
Whole experiments by name. Each stands for the changes listed with it, and the command line can
still change them.""",
    "debug": """\
Short runs that find mistakes, on top of everything else:
`python train.py experiment=quickstart debug=quick`.""",
}
OF_HYDRA = {
    "hydra": "How the runs of a sweep (`-m`) are chosen, and where they run.",
    "hydra/launcher": """\
Where the runs of a sweep run; one after the other unless one of these is chosen. Each needs
packages of its own, such as `pip install 'thaw-diffusion[joblib]'`; see [scaling](scaling.md).""",
    "hydra/sweeper": """\
What chooses the runs of a sweep; every combination unless this is chosen. It needs
`pip install 'thaw-diffusion[optuna]'`; see [scaling](scaling.md).""",
}
# Folders of conf/ that are no groups: what choices of several groups are built on.
SHARED = ("companions",)
ROOTS = tuple(group for group in GROUPS if group.name == group.root)
CHOSEN = tuple(sorted([*(group.name for group in GROUPS), *PRESETS]))
HYPERPARAMETERS = tuple(group.name for group in GROUPS if group.is_hyperparameter)
STATEFUL = tuple(group.place for group in GROUPS if group.is_stateful)
# What sampling and scoring need of a configuration: the model and how it is scored.
OF_A_MODEL = (*(group.name for group in ROOTS if group.is_hyperparameter), "metrics", "seed")


def rows_at(place: str) -> list[Group]:
    """The rows whose classes belong at a key of the configuration."""
    parent = place.rpartition(".")[0]
    rows = (row for row in (*GROUPS, *WITHIN) if row.base)
    return [row for row in rows if row.place == (parent if row.has_members else place)]


def kinds_at(place: str) -> list[Group]:
    """The rows whose classes may stand at a key of the configuration.

    A key that is no row's takes what is part of a model, or what stands elsewhere in its group.
    """
    root = place.split(".")[0]
    rows = (row for row in (*GROUPS, *WITHIN) if row.base)
    return rows_at(place) or [row for row in rows if row.is_hyperparameter or row.root == root]
