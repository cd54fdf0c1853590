"""The blocks of FG-STFormer against their equations, written as loops in float64."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from skelaug.models.recognizers.fg_attention import (
    ChannelNorm,
    CrossTransformer,
    SpatialTransformer,
    TemporalTransformer,
)
from skelaug.seeds import generator

N, T, V, C = 2, 3, 4, 8


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed, 1), dtype=torch.float64)


def shaken(block: nn.Module) -> nn.Module:
    """In float64 and evaluation mode, every parameter and statistic moved off its start."""
    block.double().eval()
    with torch.no_grad():
        for i, tensor in enumerate(block.state_dict().values()):
            if tensor.is_floating_point():
                tensor += 0.3 * random(*tensor.shape, seed=i).abs()
    return block


def leaky(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.1 * x)


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    y = x @ layer.weight.T
    return y if layer.bias is None else y + layer.bias


def normed(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return (x - norm.running_mean) * scale + norm.bias


def shortened(layer: nn.Module, x: Tensor) -> Tensor:
    return normed(layer[1], linear(layer[0], x)) if isinstance(layer, nn.Sequential) else x


def encoded(position: int, width: int) -> Tensor:
    half = width // 2
    angle = torch.tensor([position / 10_000 ** (k / half) for k in range(half)])
    return torch.cat([angle.cos(), angle.sin()]).double()


def softmax(logits: Tensor) -> Tensor:
    e = logits.exp()
    return e / e.sum()


def mixed_with_loops(
    block: SpatialTransformer | CrossTransformer,
    x: Tensor,
    source: Tensor,
    numbers: list[list[list[int]]],
    source_numbers: list[list[list[int]]],
) -> Tensor:
    """Concatenate A_h X over heads and project, node by node; then the two residuals."""
    n, t, v, c = x.shape
    size = block.queries.out_features // block.heads
    outputs = block.feed.out_features
    weight = block.values.weight.view(block.heads, outputs, c)
    out = torch.zeros(n, t, v, outputs, dtype=x.dtype)
    for i, f, j in itertools.product(range(n), range(t), range(v)):
        query = linear(block.queries, x[i, f, j] + encoded(numbers[i][f][j], c))
        mixed = torch.zeros(outputs, dtype=x.dtype)
        for h in range(block.heads):
            at = slice(h * size, (h + 1) * size)
            keys = [
                linear(block.keys, source[i, f, u] + encoded(source_numbers[i][f][u], c))[at]
                for u in range(source.shape[2])
            ]
            weights = softmax(torch.stack([query[at] @ key for key in keys]) / math.sqrt(size))
            if isinstance(block, SpatialTransformer):
                row = numbers[i][f][j]
                weights = weights + torch.stack(
                    [block.global_map[h, row, column] for column in source_numbers[i][f]]
                )
            copy = sum(a * source[i, f, u] for u, a in enumerate(weights))
            mixed = mixed + weight[h] @ copy
        y = leaky(shortened(block.shortcut, x[i, f, j]) + normed(block.norm, mixed))
        fed = normed(block.feed_norm, linear(block.feed, y))
        out[i, f, j] = leaky(shortened(block.feed_shortcut, x[i, f, j]) + fed)
    return out


def in_order(v: int) -> list[list[list[int]]]:
    return [[list(range(v))] * T] * N


@pytest.mark.parametrize("outputs", [C, 2 * C])
def test_spatial_block_is_the_equation(outputs: int) -> None:
    block = shaken(SpatialTransformer(C, outputs, nodes=V, heads=3))
    x = random(N, T, V, C, seed=50)
    torch.testing.assert_close(block(x), mixed_with_loops(block, x, x, in_order(V), in_order(V)))


def test_spatial_block_on_chosen_joints_is_the_equation() -> None:
    block = shaken(SpatialTransformer(C, C, nodes=6, heads=3))
    x = random(N, T, V, C, seed=51)
    chosen = torch.stack([torch.randperm(6, generator=generator(i))[:V] for i in range(N * T)])
    chosen = chosen.view(N, T, V)
    want = mixed_with_loops(block, x, x, chosen.tolist(), chosen.tolist())
    torch.testing.assert_close(block(x, chosen), want)


def test_cross_attention_is_the_equation() -> None:
    block = shaken(CrossTransformer(C, receivers=V, senders=7, heads=3))
    x, source = random(N, T, V, C, seed=52), random(N, T, 3, C, seed=53)
    chosen = torch.stack([torch.randperm(7, generator=generator(i))[:3] for i in range(N * T)])
    chosen = chosen.view(N, T, 3)
    want = mixed_with_loops(block, x, source, in_order(V), chosen.tolist())
    torch.testing.assert_close(block(x, source, source_chosen=chosen), want)


def test_all_joints_chosen_in_order_are_no_choice() -> None:
    block = shaken(SpatialTransformer(C, C, nodes=V))
    x = random(N, T, V, C, seed=54)
    torch.testing.assert_close(block(x, torch.arange(V).expand(N, T, V)), block(x))


def test_the_global_map_is_gathered_frame_by_frame() -> None:
    block = shaken(SpatialTransformer(C, C, nodes=6))
    chosen = torch.stack([torch.randperm(6, generator=generator(i))[:V] for i in range(N * T)])
    chosen = chosen.view(N, T, V)
    gathered = block.gathered(chosen)
    assert gathered.shape == (N, T, 3, V, V)
    for i, f, h, r, s in itertools.product(*(range(size) for size in gathered.shape)):
        assert gathered[i, f, h, r, s] == block.global_map[h, chosen[i, f, r], chosen[i, f, s]]


def test_rows_of_maps() -> None:
    # of self-attention at the start: a softmax, and A_g whose rows sum to one as well
    space = SpatialTransformer(C, C, nodes=V).double()
    x, source = random(N, T, V, C, seed=55), random(N, T, 3, C, seed=56)
    sums = space.maps(x).sum(-1)
    torch.testing.assert_close(sums, torch.full_like(sums, 2.0))
    cross = shaken(CrossTransformer(C, receivers=V, senders=3))
    maps = cross.maps(x, source)
    assert maps.shape == (N, T, 3, V, 3)
    torch.testing.assert_close(maps.sum(-1), torch.ones(N, T, 3, V, dtype=torch.float64))
    for one in shaken(TemporalTransformer(C)).maps(x.transpose(1, 2)):
        torch.testing.assert_close(one.sum(-1), torch.ones(N, V, T, dtype=torch.float64))


def test_maps_stay_in_float32_under_autocast() -> None:
    block = SpatialTransformer(C, C, nodes=V)
    x = random(N, T, V, C).float()
    with torch.autocast("cpu", torch.bfloat16):
        maps = block.maps(x)
        block(x)
    assert maps.dtype == torch.float32
    torch.testing.assert_close(maps.sum(-1), torch.full((N, T, 3, V), 2.0))


@pytest.mark.parametrize(("attention", "convolution"), [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize(("frames", "stride"), [(6, 1), (6, 2), (5, 2), (1, 1)])
def test_temporal_block_is_the_equation(
    frames: int, stride: int, attention: bool, convolution: bool
) -> None:
    block = shaken(
        TemporalTransformer(C, stride=stride, attention=attention, convolution=convolution)
    )
    x = random(N, frames, V, C, seed=57)
    starts = range(0, frames, stride)
    size = C // 2
    out = torch.zeros(N, len(starts), V, C, dtype=x.dtype)
    for i, j in itertools.product(range(N), range(V)):
        values = torch.zeros(2, len(starts), size, dtype=x.dtype)
        for h, dilation in enumerate((1, 2)):
            weight, bias = block.values[h].weight, block.values[h].bias
            middle = weight.shape[-1] // 2
            for row, f in enumerate(starts):
                values[h, row] = bias
                for k in range(weight.shape[-1]):
                    g = f + (k - middle) * dilation
                    if 0 <= g < frames:
                        values[h, row] += weight[:, :, 0, k] @ x[i, g, j]
        heads = values
        if attention:
            heads = torch.zeros_like(values)
            coded = [x[i, f, j] + encoded(f, C) for f in starts]
            for h, (row, query) in itertools.product(range(2), enumerate(coded)):
                at = slice(h * size, (h + 1) * size)
                q = linear(block.queries, query)[at]
                logits = [q @ linear(block.keys, key)[at] / math.sqrt(size) for key in coded]
                mixed = linear(block.mixes[h], softmax(torch.stack(logits)) @ values[h])
                heads[h, row] = mixed + values[h, row] if convolution else mixed
        for row, f in enumerate(starts):
            y = leaky(linear(block.out, torch.cat([heads[0, row], heads[1, row]])))
            out[i, row, j] = y + shortened(block.shortcut, x[i, f, j])
    torch.testing.assert_close(block(x), out)


def test_a_switched_off_half_has_no_weights() -> None:
    names = {
        name.split(".")[0] for name, _ in TemporalTransformer(C, attention=False).named_parameters()
    }
    assert names == {"values", "out"}
    linear_values = TemporalTransformer(C, convolution=False).values
    assert {tuple(layer.weight.shape[2:]) for layer in linear_values} == {(1, 1)}


def test_dropped_maps_change_training_alone() -> None:
    x = random(N, T, V, C).float()
    for block in (
        SpatialTransformer(C, C, nodes=V, dropout=0.5),
        TemporalTransformer(C, dropout=0.5),
    ):
        torch.manual_seed(0)
        assert not torch.equal(block(x), block(x))
        block.eval()
        assert torch.equal(block(x), block(x))


def test_channel_norm_is_that_of_the_channels() -> None:
    norm = ChannelNorm(C)
    x = 3 * random(N, T, V, C).float() + 1
    y = norm(x)
    torch.testing.assert_close(y.mean((0, 1, 2)), torch.zeros(C), atol=1e-6, rtol=0)
    torch.testing.assert_close(y.var((0, 1, 2), correction=0), torch.ones(C), atol=1e-4, rtol=0)
