"""The diffusion transformer: diffusers' own on its weights, its positions, its short trainings."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands_support import assert_refused, record
from diffusers import DiTTransformer2DModel
from diffusers.models.embeddings import apply_rotary_emb, get_1d_rotary_pos_embed
from torch import Tensor, nn

from thaw.networks.dit import ROTARY_BASE, Attention, Block, DiT, image, rotated, rotations, tokens
from thaw.networks.embeddings import embedded


def randomised(module: nn.Module) -> Any:
    """In float64, weights away from the zeros that blocks start with."""
    module.double()
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draws))
    return module


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


class Embedding(nn.Module):
    """That of a network of thaw's, as the blocks of diffusers ask for theirs."""

    def __init__(self, network: DiT) -> None:
        super().__init__()
        self.network = network

    def forward(self, t: Tensor, labels: Tensor, hidden_dtype: torch.dtype) -> Tensor:
        return embedded(self.network.time_embedding, self.network.label_embedding, t, labels)


def theirs(network: DiT, channels: int, side: int, depth: int, heads: int) -> Any:
    """``DiTTransformer2DModel`` with the weights of a network, which draws by its own embedding."""
    width = network.first.out_features
    model = DiTTransformer2DModel(
        num_attention_heads=heads,
        attention_head_dim=width // heads,
        in_channels=channels,
        num_layers=depth,
        sample_size=side,
        patch_size=network.patch,
        activation_fn="gelu",
        norm_eps=1e-6,
    ).double()
    patch = network.patch
    own = network.state_dict()
    found = {
        "pos_embed.proj.weight": own["first.weight"].unflatten(1, (channels, patch, patch)),
        "pos_embed.proj.bias": own["first.bias"],
    }
    for name in ("weight", "bias"):
        found[f"proj_out_1.{name}"] = own[f"modulate.{name}"]
        # Their patches have the channel last.
        rows = own[f"last.{name}"].unflatten(0, (channels, patch**2))
        found[f"proj_out_2.{name}"] = rows.transpose(0, 1).flatten(0, 1)
        for k in range(depth):
            here, there = f"blocks.{k}", f"transformer_blocks.{k}"
            q, k_, v = own[f"{here}.attention.qkv.{name}"].chunk(3)
            found |= {
                f"{there}.norm1.linear.{name}": own[f"{here}.modulate.{name}"],
                f"{there}.attn1.to_q.{name}": q,
                f"{there}.attn1.to_k.{name}": k_,
                f"{there}.attn1.to_v.{name}": v,
                f"{there}.attn1.to_out.0.{name}": own[f"{here}.attention.out.{name}"],
                f"{there}.ff.net.0.proj.{name}": own[f"{here}.mlp.0.{name}"],
                f"{there}.ff.net.2.{name}": own[f"{here}.mlp.2.{name}"],
            }
    left, unexpected = model.load_state_dict(found, strict=False)
    assert not unexpected
    assert all(".norm1.emb." in name for name in left), left
    model.pos_embed.pos_embed = network.position.detach()[None]
    for block in model.transformer_blocks:
        block.norm1.emb = Embedding(network)
    return model.eval()


@pytest.mark.parametrize(("patch", "num_classes"), [(2, 5), (4, None)])
def test_it_is_the_dit_of_diffusers_on_the_same_weights(
    patch: int, num_classes: int | None
) -> None:
    shape = (3, 8, 8)
    options = {"width": 24, "depth": 3, "positions": "learned", "num_classes": num_classes}
    network = randomised(DiT(shape, 10, patch, **options))  # type: ignore[arg-type]
    model = theirs(network, channels=3, side=8, depth=3, heads=4)
    x_t, t, labels = normal(4, *shape), torch.tensor([1, 4, 7, 10]), torch.tensor([0, 4, -1, 2])
    with torch.no_grad():
        expected = model(x_t, t, labels).sample
        output = network(x_t, t, labels)
    assert output.std() > 0.1
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_it_starts_at_0_with_blocks_that_are_the_identity(positions: str) -> None:
    network = DiT((3, 8, 8), 10, width=32, depth=2, positions=positions, num_classes=5)  # type: ignore[arg-type]
    h, embedding = torch.randn(2, 4, 32), torch.randn(2, 32)
    for block in network.blocks:
        assert torch.equal(block(h, embedding, network.rotations), h)
    output = network(torch.randn(2, 3, 8, 8), torch.tensor([1, 10]), torch.tensor([0, 4]))
    assert torch.equal(output, torch.zeros(2, 3, 8, 8))
    # An open gate, and it is not: the identity is no accident of the weights.
    nn.init.ones_(network.blocks[0].modulate.bias)
    assert not torch.allclose(network.blocks[0](h, embedding, network.rotations), h)


