"""What the network predicts, and how a clean image is read from it."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from thaw.checks import Positive, checked
from thaw.diffusion.degradations.base import Degradation
from thaw.diffusion.degradations.gaussian import Gaussian, Noising, Scales
from thaw.diffusion.needs import D, Part
from thaw.pixels import PixelRange

BATCH_SIZE = 1000
# Networks are made for inputs of the order of 1: beyond this x_t has to be scaled for them.
LARGEST_INPUT = 10.0


class Prediction(Part[D], ABC):
    """A training target and its inverse: ``decode(target(x_0, ...), x_t, ...) = x_0``."""

    input_in_words: tuple[str, str] | None = None
    """What :meth:`network_input` makes of x_t and of t, for readers; None where nothing."""

    def fit(self, images: Tensor, pixel_range: PixelRange) -> None:
        """Learn what it needs of training images, uint8 ``[N, C, H, W]``, before training."""

    def network_input(self, x_t: Tensor, t: Tensor, degradation: D) -> tuple[Tensor, Tensor]:
        """What the network is given of x_t ``[B, C, H, W]`` and t, int64 ``[B]``: x_t and t.

        A prediction may scale x_t, and may have other times on the network's scale of 1 to T.
        """
        return x_t, t

    @abstractmethod
    def target(self, x_0: Tensor, noise: Tensor, t: Tensor, degradation: D) -> Tensor:
        """What the network should output, ``[B, C, H, W]``."""

    @abstractmethod
    def decode(self, output: Tensor, x_t: Tensor, t: Tensor, degradation: D) -> Tensor:
        """x_0_hat ``[B, C, H, W]``, the clean image that the network's output stands for."""

    @abstractmethod
    def error_of_clean(self, scales: Scales) -> Tensor:
        """(x_0_hat - x_0)^2 / (output - target)^2 where x_t = signal x_0 + sigma eps."""


class Clean(Prediction[Degradation]):
    """The network predicts x_0 itself (Bansal et al. 2022, equation 1)."""

    def target(self, x_0: Tensor, noise: Tensor, t: Tensor, degradation: Degradation) -> Tensor:
        return x_0

    def decode(self, output: Tensor, x_t: Tensor, t: Tensor, degradation: Degradation) -> Tensor:
        return output

    def error_of_clean(self, scales: Scales) -> Tensor:
        return torch.ones_like(scales.sigma)


class Mixture(Prediction[Noising]):
    """The network predicts a mixture u = p eps + q x_0, in the basis of the noise.

    With x_t = a x_0 + b eps, x_0_hat = (p x_t - b u) / (a p - b q). p and q are functions of
    (a, b), in terms of the noise that b is a factor of.

    Where b is 0, as in lines that are still clean, x_t shows nothing of eps and there is nothing to
    learn: u is 0, and x_0_hat is x_t / a for every output of the network.
    """

    needs = Noising
    divides_by_signal: ClassVar[bool] = False

    @abstractmethod
    def mixture(self, scales: Scales) -> Scales:
        """(q, p): the factors of x_0 and eps, in the shapes of (a, b)."""

    def check(self, degradation: Noising) -> None:
        signal, sigma = degradation.scales_at(degradation.num_steps)
        name = type(self).__name__
        if self.divides_by_signal and (signal.float() == 0).any():
            raise ValueError(
                f"{name} cannot read x_0 from an x_T that is noise alone (its share of the image "
                "is 0, as with zero_terminal_snr=true and schedule=flow): predict the velocity, "
                "the flow or the clean image"
            )
        if sigma.max() > LARGEST_INPUT:
            scaled = isinstance(degradation, Gaussian)
            raise ValueError(
                f"{name} gives the network x_t as it is, with a sigma up to {sigma.max():g}: take "
                f"{'prediction=edm, which scales it' if scaled else 'another schedule'}"
            )

    def target(self, x_0: Tensor, noise: Tensor, t: Tensor, degradation: Noising) -> Tensor:
        scales = degradation.scales(t)
        of_x_0, of_eps = self.mixture(scales)
        is_noisy = scales.sigma > 0
        eps = degradation.noise_in_basis(noise)
        return degradation.from_basis(
            is_noisy * of_eps * eps + is_noisy * of_x_0 * degradation.to_basis(x_0)
        )

    def decode(self, output: Tensor, x_t: Tensor, t: Tensor, degradation: Noising) -> Tensor:
        scales = degradation.scales(t)
        of_x_0, of_eps = self.mixture(scales)
        z_t, u = degradation.to_basis(x_t), degradation.to_basis(output)
        divisor = scales.signal * of_eps - scales.sigma * of_x_0
        return degradation.from_basis((of_eps * z_t - scales.sigma * u) / divisor)

    def error_of_clean(self, scales: Scales) -> Tensor:
        of_x_0, of_eps = self.mixture(scales)
        return (scales.sigma / (scales.signal * of_eps - scales.sigma * of_x_0)) ** 2


