"""Files as the study's starter saves them, and its network's forward, line by line."""

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

FREQUENCIES = [0.0] + [2 * math.pi * 1.5**i for i in range(15)]


def starter_state(hidden: tuple[int, ...] = (4, 6, 4), kernel: int = 7) -> dict[str, Tensor]:
    """The state dict of the starter's network alone, of 1 x 28 x 28, with random weights."""
    draws = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draws) / max(1, math.prod(shape[1:])) ** 0.5

    found = {"gt.frequencies": torch.tensor(FREQUENCIES)}
    for number, (before, after) in enumerate(zip((1, *hidden), hidden, strict=False)):
        for name, shape in (("0", (after, before, kernel, kernel)), ("1", (after, 28, 28))):
            found[f"gt.blocks.{number}.net.{name}.weight"] = normal(*shape)
            found[f"gt.blocks.{number}.net.{name}.bias"] = normal(
                *(shape[:1] if name == "0" else shape)
            )
        found[f"gt.blocks.{number}.net.1.weight"] += 1
    found[f"gt.blocks.{len(hidden)}.weight"] = normal(1, hidden[-1], 3, 3)
    found[f"gt.blocks.{len(hidden)}.bias"] = normal(1)
    widths = [32, 128, 128, 128, hidden[0]]
    for layer, (before, after) in enumerate(pairwise(widths)):
        found[f"gt.time_embed.{2 * layer}.weight"] = normal(after, before)
        found[f"gt.time_embed.{2 * layer}.bias"] = normal(after)
    return found


def starter_schedule(num_steps: int, first: float = 1e-4, last: float = 0.02) -> dict[str, Tensor]:
    """The starter's buffers: T + 1 betas from t = 0, and the products of 1 - beta, in float32."""
    beta_t = (last - first) * torch.arange(num_steps + 1, dtype=torch.float32) / num_steps + first
    return {"beta_t": beta_t, "alpha_t": (1 - beta_t).log().cumsum(0).exp()}


def starter_forward(
    state: dict[str, Tensor], x: Tensor, t: Tensor, act: Callable[[Tensor], Tensor] = F.gelu
) -> Tensor:
    """The starter's network of images ``[B, 1, 28, 28]`` and t / T, float ``[B]``."""
    number_of_last = max(int(name.split(".")[2]) for name in state if "blocks" in name)
    phases = t[:, None] * state["gt.frequencies"][None, :]
    e = torch.cat([phases.sin(), phases.cos() - 1], dim=1)
    for layer in (0, 2, 4, 6):
        prefix = f"gt.time_embed.{layer}"
        e = F.linear(e, state[f"{prefix}.weight"], state[f"{prefix}.bias"])
        e = act(e) if layer < 6 else e
    for number in range(number_of_last):
        conv, norm = (f"gt.blocks.{number}.net.{layer}" for layer in (0, 1))
        kernel = state[f"{conv}.weight"]
        x = F.conv2d(x, kernel, state[f"{conv}.bias"], padding=kernel.shape[-1] // 2)
        x = F.layer_norm(x, x.shape[1:], state[f"{norm}.weight"], state[f"{norm}.bias"])
        x = act(x)
        if number == 0:
            x = x + e[:, :, None, None]
    last = f"gt.blocks.{number_of_last}"
    return F.conv2d(x, state[f"{last}.weight"], state[f"{last}.bias"], padding=1)


def write_starter(path: Path, state: dict[str, Tensor]) -> Path:
    torch.save(state, path)
    return path
