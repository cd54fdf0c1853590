"""What the graph networks share: the memory order of their maps, and layers on it.

A map lies as C N V T: channels outermost, frames innermost, persons counted as samples. A 1x1
convolution is then one matrix product over all positions, a batch normalisation runs over whole
rows, a graph product is a batched matrix product on contiguous memory, and a temporal convolution
is that of one image of N V rows: nothing is ever transposed. Letters: n samples times persons,
c channels, v and u joints (u receives), t frames, s subsets of a graph.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["ChannelNorm", "Pointwise", "shortcut", "subset_sum"]


class ChannelNorm(nn.BatchNorm1d):
    """Batch normalisation of each channel of a C N V T map."""

    def forward(self, x: Tensor) -> Tensor:
        """C ... to the same shape."""
        normed: Tensor = super().forward(x.flatten(1).unsqueeze(0))
        return normed.view(x.shape)


class Pointwise(nn.Module):
    """A 1x1 convolution: one matrix product over all positions.

    Weights are drawn like the convolutions of the published networks (He et al. 2015, fan out),
    biases start at zero.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        groups: Convolutions that lie side by side here; each has outputs / groups channels, which
            its initial weights depend on.
    """

    def __init__(self, inputs: int, outputs: int, *, groups: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * math.sqrt(2 * groups / outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """C ... to C' ..."""
        y = torch.addmm(self.bias[:, None], self.weight, x.flatten(1))
        # a size spelled out, not -1: with N left open, an export would solve for it for hours
        return y.view(len(self.weight), *x.shape[1:])


def shortcut(inputs: int, outputs: int) -> nn.Module:
    """A residual: the map itself where the channels agree, else a 1x1 convolution with its norm."""
    if inputs == outputs:
        return nn.Identity()
    return nn.Sequential(Pointwise(inputs, outputs), ChannelNorm(outputs))


class _SubsetSum(torch.autograd.Function):
    """`subset_sum` by hand: every sum over subsets happens inside a matrix product."""

    @staticmethod
    def forward(ctx: Any, topology: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(topology, x)
        y = torch.bmm(topology[0], x[0])
        for one, part in zip(topology[1:], x[1:], strict=True):
            y.baddbmm_(one, part)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        topology, x = ctx.saved_tensors
        grad = grads[0].contiguous()
        to_topology, to_x = x.new_empty(topology.shape), torch.empty_like(x)
        for s in range(len(x)):
            torch.bmm(grad, x[s].mT, out=to_topology[s])
            torch.bmm(topology[s].mT, grad, out=to_x[s])
        return to_topology, to_x


def subset_sum(topology: Tensor, x: Tensor) -> Tensor:
    """The graph products of all subsets, summed: y_u is the sum of A_suv x_sv over s and v.

    Args:
        topology: S C N U V, in the precision of x; expanded channels and samples are not copied.
        x: S C N V T.

    Returns:
        C N U T.
    """
    s, c, n, v, t = x.shape
    y: Tensor = _SubsetSum.apply(  # type: ignore[no-untyped-call]
        topology.reshape(s, c * n, v, v), x.reshape(s, c * n, v, t)
    )
    return y.view(c, n, v, t)
