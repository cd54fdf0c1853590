"""CTR-GCN (Chen et al. 2021, "Channel-wise Topology Refinement Graph Convolution").

A learned topology that all channels share is refined per channel and clip by how much two joints
differ. Letters: n samples times persons, c channels, t frames, v and u joints (u receives), s
subsets, r channels of the relation, m persons, y classes. Maps lie as C N V T (see `maps`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skelaug.models.recognizers.maps import ChannelNorm, Pointwise, shortcut, subset_sum
from skelaug.models.recognizers.temporal import MultiScaleTemporal, every
from skelaug.shapes import check_shape
from skelaug.skeleton.graph import directed_subsets

__all__ = ["CTRGCN", "TopologyRefinement"]


class TopologyRefinement(nn.Module):
    """CTR-GC over all subsets, batch normalisation, residual and ReLU (Chen et al. 2021, sec. 3.3).

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        subsets: The topology at the start, S V V.
    """

    def __init__(self, inputs: int, outputs: int, subsets: Tensor) -> None:
        super().__init__()
        s = len(subsets)
        self.relations = max(8, inputs // 8)
        self.topology = nn.Parameter(subsets.clone())
        self.alpha = nn.Parameter(torch.zeros(1))
        # receivers of every subset, then senders of every subset
        self.relate = Pointwise(inputs, 2 * s * self.relations, groups=2 * s)
        self.transform = Pointwise(inputs, s * outputs, groups=s)
        scale = math.sqrt(2 / outputs)
        self.refine = nn.Parameter(torch.randn(s, outputs, self.relations) * scale)
        self.refine_bias = nn.Parameter(torch.zeros(s, outputs))
        self.norm = ChannelNorm(outputs)
        nn.init.constant_(self.norm.weight, 1e-6)
        self.shortcut = shortcut(inputs, outputs)

    def topologies(self, x: Tensor) -> Tensor:
        """The topology of every subset, channel and sample (eq. 3 and 4): C N V T to S C N U V.

        The mean over time comes before the 1x1 convolutions, which commute with it. Refinement
        and shared topology are one matrix product: the shared one is a relation of weight one.
        """
        s, c, _ = self.refine.shape
        n, v = x.shape[1:3]
        relate = self.relate(x.sum(-1) / x.shape[-1]).view(2, s, self.relations, n, v)
        relation = torch.tanh(relate[0].unsqueeze(-1) - relate[1].unsqueeze(-2))
        shared = self.topology.to(relation.dtype)[:, None, None].expand(-1, -1, n, -1, -1)
        relation = torch.cat([relation, shared, torch.ones_like(relation[:, :1])], dim=1)
        weight = torch.cat([self.alpha * self.refine, torch.ones_like(self.refine[..., :1])], -1)
        weight = torch.cat([weight, self.alpha * self.refine_bias[..., None]], -1)
        return torch.bmm(weight, relation.flatten(2)).view(s, c, n, v, v)

    def forward(self, x: Tensor) -> Tensor:
        """C N V T to C' N V T."""
        s, c, _ = self.refine.shape
        y = subset_sum(self.topologies(x), self.transform(x).view(s, c, *x.shape[1:]))
        return F.relu_(self.norm(y) + self.shortcut(x))


class _Block(nn.Module):
    """Graph, then time, around them a residual (Chen et al. 2021, fig. 3b), which block 1 lacks."""

    def __init__(
        self, inputs: int, outputs: int, subsets: Tensor, *, stride: int, residual: bool
    ) -> None:
        super().__init__()
        self.stride = stride
        self.graph = TopologyRefinement(inputs, outputs, subsets)
        self.time = MultiScaleTemporal(outputs, outputs, kernel=5, dilations=(1, 2), stride=stride)
        self.shortcut = shortcut(inputs, outputs) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.time(self.graph(x))
        if self.shortcut is not None:
            y = y + self.shortcut(every(x, self.stride))
        return F.relu_(y)


class CTRGCN(nn.Module):
    """CTR-GCN: ten blocks of 64, 128 and 256 channels; time is halved at blocks 5 and 8.

    Args:
        parents: The layout's tree; -1 marks the root.
        num_classes: Classes K.
        persons: Persons M of a clip.
        channels: Channels C of the input, 3 per stream.
        width: Channels of the first blocks, a multiple of 4; the published network has 64.
    """

    AXES: ClassVar[Mapping[str, str]] = {
        "data_norm.weight": "(m v c)",
        "data_norm.bias": "(m v c)",
        "data_norm.running_mean": "(m v c)",
        "data_norm.running_var": "(m v c)",
        "topology": "s v v",
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
        subsets = torch.from_numpy(directed_subsets(parents)).float()
        self.data_norm = nn.BatchNorm1d(persons * self.joints * channels)
        widths = [channels] + [width] * 4 + [2 * width] * 3 + [4 * width] * 3
        self.blocks = nn.Sequential(
            *(
                _Block(inputs, outputs, subsets, stride=2 if i in (4, 7) else 1, residual=i > 0)
                for i, (inputs, outputs) in enumerate(pairwise(widths))
            )
        )
        self.classify = nn.Linear(4 * width, num_classes)
        nn.init.normal_(self.classify.weight, 0, math.sqrt(2 / num_classes))

    def features(self, x: Tensor) -> Tensor:
        """What the last layer sees, the mean over frames, joints and persons.

        Args:
            x: N C T V M, any number of frames.

        Returns:
            N D.

        Raises:
            ValueError: The input has other channels, joints or persons than the network.
        """
        sizes = {"C": self.channels, "V": self.joints, "M": self.persons}
        check_shape(x, "N C T V M", what="clips", **sizes)
        n, c, t, v, m = x.shape
        x = self.data_norm(x.permute(0, 4, 3, 1, 2).reshape(n, m * v * c, t))
        x = x.view(n * m, v, c, t).permute(2, 0, 1, 3)
        maps: Tensor = self.blocks(x.contiguous())
        return maps.mean((2, 3)).view(len(maps), n, m).mean(2).t()

    def forward(self, x: Tensor) -> Tensor:
        """Clips N C T V M to logits N K."""
        logits: Tensor = self.classify(self.features(x))
        return logits
