"""Shift-GCN (Cheng et al. 2020, "... with Shift Graph Convolutional Network").

Joints and frames hear one another because channels change places before each 1x1 convolution: in
the graph every channel comes from another joint, over time every channel from a learnt distance.
Letters: n samples times persons, c channels, v joints, t frames, m persons, y classes, d channels
inside. Maps lie as C V N T: moving channels between joints moves whole rows, and the normalisation
per joint and channel runs over them.

Departure: each person is normalised alone at the input, so that their order does not matter (the
code normalises all persons of a clip side by side).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skelaug.models.recognizers.maps import ChannelNorm, Pointwise, shortcut
from skelaug.models.recognizers.temporal import every
from skelaug.shapes import check_shape

__all__ = ["ShiftConvolution", "ShiftGCN", "TemporalShift", "shifted_in_time", "shifted_rows"]

_PACE = 0.01  # the size of every gradient of a distance in time


def shifted_rows(channels: int, joints: int, *, back: bool = False) -> Tensor:
    """Where each row of a C V ... map comes from in the non-local shift (sec. 3.2.2), int64 C V.

    Channel c of joint v comes from joint ``(v + c) mod V``: every joint then holds channels of all
    joints. The shift back takes it from ``(v - c) mod V``.
    """
    c, v = torch.arange(channels)[:, None], torch.arange(joints)
    return (c * joints + (v + (-c if back else c)) % joints).flatten()


class ShiftConvolution(nn.Module):
    """Non-local shift, mask, 1x1 convolution, shift back; normalisation, residual, ReLU.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        joints: Joints V.
    """

    away: Tensor
    back: Tensor

    def __init__(self, inputs: int, outputs: int, joints: int) -> None:
        super().__init__()
        self.mask = nn.Parameter(torch.zeros(inputs, joints))
        self.transform = Pointwise(inputs, outputs)
        nn.init.normal_(self.transform.weight, std=math.sqrt(1 / outputs))
        self.norm = ChannelNorm(outputs * joints)
        self.shortcut = shortcut(inputs, outputs)
        self.register_buffer("away", shifted_rows(inputs, joints), persistent=False)
        self.register_buffer("back", shifted_rows(outputs, joints, back=True), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """C V N T to C' V N T."""
        rows = x.flatten(0, 1).index_select(0, self.away).view(x.shape)
        sent = self.transform(rows * (torch.tanh(self.mask) + 1)[:, :, None, None])
        normed = self.norm(sent.flatten(0, 1).index_select(0, self.back))
        return F.relu_(normed.view(sent.shape) + self.shortcut(x))


class _Paced(torch.autograd.Function):
    """The same numbers, whose gradient has one size and only keeps its sign."""

    @staticmethod
    def forward(ctx: Any, offsets: Tensor) -> Tensor:
        return offsets.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return _PACE * grads[0].sign()


def shifted_in_time(x: Tensor, offsets: Tensor, *, stride: int = 1) -> Tensor:
    """Each channel at a distance in time, interpolated between frames (sec. 3.3, eq. 8).

    Frames beyond the ends are 0. Written as one matrix T T' per channel, whose columns hold the two
    weights of an interpolation: a product costs less than picking the frames where they are few.

    Args:
        x: C V N T.
        offsets: In frames, C.
        stride: Frames from one output to the next.

    Returns:
        C V N T', T' = T / stride (rounded up); frame t is x at ``stride t + (stride - 1) / 2 +
        offset``, counted from the middle of the frames that it stands for.
    """
    c, v, n, t = x.shape
    frames = torch.arange(t, device=x.device, dtype=offsets.dtype)
    wanted = every(frames, stride) + (stride - 1) / 2 + offsets[:, None, None]
    weights = (1 - (frames[:, None] - wanted).abs()).clamp(min=0)
    return torch.bmm(x.flatten(1, 2), weights).view(c, v, n, weights.shape[-1])


