"""Layers over time, on maps that lie as C N V T (see `maps`): t, the frames, is the last axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skelaug.models.recognizers.maps import ChannelNorm, Pointwise

__all__ = ["MultiScaleTemporal", "TemporalConv", "every", "window_maximum"]


class TemporalConv(nn.Module):
    """A convolution over time that keeps the length, or divides it by the stride (rounded up).

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        kernel: Frames of the kernel, odd.
        stride: Frames from one output to the next.
        dilation: Frames between the taps of the kernel.
    """

    def __init__(
        self, inputs: int, outputs: int, *, kernel: int, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        scale = math.sqrt(2 / (outputs * kernel))
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, kernel) * scale)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.stride, self.dilation = stride, dilation
        self.padding = dilation * (kernel - 1) // 2

    def forward(self, x: Tensor) -> Tensor:
        """C N V T to C' N V T'."""
        c, n, v, t = x.shape
        y = F.conv2d(
            x.reshape(1, c, n * v, t),
            self.weight,
            self.bias,
            stride=(1, self.stride),
            padding=(0, self.padding),
            dilation=(1, self.dilation),
        )
        return y.view(len(self.weight), n, v, y.shape[-1])


class _WindowMaximum(torch.autograd.Function):
    """The largest of three neighbouring frames; of equal ones the first takes the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, stride: int) -> Tensor:
        padded = F.pad(x, (1, 1), value=-math.inf)
        before, here, after = _shifted(padded, stride)
        y = torch.maximum(torch.maximum(before, here), after)
        ctx.save_for_backward(padded, y)
        ctx.stride = stride
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        padded, y = ctx.saved_tensors
        to_padded, rest = torch.zeros_like(padded), grads[0]
        for part, to_part in zip(
            _shifted(padded, ctx.stride), _shifted(to_padded, ctx.stride), strict=True
        ):
            taken = rest * (part == y)
            to_part += taken
            rest = rest - taken
        return to_padded[..., 1:-1], None


def _shifted(padded: Tensor, stride: int) -> list[Tensor]:
    t = padded.shape[-1] - 2
    return [padded[..., first : first + t : stride] for first in range(3)]


def window_maximum(x: Tensor, stride: int = 1) -> Tensor:
    """The largest of three neighbouring frames, ... T to ... T / stride (rounded up).

    Equals a maximum pooling of kernel 3 and padding 1. Written by hand, because torch's own does
    not vectorise in this memory order.
    """
    y: Tensor = _WindowMaximum.apply(x, stride)  # type: ignore[no-untyped-call]
    return y


def every(x: Tensor, stride: int) -> Tensor:
    """Every stride-th frame, ... T to ... T / stride (rounded up); x itself where that is all."""
    return x if stride == 1 else x[..., ::stride]


class MultiScaleTemporal(nn.Module):
    """Branches over time, each with an equal share of the channels, then concatenated.

    Liu et al. 2020, sec. 3.3, and Chen et al. 2021, sec. 3.4: a 1x1 convolution leads into every
    branch; one dilated convolution per dilation, a maximum over three frames, and nothing more in
    the last one. Each branch ends in a batch normalisation, which for all of them is one.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out, a multiple of the branches.
        kernel: Frames of the kernels.
        dilations: One per convolution branch.
        stride: Frames from one output to the next.

    Raises:
        ValueError: The branches do not divide `outputs`.
    """

    def __init__(
        self, inputs: int, outputs: int, *, kernel: int, dilations: Sequence[int], stride: int = 1
    ) -> None:
        super().__init__()
        branches = len(dilations) + 2
        if outputs % branches:
            raise ValueError(f"outputs: expected a multiple of {branches}, got {outputs}")
        share = outputs // branches
        self.stride, self.share = stride, share
        self.lead = Pointwise(inputs, outputs, groups=branches)
        self.lead_norm = ChannelNorm(outputs - share)
        self.convs = nn.ModuleList(
            TemporalConv(share, share, kernel=kernel, stride=stride, dilation=dilation)
            for dilation in dilations
        )
        self.norm = ChannelNorm(outputs)
        for norm in (self.lead_norm, self.norm):  # as published
            nn.init.normal_(norm.weight, 1, 0.02)

    def forward(self, x: Tensor) -> Tensor:
        """C N V T to C' N V T', without a final activation."""
        y = self.lead(x)
        led, plain = torch.split(y, [len(y) - self.share, self.share])
        *windows, peaks = torch.split(F.relu_(self.lead_norm(led)), self.share)
        branches = [conv(window) for conv, window in zip(self.convs, windows, strict=True)]
        branches += [window_maximum(peaks, self.stride), every(plain, self.stride)]
        normed: Tensor = self.norm(torch.cat(branches))
        return normed
