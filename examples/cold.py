"""Cold diffusion in thirty lines: average an image's columns one by one, learn to undo it.

x_t = D(x_0, t) has its first t columns averaged, in a random order; the way back is Algorithm 2 of
Bansal et al. 2022. ``python examples/cold.py`` writes cold.png: from above test images, their x_T,
both restored, and images from column means drawn from a mixture, after three minutes on one core.
"""

import torch
from torch import Tensor

import thaw
from thaw.data.sources import MNIST5k
from thaw.diffusion import GaussianMixture, LineAverage, PixelRange
from thaw.networks import PatchUNet

SHAPE = (1, 28, 28)
D = LineAverage(SHAPE, axis="column", order="random")
T, none = D.num_steps, torch.empty(0)  # D draws no noise


def train(images: Tensor, num_steps: int) -> PatchUNet:
    network = PatchUNet(SHAPE, num_steps=T)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    for _ in range(num_steps):
        x_0 = images[torch.randint(len(images), (64,))]
        t = torch.randint(1, T + 1, (len(x_0),))
        loss = (network(D(x_0, t, none), t) - x_0).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network


@torch.no_grad()
def sample(network: PatchUNet, x_t: Tensor) -> Tensor:
    for step in range(T, 0, -1):
        t = torch.full((len(x_t),), step)
        x_0_hat = network(x_t, t).clamp(-1, 1)
        x_t = x_t - D(x_0_hat, t, none) + D(x_0_hat, t - 1, none)
    return x_t


if __name__ == "__main__":
    pixels = PixelRange(-1, 1)
    train_set, test_set = MNIST5k().load()
    network = train(pixels.from_uint8(train_set.images), num_steps=3000)
    x_0 = pixels.from_uint8(test_set.images[:8])
    means = D(x_0, torch.full((8,), T), none)
    prior = GaussianMixture(SHAPE, pixels, components=100)
    prior.fit(train_set.images, D)
    drawn, _ = prior.draw(8, D, torch.Generator().manual_seed(0))
    rows = [x_0, means, sample(network, means), sample(network, drawn)]
    thaw.grid(pixels.to_uint8(torch.cat(rows)), columns=8).save("cold.png")
