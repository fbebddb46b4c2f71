# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Hot, cold and between
#
# Three models that come with thaw, with the same network, trained on MNIST. They differ in what
# they learn to undo:
#
# - *cold* averages the rows of the image one by one, $x_t = P_t x_0$. At $t = T$ all rows are
#   averaged, $x_T = P x_0$.
# - *hot* is a DDPM. It mixes the image with noise, $x_t = \sqrt{\bar\alpha_t} x_0 +
#   \sqrt{1 - \bar\alpha_t} \varepsilon$, until noise is all there is: $x_T = \varepsilon$.
# - the *hybrid* keeps the means of the rows and mixes the rest with noise, row after row: $x_t = P
#   x_0 + a_t (1 - P) x_0 + b_t (1 - P) \varepsilon$, with $a_t^2 + b_t^2 = 1$, until $x_T = P x_0 +
#   (1 - P) \varepsilon$.
#
# The questions: what does $x_T$ decide? What does the choice of the sampler decide, and the number
# of its steps? What does it cost to start from an $x_T$ that no image was degraded to?

# %% [markdown]
# In Colab the next cell installs thaw; elsewhere it does nothing.

# %%
import subprocess
import sys

if "google.colab" in sys.modules:
    repository = input("Address of the repository that this notebook is from, https://...: ")
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", f"git+{repository}"], check=True)

# %% tags=["parameters"]
num_scored = 500  # images of each score
num_steps = [1, 2, 4, 7, 14, 28]  # of the samplers that are compared

# %%
import pandas as pd
from IPython.display import display
from torch import Tensor

import thaw
from thaw.data.sources import MNIST5k
from thaw.metrics import ScoreSuite, load_encoder

runs = {name: thaw.load(f"zoo/best_{name.lower()}") for name in ("cold", "hybrid", "DDPM")}
pd.DataFrame(
    {
        name: {
            "degradation": type(run.degradation).__name__,
            "T": run.num_steps,
            "epochs": run.epoch,
            "sampler": run.sampler.describe(run.degradation),
            "prior": run.prior.describe(run.degradation),
        }
        for name, run in runs.items()
    }
).T

# %% [markdown]
# The digits of this notebook come with the installation. They are part of MNIST's training images,
# so the models have seen them: images restored from them are not a test of what is unseen.

