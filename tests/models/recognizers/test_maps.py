"""Layers on C N V T maps against torch's own in N C T V, and against sums written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from skelaug.models.recognizers.maps import ChannelNorm, Pointwise, shortcut, subset_sum


def usual(x: Tensor) -> Tensor:
    """C N V T to N C T V."""
    return x.permute(1, 0, 3, 2)


def maps(*sizes: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*sizes, generator=generator, dtype=torch.float64)


def test_pointwise_is_a_1x1_convolution() -> None:
    layer, x = Pointwise(4, 6).double(), maps(4, 3, 5, 7)
    nn.init.normal_(layer.bias)
    expected = conv2d(usual(x), layer.weight[:, :, None, None], layer.bias)
    torch.testing.assert_close(usual(layer(x)), expected)


def test_initial_weights_count_the_convolutions_that_lie_side_by_side() -> None:
    torch.manual_seed(0)
    spread = Pointwise(500, 120, groups=3).weight.std()
    torch.testing.assert_close(spread, torch.tensor((2 / 40) ** 0.5), rtol=0.02, atol=0)


@pytest.mark.parametrize("training", [True, False])
def test_the_norm_is_that_of_each_channel(training: bool) -> None:
    x, ours, theirs = maps(4, 3, 5, 7) + 3, ChannelNorm(4).double(), nn.BatchNorm2d(4).double()
    for _ in range(2):
        ours(x), theirs(usual(x))
    ours.train(training), theirs.train(training)
    torch.testing.assert_close(usual(ours(x)), theirs(usual(x)))
    torch.testing.assert_close(ours.running_var, theirs.running_var)


def test_a_shortcut_changes_nothing_that_need_not_change() -> None:
    x = maps(4, 3, 5, 7)
    assert shortcut(4, 4)(x) is x
    assert shortcut(4, 6).double()(x).shape == (6, 3, 5, 7)


@pytest.mark.parametrize("shared", [True, False])
def test_the_subset_sum_is_a_sum_over_subsets_and_senders(shared: bool) -> None:
    """Value and gradients, of one topology for all channels and samples or of one for each."""
    x = maps(3, 4, 2, 5, 6).requires_grad_()
    topology = maps(3, 1, 1, 5, 5, seed=1) if shared else maps(3, 4, 2, 5, 5, seed=1)
    topology.requires_grad_()
    y = subset_sum(topology.expand(3, 4, 2, 5, 5), x)
    expected = torch.zeros(4, 2, 5, 6, dtype=torch.float64)
    for s in range(3):
        for u in range(5):
            for v in range(5):
                expected[:, :, u] += topology[s, :, :, u, v, None] * x[s, :, :, v]
    torch.testing.assert_close(y, expected)
    weights = maps(4, 2, 5, 6, seed=2)
    ours = torch.autograd.grad((weights * y).sum(), (topology, x))
    theirs = torch.autograd.grad((weights * expected).sum(), (topology, x))
    torch.testing.assert_close(ours, theirs)