class TemporalShift(nn.Module):
    """Each channel at a learnt distance in time.

    As in the authors' code all distances move at one pace: a gradient that is the sum over all
    joints and frames would make them jump.

    Args:
        channels: Channels C.
        stride: Frames from one output to the next.
    """

    def __init__(self, channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.offsets = nn.Parameter(torch.empty(channels).uniform_(-1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """C V N T to C V N T'."""
        offsets: Tensor = _Paced.apply(self.offsets)  # type: ignore[no-untyped-call]
        return shifted_in_time(x, offsets, stride=self.stride)


class _Block(nn.Module):
    """Graph, then shift, 1x1 convolution and shift over time, and a residual, which block 1 lacks.

    Sec. 3.3, fig. 4c: the second shift takes the stride.
    """

    def __init__(
        self, inputs: int, outputs: int, joints: int, *, stride: int, residual: bool
    ) -> None:
        super().__init__()
        self.stride = stride
        self.graph = ShiftConvolution(inputs, outputs, joints)
        self.time = nn.Sequential(
            ChannelNorm(outputs),
            TemporalShift(outputs),
            Pointwise(outputs, outputs),
            nn.ReLU(inplace=True),
            TemporalShift(outputs, stride=stride),
            ChannelNorm(outputs),
        )
        self.shortcut = shortcut(inputs, outputs) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.time(self.graph(x))
        if self.shortcut is not None:
            y = y + self.shortcut(every(x, self.stride))
        return F.relu_(y)


class ShiftGCN(nn.Module):
    """Shift-GCN: ten blocks of 64, 128 and 256 channels; time is halved at blocks 5 and 8.

    Persons are samples of their own until the last mean, so their order does not matter and their
    number is free.

    Args:
        parents: The layout's tree; only the number of its joints counts.
        num_classes: Classes K.
        persons: Persons M of a clip; no weight depends on it.
        channels: Channels C of the input, 3 per stream.
        width: Channels of the first blocks; the published network has 64.
    """

    AXES: ClassVar[Mapping[str, str]] = {
        "data_norm.weight": "(v c)",
        "data_norm.bias": "(v c)",
        "data_norm.running_mean": "(v c)",
        "data_norm.running_var": "(v c)",
        "graph.mask": "d v",
        "graph.norm.weight": "(d v)",
        "graph.norm.bias": "(d v)",
        "graph.norm.running_mean": "(d v)",
        "graph.norm.running_var": "(d v)",
        "classify.weight": "y d",
        "classify.bias": "y",
    }

    def __init__(
        self,
        *,
        parents: Sequence[int],
        num_classes: int,
        persons: int = 1,
        channels: int = 3,
        width: int = 64,
    ) -> None:
        super().__init__()
        self.persons, self.channels, self.joints = persons, channels, len(parents)
        self.data_norm = nn.BatchNorm1d(self.joints * channels)
        widths = [channels] + [width] * 4 + [2 * width] * 3 + [4 * width] * 3
        self.blocks = nn.Sequential(
            *(
                _Block(
                    inputs,
                    outputs,
                    self.joints,
                    stride=2 if block in (4, 7) else 1,
                    residual=block > 0,
                )
                for block, (inputs, outputs) in enumerate(pairwise(widths))
            )
        )
        self.classify = nn.Linear(4 * width, num_classes)
        nn.init.normal_(self.classify.weight, 0, math.sqrt(2 / num_classes))

    def feature_sequence(self, x: Tensor) -> Tensor:
        """The features along time, means over joints and persons; their mean is `features`.

        Args:
            x: N C T V M, any number of frames and persons.

        Returns:
            N L D, a step for every four frames (rounded up).

        Raises:
            ValueError: The input has other channels or joints than the network.
        """
        check_shape(x, "N C T V M", what="clips", C=self.channels, V=self.joints)
        n, c, t, v, m = x.shape
        x = self.data_norm(x.permute(0, 4, 3, 1, 2).reshape(n * m, v * c, t))
        maps: Tensor = self.blocks(x.view(n * m, v, c, t).permute(2, 1, 0, 3).contiguous())
        mean = maps.mean(1)
        return mean.view(len(mean), n, m, mean.shape[-1]).mean(2).permute(1, 2, 0)

    def features(self, x: Tensor) -> Tensor:
        """What the last layer sees, the mean over frames, joints and persons: N D."""
        return self.feature_sequence(x).mean(1)

    def forward(self, x: Tensor) -> Tensor:
        """Clips N C T V M to logits N K."""
        logits: Tensor = self.classify(self.features(x))
        return logits
