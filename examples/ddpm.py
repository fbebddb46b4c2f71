"""A DDPM in thirty lines: bury digits in noise, learn to tell the noise, dig digits out of it.

x_t = a_t x_0 + b_t eps with a_t^2 + b_t^2 = 1 (Ho et al. 2020, equation 4); the way back
is their Algorithm 2. ``python examples/ddpm.py`` writes ddpm.png after three minutes on one core.
"""

import torch
from torch import Tensor

import thaw
from thaw.data.sources import MNIST5k
from thaw.diffusion import Gaussian, PixelRange, cosine
from thaw.networks import PatchUNet

T, SHAPE = 100, (1, 28, 28)
table = cosine(T)
D = Gaussian(table)


def train(images: Tensor, num_steps: int) -> PatchUNet:
    network = PatchUNet(SHAPE, num_steps=T)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    for _ in range(num_steps):
        x_0 = images[torch.randint(len(images), (64,))]
        t = torch.randint(1, T + 1, (len(x_0),))
        eps = torch.randn_like(x_0)
        loss = (network(D(x_0, t, eps), t) - eps).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network


@torch.no_grad()
def sample(network: PatchUNet, x_t: Tensor) -> Tensor:
    for t in range(T, 0, -1):
        (a_t, b_t), (a_s, b_s) = table[t].tolist(), table[t - 1].tolist()
        eps = network(x_t, torch.full((len(x_t),), t))
        x_0_hat = ((x_t - b_t * eps) / a_t).clamp(-1, 1)
        beta = b_t**2 - (b_s * a_t / a_s) ** 2
        mean = a_s * beta * x_0_hat + a_t / a_s * b_s**2 * x_t
        x_t = mean / b_t**2 + b_s / b_t * beta**0.5 * torch.randn_like(x_t)
    return x_t


if __name__ == "__main__":
    pixels = PixelRange(-1, 1)
    network = train(pixels.from_uint8(MNIST5k().load()[0].images), num_steps=3000)
    thaw.grid(pixels.to_uint8(sample(network, torch.randn(64, *SHAPE)))).save("ddpm.png")