def test_patches_are_those_of_the_image_row_by_row_and_go_back() -> None:
    images = normal(2, 3, 8, 12)
    found = tokens(images, 4)
    assert found.shape == (2, 6, 48)
    for number, patch in enumerate(found.unbind(1)):
        y, x = 4 * (number // 3), 4 * (number % 3)
        assert torch.equal(patch, images[:, :, y : y + 4, x : x + 4].flatten(1))
    assert torch.equal(image(found, 4, rows=2), images)


def test_rotations_are_those_of_diffusers_along_each_axis() -> None:
    height, breadth, channels = 3, 5, 16
    x = normal(2, 4, height * breadth, channels)
    rows = torch.arange(height).repeat_interleave(breadth)
    columns = torch.arange(breadth).repeat(height)
    angles = torch.cat(
        [get_1d_rotary_pos_embed(channels // 2, at, ROTARY_BASE).angle() for at in (rows, columns)],
        dim=-1,
    )
    both = torch.cat([angles, angles], dim=-1)
    expected = apply_rotary_emb(x, (both.cos(), both.sin()), use_real_unbind_dim=-2)
    turned = rotated(x, rotations(height, breadth, channels).double())
    torch.testing.assert_close(turned, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1), rtol=1e-6, atol=0)


def test_scores_depend_on_the_offset_alone() -> None:
    """The same query and key everywhere: as many scores as offsets, and those all different."""
    height, breadth, channels = 4, 5, 16
    turns = rotations(height, breadth, channels).double()
    q, k = (normal(2, channels)[i].expand(height * breadth, channels) for i in (0, 1))
    scores = rotated(q, turns) @ rotated(k, turns).T
    places = [(y, x) for y in range(height) for x in range(breadth)]
    found = defaultdict(list)
    for i, (y, x) in enumerate(places):
        for j, (v, u) in enumerate(places):
            found[v - y, u - x].append(scores[i, j].item())
    assert all(max(each) - min(each) < 1e-5 for each in found.values())
    means = sorted(sum(each) / len(each) for each in found.values())
    assert len(means) == (2 * height - 1) * (2 * breadth - 1)
    assert min(np.diff(means)) > 1e-4


def test_attention_is_the_same_wherever_the_patches_are_together() -> None:
    """Nine patches in two corners of a grid; elsewhere than in a square it is another."""
    attention, h = randomised(Attention(16, 2)), normal(2, 9, 16)
    grid = rotations(6, 7, 8).double().unflatten(1, (6, 7))
    corners = [grid[:, y : y + 3, x : x + 3].flatten(1, 2) for y, x in ((0, 0), (3, 4))]
    here, there = (attention(h, turns) for turns in corners)
    torch.testing.assert_close(here, there, rtol=0, atol=1e-5)
    assert (attention(h, grid.flatten(1, 2)[:, :9]) - here).abs().max() > 1e-3


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_on_a_constant_image_the_table_alone_tells_places_apart(positions: str) -> None:
    """Every x_T of averaged lines is constant along them: rotations alone would not do."""
    network = randomised(DiT((1, 12, 12), 10, width=16, positions=positions))  # type: ignore[arg-type]
    x_t, t = torch.ones(1, 1, 12, 12, dtype=torch.float64), torch.tensor([5])
    with torch.no_grad():
        assert tokens(network(x_t, t), 4).std(1).max() > 1e-3
        network.position.zero_()
        assert tokens(network(x_t, t), 4).std(1).max() < 1e-6


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_without_the_table_rotations_alone_see_patches_change_places(positions: str) -> None:
    """Attention sees sets: without any positions the output changes places in the same way."""
    network = randomised(DiT((1, 12, 12), 10, width=16, positions=positions))  # type: ignore[arg-type]
    x_t, t, order = normal(1, 1, 12, 12), torch.tensor([5]), torch.arange(9).roll(4)
    moved = image(tokens(x_t, 4)[:, order], 4, rows=3)
    with torch.no_grad():
        network.position.zero_()
        apart = tokens(network(moved, t), 4) - tokens(network(x_t, t), 4)[:, order]
    assert (apart.abs().max() > 1e-3) == (positions == "rotary")
    assert (apart.abs().max() < 1e-9) == (positions == "learned")


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((1, 28, 28), {}),
        ((3, 8, 12), {"patch": 2}),
        ((2, 5, 10), {"patch": 5, "heads": 1, "positions": "learned"}),
        ((1, 3, 4), {"patch": 1, "depth": 1, "heads": 16, "positions": "learned"}),
    ],
)
def test_any_size_keeps_its_shape_and_batched_equals_one_by_one(
    shape: tuple[int, int, int], options: dict[str, Any]
) -> None:
    network = randomised(DiT(shape, 10, width=16, **options))
    x_t, t = normal(3, *shape), torch.tensor([1, 10, 5])
    output = network(x_t, t)
    assert output.shape == x_t.shape
    alone = torch.cat([network(x_t[k : k + 1], t[k : k + 1]) for k in range(3)])
    torch.testing.assert_close(output, alone)


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_each_pixel_reaches_all_and_every_weight_takes_part(positions: str) -> None:
    network = randomised(DiT((2, 8, 8), 10, width=16, positions=positions, extra_channels=1))
    x_t = normal(2, 3, 8, 8).requires_grad_()
    output = network(x_t, torch.tensor([3, 7]))
    assert output.shape == (2, 2, 8, 8)
    (jacobian,) = torch.autograd.grad(output[0, 0, 5, 2], x_t, retain_graph=True)
    assert jacobian[0].all()
    assert not jacobian[1].any()
    output.square().sum().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.any(), name


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_bfloat16_is_the_same_to_its_rounding(positions: str) -> None:
    network = randomised(DiT((1, 8, 8), 10, width=16, positions=positions)).float()  # type: ignore[arg-type]
    x_t, t = normal(4, 1, 8, 8).float(), torch.tensor([1, 2, 5, 10])
    whole = network(x_t, t)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(x_t, t)
    assert rounded.dtype == torch.bfloat16
    assert (rounded - whole).square().mean() < 1e-3 * whole.square().mean()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"patch": 3}, r"patch must divide the image's sides \[28, 28\], got 3"),
        ({"width": 40}, "width must be a multiple of 16 with heads=4 and positions=rotary, got 40"),
        ({"width": 30, "positions": "learned"}, "width must be a multiple of 4 with heads=4"),
        ({"positions": "fixed"}, "positions must be one of learned, rotary, got 'fixed'"),
        ({"depth": 0}, "depth must be a whole number of at least 1, got 0"),
        ({"label_dropout": 1.0}, "label_dropout must be a number of at least 0 and below 1"),
    ],
)
def test_what_it_cannot_take_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DiT((1, 28, 28), 20, **options)


