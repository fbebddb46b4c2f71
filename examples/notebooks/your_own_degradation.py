# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A degradation of your own
#
# A degradation is a function $x_t = D(x_0, t)$ from clean, $t = 0$, to fully degraded, $t = T$.
# thaw trains, samples, restores and scores with any. This notebook makes one, checks it, trains it,
# and compares it with a built-in one.

# %% [markdown]
# In Colab the next cell installs thaw; elsewhere it does nothing.

# %%
import subprocess
import sys

if "google.colab" in sys.modules:
    repository = input("Address of the repository that this notebook is from, https://...: ")
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", f"git+{repository}"], check=True)

# %% tags=["parameters"]
epochs = 6  # of 4,500 digits each, for each of two models
num_scored = 1000  # generated images that FID is computed of
overrides: list[str] = []  # further arguments of both trainings, such as "seed=1"

# %% [markdown]
# ## The class
#
# thaw's `column_outside_in` averages the columns of an image one by one, from both sides inwards.
# This one averages *rings* around the centre, from the outermost inwards. With $P_t$ for the
# average over each of the $t$ outermost rings, $x_t = P_t x_0$.
#
# A constructor that asks for `image_shape` is given it. `noise` is for degradations that are
# random; this one is not.

# %%
from pathlib import Path

import pandas as pd
import torch
from IPython.display import display
from torch import Tensor

import thaw
from thaw.data.sources import MNIST5k
from thaw.diffusion import Degradation, breaches


class Rings(Degradation):
    """x_t: the t outermost of T rings of pixels have the mean of their ring."""

    is_projection = True  # P_s P_t = P_max(s, t): averaging twice is averaging once
    ring: Tensor
    member: Tensor

    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        _, height, width = image_shape
        y = torch.arange(height).view(-1, 1) - (height - 1) / 2
        x = torch.arange(width) - (width - 1) / 2
        self.num_steps = min(height, width) // 2
        # The corners belong to the outermost ring.
        ring = (x**2 + y**2).sqrt().long().clamp(max=self.num_steps - 1)
        self.register_buffer("ring", ring)
        self.register_buffer("member", torch.nn.functional.one_hot(ring.flatten()).float())

    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        member = self.member.to(x_0.dtype)  # [H W, T]
        means = x_0.flatten(2) @ (member / member.sum(0))
        averaged = (means @ member.T).to(x_0.dtype).view_as(x_0)
        is_averaged = self.ring >= self.num_steps - t.view(-1, 1, 1, 1)
        return torch.where(is_averaged, averaged, x_0)


# %% [markdown]
# ## Check it
#
# `breaches` tries a degradation on a few images and lists what it breaks of the contract: $D(x_0,
# 0) = x_0$ exactly, images of a batch do not touch each other, is it a projection as it says, ...
# An empty list is good.

# %%
real = MNIST5k().load()[1].images  # test images
images = real[:10]
x_0 = images / 255
rings = Rings((1, 28, 28))
breaches(rings, x_0)


# %% [markdown]
# A careless one, off by one step, to see that it would be noticed:


# %%
class Careless(Rings):
    def forward(self, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        return super().forward(x_0, (t + 1).clamp(max=self.num_steps), noise)


breaches(Careless((1, 28, 28)), x_0)

# %% [markdown]
# ## Its file
#
# A degradation is chosen by the name of a YAML file, in a folder of your own or in thaw's `conf/`.
# It names the class (`__main__` is this notebook) and its companions: those of any cold degradation
# are what the network predicts, the loss, the sampler and the prior. Arguments of the constructor
# would be further lines.

# %%
file = Path("my_conf/degradation/rings.yaml")
file.parent.mkdir(parents=True, exist_ok=True)
file.write_text("defaults: [/companions/cold, _self_]\n_target_: __main__.Rings\n")
# %% [markdown]
# ## Train
#
# Two runs that differ in the degradation alone. Both generate by Algorithm 1 of [Cold
# Diffusion](https://arxiv.org/abs/2208.09392) (Bansal et al. 2022), $x_s = D(R(x_t, t), s)$ with
# the network $R(x_t, t) \approx x_0$, in seven steps, from an $x_T$ drawn from a mixture of
# Gaussians.

# %%
shared = [
    "experiment=quickstart",
    "hydra.searchpath=[my_conf]",
    f"trainer.max_epochs={epochs}",
    f"metrics.final_num_samples={num_scored}",
    *overrides,
]
runs = {
    name: thaw.train(*shared, f"degradation={name}", minutes=None, report=False)
    for name in ("rings", "column_outside_in")
}

# %% [markdown]
# ## Compare
#
# The way there: clean above, $x_T$ below.

# %%
for name, run in runs.items():
    T = run.num_steps
    rows = {f"{name}, t = {t}": run.degrade(images, t) for t in (0, T // 4, T // 2, 3 * T // 4, T)}
    display(thaw.grid(rows))

# %% [markdown]
# What $x_T$ tells of an image is all that the model has to start from: how many numbers it holds,
# and the share of the variance of the test images that it keeps, $\operatorname{Var} x_T /
# \operatorname{Var} x_0$.


# %%
def variance(images: Tensor) -> float:
    return images.float().var(0).mean().item()


pd.DataFrame(
    {
        name: {
            "numbers in x_T": run.num_steps,
            "share of variance": variance(run.degrade(real)) / variance(real),
        }
        for name, run in runs.items()
    }
).T.round(3)

# %% [markdown]
# Images restored from $x_T$: the same ten, by both.

# %%
restored = {name: run.restore(images) for name, run in runs.items()}
rows = {"original": images}
for name, stages in restored.items():
    for stage in ("degraded", "direct", "algorithm_1"):
        rows[f"{name}, {stage}"] = stages[stage]
thaw.grid(rows)

# %% [markdown]
# Images generated, and their scores. The floor is what real test images score at the same N: FID is
# best at its floor, and IS is too.

# %%
rows = {}
for name, run in runs.items():
    rows |= {f"{name}, seed {seed}": run.sample(10, seed=seed) for seed in (0, 1)}
thaw.grid(rows)

# %%
keys = ["fid", "fid_floor", "is_mean", "is_floor", "n", "sampler"]
table = pd.DataFrame({name: run.scores(num_scored) for name, run in runs.items()}).T[keys]
table.infer_objects().round(2)

# %% [markdown]
# ## Keep it
#
# Each run is a directory, which loads again where the class is defined. A class in a module of its
# own, with the same YAML file, serves the commands too: [adding a
# degradation](../../docs/adding_a_degradation.md). Last, the way from an $x_T$ to an image.

# %%
run = thaw.load(runs["rings"].directory, trusted=["__main__"])
thaw.grid({f"t = {state.t}": state.x_t for state in run.trajectory(10)})
