"""Which time steps are trained: uniformly drawn, by the noise, or where the loss is large."""

from abc import ABC, abstractmethod

import torch
import torch.distributed as dist
from torch import Generator, Tensor, nn

from thaw.checks import Count, Positive, Share, checked
from thaw.diffusion.buffers import take_stored_shapes
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.gaussian import Gaussian
from thaw.diffusion.needs import D, Part


class Timesteps(nn.Module, Part[D], ABC):
    """p(t) on 1..T; what it learns from the losses is stored in the checkpoint."""

    @abstractmethod
    def draw(
        self, num_images: int, degradation: D, generator: Generator | None, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """t, int64 ``[B]``, each in 1..T, and the factors of their losses, ``[B, 1, 1, 1]``.

        ``device`` is that of the generator (the global one if None) and of the results.
        """

    def record(self, t: Tensor, errors: Tensor, weights: Tensor) -> None:
        """Learn from the errors ``[B, C, H, W]`` of steps t, and their weights ``[B, 1, 1, 1]``."""


class UniformTimesteps(Timesteps[Degradation]):
    """t ~ U{1..T} (Ho et al. 2020, Algorithm 1)."""

    def draw(
        self,
        num_images: int,
        degradation: Degradation,
        generator: Generator | None,
        device: torch.device,
    ) -> tuple[Tensor, Tensor]:
        last, size = degradation.num_steps, (num_images,)
        t = torch.randint(1, last + 1, size, generator=generator, device=device)
        return t, torch.ones(num_images, 1, 1, 1, device=device)


class LogNormal(Timesteps[Gaussian]):
    """log(sigma_t / signal_t) ~ N(mean, deviation^2), t the step that is nearest to a draw.

    Where signal_T is 0, as with a flow, T begins at the ratio of the mean of the last two rows.
    With ``schedule=edm`` sigma is log-normal (Karras et al. 2022, table 1: -1.2 and 1.2 for data of
    the deviation 0.5); with ``schedule=flow`` tau is logit-normal (Esser et al. 2024, section 3.1:
    0 and 1). The factors are 1: what is drawn more often counts more.
    """

    needs = Gaussian

    @checked
    def __init__(self, mean: float = 0.0, deviation: Positive = 1.0) -> None:
        super().__init__()
        self.mean = mean
        self.deviation = deviation

    def draw(
        self,
        num_images: int,
        degradation: Gaussian,
        generator: Generator | None,
        device: torch.device,
    ) -> tuple[Tensor, Tensor]:
        normal = torch.randn(num_images, generator=generator, device=device)
        ratios = (degradation.sigma / degradation.signal)[1:].log()
        rows = [row[1:-1] + row[2:] for row in (degradation.sigma, degradation.signal)]
        between = (ratios[1:] + ratios[:-1]) / 2
        between = torch.where(between.isfinite(), between, (rows[0] / rows[1]).log())
        t = 1 + torch.searchsorted(between, self.mean + self.deviation * normal)
        return t, torch.ones(num_images, 1, 1, 1, device=device)


class LossSecondMoment(UniformTimesteps):
    """p(t) ~ sqrt(E[L_t^2]), the mean over the last losses of t (Nichol and Dhariwal 2021, 3.3).

    The factors, 1 / (T p(t)), make the expected loss that of uniform steps. t is uniform until
    every t has ``history`` losses. Where no gradient is taken t is uniform too and nothing is
    recorded, so that validation losses of all runs can be compared.

    Args:
        history: losses stored for each t.
        uniform_share: share of draws that stay uniform, 0.001 in the published code.
    """

    losses: Tensor
    counts: Tensor

    @checked
    def __init__(self, history: Count = 10, uniform_share: Share = 0.001) -> None:
        super().__init__()
        self.history = history
        self.uniform_share = uniform_share
        self.register_buffer("losses", torch.empty(0, history))
        self.register_buffer("counts", torch.empty(0, dtype=torch.int64))
        self.register_load_state_dict_pre_hook(take_stored_shapes)  # type: ignore[no-untyped-call]

    def draw(
        self,
        num_images: int,
        degradation: Degradation,
        generator: Generator | None,
        device: torch.device,
    ) -> tuple[Tensor, Tensor]:
        num_steps = degradation.num_steps
        if len(self.counts) != num_steps + 1:  # T is known at the first draw
            self.losses = self.losses.new_zeros(num_steps + 1, self.history, device=device)
            self.counts = self.counts.new_zeros(num_steps + 1, device=device)
        if not torch.is_grad_enabled():
            return super().draw(num_images, degradation, generator, device)
        p = self.probabilities()
        t = 1 + torch.multinomial(p[1:], num_images, replacement=True, generator=generator)
        return t, 1 / (num_steps * p[t]).view(-1, 1, 1, 1)

    def probabilities(self) -> Tensor:
        """p(t), float32 ``[T + 1]``, 0 at t = 0."""
        tiny = torch.finfo(torch.float32).tiny  # where all losses are 0, all t are alike
        relative = self.losses / self.losses.amax().clamp(min=tiny)  # whose squares are finite
        size = relative.square().mean(1).sqrt().clamp(min=tiny)
        size[:1].zero_()  # size[0] = 0 would wait for the device
        uniform = torch.ones_like(size)
        uniform[:1].zero_()
        uniform /= uniform.sum()
        mixed = torch.lerp(size / size.sum(), uniform, self.uniform_share)
        return torch.where((self.counts[1:] >= self.history).all(), mixed, uniform)

    def record(self, t: Tensor, errors: Tensor, weights: Tensor) -> None:
        if not torch.is_grad_enabled():
            return
        losses = (weights.flatten() * errors.detach().flatten(1).mean(1)).to(self.losses.dtype)
        # Every process stores the losses of the whole batch, so that all draw the same t.
        t, losses = _of_all_processes(t), _of_all_processes(losses)
        # One overflow would make every p(t) NaN. Losses left out are written as 0 at t = 0, because
        # selecting the others would wait for the device.
        finite = losses.isfinite()
        t = torch.where(finite, t, 0)
        same = t[:, None] == t
        before, after = same.tril(-1).sum(1), same.triu(1).sum(1)
        slots = (self.counts[t] + before) % self.history
        self.counts.index_add_(0, t, (t > 0).to(t.dtype))
        # Later losses of this batch overwrite earlier ones.
        kept = finite & (after < self.history)
        t, losses = torch.where(kept, t, 0), torch.where(kept, losses, 0)
        self.losses[t, slots] = losses


def _of_all_processes(values: Tensor) -> Tensor:
    """Values ``[B]`` of all processes that train together, joined in the order of their ranks."""
    if not (dist.is_available() and dist.is_initialized()):
        return values
    parts = [torch.empty_like(values) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, values.contiguous())
    return torch.cat(parts)
