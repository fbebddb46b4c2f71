"""Mixing towards a partner that the image brings along."""

import pytest
import torch
from theory_support import RANGE, random_images, step
from torch import Generator, Tensor, nn

from thaw.diffusion import Cold, Empirical, Paired
from thaw.diffusion.degradations.bridge import Bridge
from thaw.diffusion.objectives import MSE
from thaw.diffusion.predictions import Clean
from thaw.diffusion.priors.gaussian_mixture import GaussianMixture
from thaw.diffusion.restoration import Restoration
from thaw.diffusion.restorer import Restorer
from thaw.diffusion.samplers.straight import InDI

SHAPE = (1, 12, 12)
D = Paired(num_steps=4)


def stored(num_images: int = 6, dtype: torch.dtype = torch.float32) -> Tensor:
    """Pairs as a data set has them, levels 0 to 255."""
    draws = Generator().manual_seed(0)
    return (255 * torch.rand(num_images, 2, 12, 12, generator=draws)).to(dtype)


class Known(nn.Module):
    """A network that tells each image by its partner, and answers with the clean one."""

    def __init__(self, pairs: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.pairs = pairs

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        distance = (x_t[:, None] - self.pairs[None, :, 1:]).flatten(2).norm(dim=2)
        return self.pairs[distance.argmin(1), :1] + self.weight


def test_it_is_the_straight_line_from_the_image_to_its_partner() -> None:
    x_0, y = D.draw(RANGE.from_uint8(stored()))
    for t in range(5):
        x_t = D(x_0, torch.full((6,), t), y)
        torch.testing.assert_close(x_t, (1 - t / 4) * x_0 + t / 4 * y)
    assert torch.equal(D(x_0, torch.full((6,), 4), y), y)


@pytest.mark.parametrize(("t", "s"), [(8, 7), (8, 0), (5, 2)])
def test_indi_is_algorithm_2_with_the_partner_inferred(t: int, s: int) -> None:
    """On a pair itself, and on a bridge to it."""
    x_t, x_0_hat = random_images(3, *SHAPE), random_images(3, *SHAPE, seed=1)
    y = (x_t - (1 - t / 8) * x_0_hat) / (t / 8)
    for path in (Paired(8), Bridge(SHAPE, D, num_steps=8)):
        x_s = step(InDI(), x_t, x_0_hat, t, s, torch.zeros_like(y), path)
        expected = step(Cold(), x_t, x_0_hat, t, s, y, path)
        torch.testing.assert_close(x_s, expected, rtol=0, atol=1e-12)


def test_a_bridge_to_partners_is_their_straight_line_and_ends_in_noise_where_it_is_told() -> None:
    pairs = RANGE.from_uint8(stored())
    plain, noisy = (Bridge(SHAPE, D, num_steps=8, noise=eps) for eps in (0.0, 0.1))
    x_0, y = plain.draw(pairs)
    x, with_n = noisy.draw(pairs, Generator().manual_seed(1))
    assert torch.equal(x, x_0)
    for t in (0, 3, 8):
        steps = torch.full((6,), t)
        x_t = plain(x_0, steps, y)
        assert torch.equal(x_t, Paired(8)(x_0, steps, y))
        n = torch.randn(x_0.shape, generator=Generator().manual_seed(1))
        torch.testing.assert_close(noisy(x_0, steps, with_n), x_t + 0.1 * t / 8 * n)
    assert all(torch.equal(each, y) for each in plain.draw_degraded(y, 8))
    # InDI starts from y + eps n.
    x_T, own = noisy.draw_degraded(y, 8, Generator().manual_seed(1))
    assert torch.equal(own, with_n)
    assert torch.equal(x_T, noisy(x_0, torch.full((6,), 8), own))
    with pytest.raises(ValueError, match="at the end of this path, t = T = 8: leave out t=3"):
        noisy.draw_degraded(y, 3)


def test_an_image_alone_has_no_partner() -> None:
    with pytest.raises(ValueError, match="Paired takes the partner of each image"):
        D.draw_noise(torch.zeros(2, *SHAPE))
    with pytest.raises(ValueError, match="in its own way.* use the empirical prior"):
        GaussianMixture(SHAPE, RANGE).check(D)


def test_the_loss_mixes_each_image_with_its_own_partner() -> None:
    """The weighted mean of the squared distance between pairs, if the network gives x_t back."""

    class Echo(Known):
        def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
            return x_t + self.weight

    pairs = RANGE.from_uint8(stored())
    restorer = Restorer(Echo(pairs), D, Clean(), RANGE)
    losses = [MSE()(restorer, pairs, Generator().manual_seed(seed)).item() for seed in range(400)]
    apart = (pairs[:, 1] - pairs[:, 0]).square().mean()
    share = sum((t / 4) ** 2 for t in range(1, 5)) / 4
    assert sum(losses) / len(losses) == pytest.approx(share * apart.item(), rel=0.05)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_the_empirical_prior_draws_real_partners_and_keeps_their_values(dtype: torch.dtype) -> None:
    images = stored(dtype=dtype)
    prior = Empirical(SHAPE, RANGE, num_images=100)
    prior.fit(images, D)
    assert (prior.images.dtype, prior.images.shape) == (dtype, images.shape)  # each of them once
    loaded = Empirical(SHAPE, RANGE, num_images=100)
    loaded.load_state_dict(prior.state_dict())
    x_T, y = loaded.draw(50, D, Generator().manual_seed(1))
    assert torch.equal(x_T, y)
    partners = RANGE.from_uint8(images[:, 1:])
    found = (x_T[:, None] == partners[None]).flatten(2).all(2)
    assert (found.sum(1) == 1).all()
    assert found.any(0).all()


def restoration(t: int | None = None) -> Restoration:
    network = Known(RANGE.from_uint8(stored()))
    return Restoration(Restorer(network, D, Clean(), RANGE), Cold(), t)


def test_partners_alone_are_restored_as_those_of_pairs_are() -> None:
    """In batches of their own, by every way, with the exact image where the network knows it."""
    images = stored()
    whole = [*restoration().batches(images, 4, seed=0)]
    alone = [*restoration().batches(images[:, 1:], 4, seed=0, is_degraded=True)]
    for pairs, partners in zip(whole, alone, strict=True):
        assert [*pairs] == ["original", *partners]
        for name, stage in partners.items():
            assert torch.equal(stage, pairs[name])
        for name in ("direct", "algorithm_2"):
            torch.testing.assert_close(pairs[name], pairs["original"], rtol=0, atol=1e-6)
    assert torch.equal(
        torch.cat([each["degraded"] for each in alone]), RANGE.from_uint8(images[:, 1:])
    )


def test_partners_alone_are_at_the_end() -> None:
    restoration().check_degraded(SHAPE)
    with pytest.raises(ValueError, match="degraded=true: degraded images are the partners, at t"):
        restoration(t=2).check_degraded(SHAPE)
