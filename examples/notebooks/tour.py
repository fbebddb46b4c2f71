# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A tour of thaw
#
# Train a small diffusion model, look at it, sample from it, restore images with it, and watch it at
# work: a few minutes on two CPU cores, on 5,000 digits that come with the installation.

# %% [markdown]
# In Colab the next cell installs thaw; elsewhere it does nothing.

# %%
import subprocess
import sys

if "google.colab" in sys.modules:
    repository = input("Address of the repository that this notebook is from, https://...: ")
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", f"git+{repository}"], check=True)

# %% tags=["parameters"]
minutes = 1.5  # for training and its scores
num_scored = 1000  # generated images that FID is computed of
overrides: list[str] = []  # further arguments of the training, such as "seed=1"

# %% [markdown]
# ## Train
#
# A diffusion model learns to undo a degradation $x_t = D(x_0, t)$, which leads from a clean image,
# $t = 0$, to one of which little is left, $t = T$. Here $D$ averages one more column of the image
# at each step: *cold* diffusion, for it draws no noise. The network sees $x_t$ and $t$ and is
# trained to return the clean image, $\hat x_0 = R(x_t, t)$, with the loss $\lVert R(x_t, t) - x_0
# \rVert^2$.
#
# `thaw.train` takes what the command `python train.py` takes: here an experiment, and the minutes
# that it may last. The log begins with the number of epochs that these minutes are enough for on
# this machine.

# %%
import pandas as pd

import thaw

run = thaw.train(
    "experiment=quickstart",
    f"metrics.final_num_samples={num_scored}",
    *overrides,
    minutes=minutes,
    report=False,
)

# %% [markdown]
# The degradation that it has learnt to undo, on test images. At $t = T$, the last row, each column
# is one grey.

# %%
images = run.data.test_images[:10]
T = run.num_steps
thaw.grid({f"t = {t}": run.degrade(images, t) for t in (0, T // 4, T // 2, 3 * T // 4, T)})

# %% [markdown]
# ## Look
#
# `run.history` is a row an epoch. The validation loss is that of images which the network is not
# trained on.

# %%
axes = run.history.plot(x="epoch", y=["train/loss", "val/loss"], logy=True, figsize=(6, 3))
axes.set_ylabel("mean squared error")
# %% [markdown]
# A run at the end of a cell, or `run.show()`, shows its newest grid of samples and its final
# scores. A *floor* is what real test images score: a score means little without it, and without N,
# the number of images.

# %%
run

# %% [markdown]
# ## Sample
#
# A generated image starts from an $x_T$ that no image was degraded to: column greys, drawn from a
# mixture of Gaussians that was fitted to those of the training images. The way back to $t = 0$ is
# Algorithm 1 of [Cold Diffusion](https://arxiv.org/abs/2208.09392) (Bansal et al. 2022): estimate,
# then degrade less,
#
# $$x_s = D(R(x_t, t), s), \qquad s < t.$$

# %%
thaw.grid(run.sample(40), columns=10)

# %% [markdown]
# The same ten $x_T$ (`start` keeps them), in more and more steps. In a single one the image is
# $R(x_T, T)$. The loss makes that the average of all digits with these greys, hence its blur.

# %%
start = run.draw(10, seed=1)
thaw.grid({f"{n} steps": run.sample(start=start, num_steps=n) for n in (1, 2, 4, 7, T)})

# %% [markdown]
# ## Restore
#
# `run.restore` degrades images to a step and brings them back: at once, $R(x_t, t)$ (`direct`), by
# Algorithm 1, and by Algorithm 2, which takes away only what the estimate says was added,
#
# $$x_s = x_t - D(R(x_t, t), t) + D(R(x_t, t), s).$$

# %%
stages = run.restore(images, t=T // 2)
thaw.grid(stages)

# %% [markdown]
# How far from the original they are, for each $t$: the root of the mean squared error of the
# pixels, as a share of white, of some test images.

# %%
some = run.data.test_images[:100]
errors = pd.DataFrame(
    {
        t: {
            name: ((stage.float() - some) / 255).square().mean().sqrt().item()
            for name, stage in run.restore(some, t=t).items()
            if name != "original"
        }
        for t in range(T // 7, T + 1, T // 7)
    }
).T
errors.plot(xlabel="t", ylabel="RMSE", style="o-", ylim=0, figsize=(6, 3.5))
errors.round(3)

# %% [markdown]
# ## Watch
#
# `run.trajectory` has every state on the way to the images of `run.sample`: first $x_t$, then the
# estimates $\hat x_0$ that lead from each to the next. The estimate is ahead of the image.

# %%
states = run.trajectory(10, seed=1)
thaw.grid({f"t = {state.t}": state.x_t for state in states})

# %%
thaw.grid({f"to t = {state.t}": state.x_0_hat for state in states if state.x_0_hat is not None})

# %% [markdown]
# ## Go on
#
# The run is a directory, for `thaw.load` and for the commands, such as `python sample.py
# run=DIRECTORY`.

# %%
run.directory

# %% [markdown]
# Two more notebooks: [a degradation of your own](your_own_degradation.ipynb), and [hot, cold and
# between](hot_cold_and_between.ipynb), on models trained for longer.