def test_a_block_is_its_formula() -> None:
    """With the attention of torch's own module, on the same weights."""
    block = randomised(Block(16, 4, "gelu"))
    h, embedding = normal(2, 6, 16), normal(2, 16)
    attention = nn.MultiheadAttention(16, 4, batch_first=True).double()
    attention.in_proj_weight, attention.in_proj_bias = block.attention.qkv.parameters()
    attention.out_proj = block.attention.out
    shift, scale, gate, shift_2, scale_2, gate_2 = block.modulate(embedding)[:, None].chunk(6, -1)
    inner = nn.functional.layer_norm(h, (16,), eps=1e-6) * (1 + scale) + shift
    middle = h + gate * attention(inner, inner, inner)[0]
    inner = nn.functional.layer_norm(middle, (16,), eps=1e-6) * (1 + scale_2) + shift_2
    torch.testing.assert_close(block(h, embedding, None), middle + gate_2 * block.mlp(inner))


SHORT = [
    "data=mnist_5k",
    "model=dit",
    "model.width=32",
    "model.depth=2",
    "optimizer.lr=2e-3",
    "schedule.timesteps=50",
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=40",
    "trainer.limit_val_batches=1",
    "metrics.final_num_samples=20",
    "metrics.num_restored=10",
    "callbacks.samples.num_samples=4",
]


@pytest.mark.parametrize(
    "arguments",
    [
        ["model.num_classes=10", "sampler=ddim", "sampler.num_steps=5", "sampler.guidance=2"],
        ["degradation=column_random", "trainer.precision=bf16-mixed"],
    ],
    ids=["by class", "cold, in bfloat16"],
)
def test_the_command_trains_it(arguments: list[str], tmp_path: Path, fork_command: Any) -> None:
    run = tmp_path / "run"
    finished = fork_command("train", *SHORT, *arguments, f"hydra.run.dir={run}", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert np.isfinite(record(run)["final_scores"]["final/fid"])
    losses = np.fromfile(run / "step_losses.f32", "<f4")
    assert losses[-10:].mean() < 0.9 * losses[:3].mean()
    if "model.num_classes=10" not in arguments:
        return
    drawn = []
    for digit in (7, 2):
        out = tmp_path / str(digit)
        asked = [f"run={run}", f"digit={digit}", f"out={out}", "num_samples=4", "animation=null"]
        assert fork_command("sample", *asked, cwd=tmp_path).returncode == 0
        drawn.append(np.load(out / "samples.npz")["images"].astype(int))
    assert np.abs(drawn[0] - drawn[1]).max() > 1


def test_a_patch_that_does_not_divide_the_image_is_one_line(
    tmp_path: Path, fork_command: Any
) -> None:
    finished = fork_command("train", *SHORT, "model.patch=3", cwd=tmp_path)
    assert_refused(finished, "model.patch must divide the image's sides [28, 28], got 3")
