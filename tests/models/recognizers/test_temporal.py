"""Layers over time against torch's own in N C T V, and against loops."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from skelaug.models.recognizers.temporal import (
    MultiScaleTemporal,
    TemporalConv,
    every,
    window_maximum,
)


def usual(x: Tensor) -> Tensor:
    """C N V T to N C T V."""
    return x.permute(1, 0, 3, 2)


def maps(c: int, t: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(c, 3, 5, t, generator=generator, dtype=torch.float64)


def test_initial_weights_follow_the_fan_out() -> None:
    torch.manual_seed(0)
    spread = TemporalConv(100, 40, kernel=5).weight.std()
    torch.testing.assert_close(spread, torch.tensor((2 / 200) ** 0.5), rtol=0.02, atol=0)


@pytest.mark.parametrize("t", [1, 2, 7, 8])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 3), (2, 2)])
def test_a_temporal_convolution_is_a_sum_over_its_taps(t: int, stride: int, dilation: int) -> None:
    layer = TemporalConv(4, 6, kernel=5, stride=stride, dilation=dilation).double()
    x = maps(4, t)
    y = layer(x)
    assert y.shape[-1] == -(-t // stride)
    for out in range(y.shape[-1]):
        expected = layer.bias[:, None, None].expand(6, 3, 5).clone()
        for tap in range(5):
            frame = out * stride + (tap - 2) * dilation
            if 0 <= frame < t:
                weight = layer.weight[:, :, 0, tap]
                expected += torch.einsum("oi,inv->onv", weight, x[..., frame])
        torch.testing.assert_close(y[..., out], expected)


@pytest.mark.parametrize("t", [1, 2, 3, 8, 9])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_window_maximum_is_a_pooling(t: int, stride: int) -> None:
    x = maps(4, t).requires_grad_()
    ours = usual(window_maximum(x, stride))
    pooled = max_pool2d(usual(x), (3, 1), (stride, 1), (1, 0))
    assert torch.equal(ours, pooled)
    weights = torch.randn_like(pooled)
    gradients = [torch.autograd.grad((weights * y).sum(), x)[0] for y in (ours, pooled)]
    torch.testing.assert_close(*gradients)


def test_equal_frames_share_no_gradient() -> None:
    x = torch.ones(1, 1, 1, 4, requires_grad=True)
    window_maximum(x).sum().backward()
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [2, 1, 1, 0]


def test_every_frame_is_the_map_itself() -> None:
    x = maps(2, 5)
    assert every(x, 1) is x
    assert torch.equal(every(x, 2), x[..., [0, 2, 4]])


@pytest.mark.parametrize(("dilations", "stride"), [((1, 2), 2), ((1, 2, 3, 4), 1)])
def test_branches_are_shares_of_the_channels(dilations: tuple[int, ...], stride: int) -> None:
    """What goes into one branch alone comes out in its share alone."""
    layer = MultiScaleTemporal(3, 12, kernel=3, dilations=dilations, stride=stride).eval()
    share = layer.share
    assert share * (len(dilations) + 2) == 12
    x = maps(3, 9).float()
    with torch.no_grad():
        before = layer(x)
        for branch in range(len(dilations) + 2):
            layer.lead.weight[branch * share : (branch + 1) * share] += 1
            after = layer(x)
            changed = (before != after).flatten(1).any(1).nonzero().flatten().tolist()
            assert changed == list(range(branch * share, (branch + 1) * share))
            before = after
    assert before.shape == (12, 3, 5, -(-9 // stride))