class Noise(Mixture):
    """The network predicts eps; x_0_hat = (x_t - sigma_t eps) / signal_t.

    Ho et al. 2020, equation 9 solved for x_0 through equation 4.
    """

    divides_by_signal = True

    def mixture(self, scales: Scales) -> Scales:
        return Scales(torch.zeros_like(scales.signal), torch.ones_like(scales.signal))


class Velocity(Mixture):
    """The network predicts v = (signal_t eps - sigma_t x_0) / r, r^2 = signal_t^2 + sigma_t^2.

    Salimans and Ho 2022, section 4 and appendix D, where r = 1; x_0_hat = (signal_t x_t -
    sigma_t r v) / r^2 never divides by what may be 0.
    """

    def mixture(self, scales: Scales) -> Scales:
        signal, sigma = scales
        r = torch.hypot(signal, sigma)
        return Scales(-sigma / r, signal / r)


class Flow(Mixture):
    """The network predicts u = eps - x_0, where a straight path leads.

    It is dx / dtau of x = (1 - tau) x_0 + tau eps (Liu et al. 2023; Lipman et al. 2023). With any
    (signal_t, sigma_t), x_0_hat = (x_t - sigma_t u) / (signal_t + sigma_t).
    """

    def mixture(self, scales: Scales) -> Scales:
        one = torch.ones_like(scales.signal)
        return Scales(-one, one)


class EDM(nn.Module, Prediction[Gaussian]):
    """x_0_hat = c_skip x_t + c_out F(c_in x_t, c_noise), F the network (Karras et al. 2022, eq. 7).

    Their table 1, for x_t = a x_0 + b eps, v^2 = a^2 sigma_data^2 + b^2:

        c_skip = a sigma_data^2 / v^2,  c_out = b sigma_data / v,  c_in = 1 / v,
        c_noise = log(b / a) / 4,

    so that F's input and target, (x_0 - c_skip x_t) / c_out, have the variance 1 and its squared
    error is their loss, weighted by 1 / c_out^2. Networks embed steps from 1 to T: c_noise is
    brought to these, its first value to 1 and its last to T.

    Args:
        sigma_data: standard deviation of the pixels; None is that of the training images. It is
            stored in the checkpoint.
    """

    needs = Gaussian
    input_in_words = ("times c_in", "each moved to where c_noise is between its first and last")

    sigma_data: Tensor

    @checked
    def __init__(self, sigma_data: Positive | None = None) -> None:
        super().__init__()
        self.is_fitted = sigma_data is None
        self.register_buffer("sigma_data", torch.tensor(sigma_data or 0.5))

    def check(self, degradation: Gaussian) -> None:
        if degradation.scales_at(degradation.num_steps).signal.float() == 0:
            raise ValueError(
                "EDM takes the logarithm of signal_T, which is 0 here: predict the flow, the "
                "velocity or the clean image"
            )

    def fit(self, images: Tensor, pixel_range: PixelRange) -> None:
        if self.is_fitted:
            batches = [pixel_range.from_uint8(batch).double() for batch in images.split(BATCH_SIZE)]
            moments = torch.stack([torch.stack([x.sum(), x.square().sum()]) for x in batches])
            mean, square = moments.sum(0) / images.numel()
            self.sigma_data.copy_((square - mean**2).sqrt())

    def network_input(self, x_t: Tensor, t: Tensor, degradation: Gaussian) -> tuple[Tensor, Tensor]:
        c_noise = (degradation.sigma / degradation.signal).log() / 4
        first, last = c_noise[1], c_noise[-1]
        share = (c_noise[t] - first) / (last - first).clamp(min=torch.finfo(c_noise.dtype).tiny)
        time = 1 + (degradation.num_steps - 1) * share
        return x_t / self._total(degradation.scales(t)), time

    def target(self, x_0: Tensor, noise: Tensor, t: Tensor, degradation: Gaussian) -> Tensor:
        # (x_0 - c_skip x_t) / c_out, of which x_0 and eps have these parts without a division by b.
        signal, sigma = degradation.scales(t)
        total, data = self._total(Scales(signal, sigma)), self.sigma_data
        return (sigma / data * x_0 - signal * data * noise) / total

    def decode(self, output: Tensor, x_t: Tensor, t: Tensor, degradation: Gaussian) -> Tensor:
        signal, sigma = degradation.scales(t)
        total, data = self._total(Scales(signal, sigma)), self.sigma_data
        return (signal * (data / total) ** 2) * x_t + (sigma * data / total) * output

    def error_of_clean(self, scales: Scales) -> Tensor:
        return (scales.sigma * self.sigma_data / self._total(scales)) ** 2

    def _total(self, scales: Scales) -> Tensor:
        """v, the standard deviation of x_t."""
        return torch.hypot(scales.signal * self.sigma_data, scales.sigma)