# %%
digits = MNIST5k().load()[1]
images = digits.images[:10]
for name, run in runs.items():
    T = run.num_steps
    rows = {f"{name}, t = {t}": run.degrade(images, t) for t in (0, T // 4, T // 2, 3 * T // 4, T)}
    display(thaw.grid(rows))

# %% [markdown]
# ## What does x_T decide?
#
# Each image is degraded to $t = T$ and restored by the sampler of the run. The seed is the same, so
# the hybrid and the DDPM have the same $\varepsilon$; the cold model and the hybrid have the same
# row means.

# %%
own_stage = {"cold": "algorithm_1", "hybrid": "sampled", "DDPM": "sampled"}


def restored(name: str, images: Tensor) -> Tensor:
    return runs[name].restore(images)[own_stage[name]]


rows = {"original": images}
for name, run in runs.items():
    rows |= {f"{name}: x_T": run.degrade(images), f"{name}: restored": restored(name, images)}
thaw.grid(rows)

# %% [markdown]
# How many of the restored digits are still the same digit? A classifier (the encoder of the scores)
# reads them. Guessing would be right in a tenth.

# %%
encoder = load_encoder("mnist")
some, labels = digits.images[:num_scored], digits.labels[:num_scored]


def share_read_right(images: Tensor) -> float:
    _, logits = encoder.encode(images)
    return (logits.argmax(1) == labels).float().mean().item()


restored_images = {name: restored(name, some) for name in runs}
read_right = {"original": share_read_right(some)}
read_right |= {name: share_read_right(each) for name, each in restored_images.items()}
pd.Series(read_right, name="share read right").round(3).to_frame()

# %% [markdown]
# ## How many images in one x_T?
#
# One $x_T$, drawn from the prior, ten times. Algorithms 1 and 2 draw nothing on the way, so the
# cold model has one image for it; nor does DDIM. Ancestral sampling adds noise at each step.
# Between them, in "hybrid, other noise", all ten have the same row means and each its own
# $\varepsilon$.

# %%
num_same = 10


def same_start(run: thaw.Run) -> tuple[Tensor, Tensor]:
    x_T, noise = run.draw(1, seed=1)
    return x_T.expand(num_same, -1, -1, -1), noise.expand(num_same, *noise.shape[1:])


cold, hybrid, ddpm = runs.values()
of_one = {
    "cold, Algorithm 1": cold.sample(start=same_start(cold), sampler="naive"),
    "cold, Algorithm 2": cold.sample(start=same_start(cold), sampler="cold"),
    "hybrid, DDIM": hybrid.sample(start=same_start(hybrid), sampler="ddim", num_steps=50),
    "hybrid, ancestral": hybrid.sample(start=same_start(hybrid)),
    "hybrid, other noise": hybrid.restore(images[3:4].expand(num_same, -1, -1, -1))["sampled"],
    "DDPM, DDIM": ddpm.sample(start=same_start(ddpm), sampler="ddim", num_steps=50),
    "DDPM, ancestral": ddpm.sample(start=same_start(ddpm)),
    "any digits": images,
}
thaw.grid(of_one)

# %% [markdown]
# The same as a number: the standard deviation of a pixel over the ten images, averaged over the
# pixels, as a share of what it is for any ten digits.

# %%
spread = {name: each.float().std(0).mean().item() for name, each in of_one.items()}
table = pd.Series(spread, name="spread") / spread["any digits"]
table.round(2).to_frame()

# %% [markdown]
# ## Algorithm 1 or 2, and in how many steps?
#
# With $\hat x_0 = R(x_t, t)$, one evaluation of the network, a step from $t$ to $s < t$ is ([Bansal
# et al. 2022](https://arxiv.org/abs/2208.09392))
#
# $$\text{Algorithm 1:}\quad x_s = D(\hat x_0, s), \qquad
#   \text{Algorithm 2:}\quad x_s = x_t - D(\hat x_0, t) + D(\hat x_0, s).$$
#
# $P_t$ is a projection, so Algorithm 2 keeps the row means of $x_T$ whatever the network says (up
# to the clamp to black and white), and writes each row once. Algorithm 1 may change its mind at
# each step. First the same $x_T$, by both.

# %%
start = cold.draw(10, seed=2)
rows = {"x_T": cold.pixel_range.to_uint8(start[0])}
for title, sampler in (("Algorithm 1", "naive"), ("Algorithm 2", "cold")):
    for n in num_steps:
        rows[f"{title}, {n}"] = cold.sample(start=start, sampler=sampler, num_steps=n)
thaw.grid(rows)

# %% [markdown]
# How far the row means of the images are from those of their $x_T$, as a share of white:

# %%
means = cold.pixel_range.to_uint8(start[0]).float().mean(3)
moved = {
    title: {
        n: (rows[f"{title}, {n}"].float().mean(3) - means).square().mean().sqrt().item() / 255
        for n in num_steps
    }
    for title in ("Algorithm 1", "Algorithm 2")
}
pd.DataFrame(moved).rename_axis("steps").round(4)

# %% [markdown]
# The others, each from its own $x_T$. DDIM is Algorithm 2 with the noise inferred from $x_t$ and
# $\hat x_0$.

# %%
for name in ("hybrid", "DDPM"):
    start = runs[name].draw(10, seed=2)
    rows = {
        f"{name}, {sampler}, {n}": runs[name].sample(start=start, sampler=sampler, num_steps=n)
        for sampler in ("ancestral", "ddim")
        for n in num_steps[1::2]
    }
    display(thaw.grid(rows))

# %% [markdown]
# And the scores. FID depends on the number of images; the floor is what as many real test images
# score.

# %%
lines = {
    "cold, Algorithm 1": (cold, "naive"),
    "cold, Algorithm 2": (cold, "cold"),
    "hybrid, ancestral": (hybrid, "ancestral"),
    "hybrid, DDIM": (hybrid, "ddim"),
    "DDPM, ancestral": (ddpm, "ancestral"),
    "DDPM, DDIM": (ddpm, "ddim"),
}
scores = {
    title: {n: run.scores(num_scored, sampler=sampler, num_steps=n) for n in num_steps}
    for title, (run, sampler) in lines.items()
}
fid = pd.DataFrame({t: {n: each["fid"] for n, each in of.items()} for t, of in scores.items()})
axes = fid.plot(logx=True, logy=True, style=["o-", "o--", "s-", "s--", "^-", "^--"], figsize=(7, 4))
floor = scores["DDPM, DDIM"][num_steps[-1]]["fid_floor"]
axes.axhline(floor, color="grey", linestyle=":", label="floor")
axes.set(xlabel="network evaluations an image", ylabel=f"FID, N = {num_scored}")
axes.set_xticks(num_steps, num_steps)
axes.minorticks_off()
axes.legend(fontsize=8)
fid.rename_axis("evaluations").round(2)

# %% [markdown]
# ## Generated or restored?
#
# A *restored* image starts from a real image degraded to $t = T$, a *generated* one from an $x_T$
# of the prior: drawn row means for the cold model and the hybrid, noise for the DDPM, whose $x_T$
# is noise either way.

# %%
rows = {}
for name, run in runs.items():
    rows |= {f"{name}: restored": restored(name, images), f"{name}: generated": run.sample(10)}
thaw.grid(rows)

# %%
suite = ScoreSuite(encoder)


def fid_of(images: Tensor) -> float:
    suite.reset()
    suite.update(images)
    return suite.compute()["fid"]


both = {
    name: {
        "restored": fid_of(restored_images[name]),
        "generated": fid_of(run.sample(num_scored)),
        "floor": floor,
    }
    for name, run in runs.items()
}
pd.DataFrame(both).T.round(2)

# %% [markdown]
# Both of the DDPM's start from noise: what its columns differ by is chance. What the others lose
# from `restored` to `generated`, as far as it is more than that, is what their prior lacks. What is
# between `restored` and the floor is the model's own.
