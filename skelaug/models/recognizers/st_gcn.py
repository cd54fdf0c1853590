"""ST-GCN (Yan et al. 2018, "Spatial Temporal Graph Convolutional Networks").

Ten blocks, each a graph convolution over the neighbours of a joint in three subsets and a
convolution over nine frames. Letters: n samples times persons, c channels, v joints, t frames,
s subsets, m persons, y classes. Maps lie as C N V T (see `maps`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skelaug.models.recognizers.maps import ChannelNorm, Pointwise, shortcut, subset_sum
from skelaug.models.recognizers.temporal import TemporalConv, every
from skelaug.shapes import check_shape
from skelaug.skeleton.graph import spatial_configuration

__all__ = ["STGCN", "SpatialConvolution"]

_KERNEL = 9  # frames (sec. 4.1)


class SpatialConvolution(nn.Module):
    """The sum over subsets of (A_s * M_s) W_s x, with learned importances M (sec. 3.6, eq. 10).

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        subsets: A, S V V; rows receive.
    """

    subsets: Tensor

    def __init__(self, inputs: int, outputs: int, subsets: Tensor) -> None:
        super().__init__()
        self.register_buffer("subsets", subsets, persistent=False)
        self.importance = nn.Parameter(torch.ones_like(subsets))
        self.outputs = outputs
        self.transform = Pointwise(inputs, len(subsets) * outputs, groups=len(subsets))

    def forward(self, x: Tensor) -> Tensor:
        """C N V T to C' N V T."""
        n, v, t = x.shape[1:]
        y = self.transform(x).view(len(self.subsets), self.outputs, n, v, t)
        graph = (self.subsets * self.importance).to(y.dtype)
        return subset_sum(graph[:, None, None].expand(*y.shape[:3], v, v), y)


class _Block(nn.Module):
    """Graph, then time, each normalised, and a residual (sec. 3.6), which block 1 lacks."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        subsets: Tensor,
        *,
        stride: int,
        dropout: float,
        residual: bool,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.graph = SpatialConvolution(inputs, outputs, subsets)
        self.graph_norm = ChannelNorm(outputs)
        self.time = TemporalConv(outputs, outputs, kernel=_KERNEL, stride=stride)
        self.norm = ChannelNorm(outputs)
        self.dropout = nn.Dropout(dropout)
        self.shortcut = shortcut(inputs, outputs) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.time(F.relu_(self.graph_norm(self.graph(x))))
        y = self.dropout(self.norm(y))
        if self.shortcut is not None:
            y = y + self.shortcut(every(x, self.stride))
        return F.relu_(y)


class STGCN(nn.Module):
    """ST-GCN: ten blocks of 64, 128 and 256 channels; time is halved at blocks 5 and 8.

    Persons are samples of their own until the last mean, so their order does not matter and
    their number is free.

    Args:
        parents: The layout's tree; -1 marks the root.
        num_classes: Classes K.
        persons: Persons M of a clip; no weight depends on it.
        channels: Channels C of the input, 3 per stream.
        width: Channels of the first blocks; the published network has 64.
        dropout: Share of values dropped in the blocks after the first.
    """

    AXES: ClassVar[Mapping[str, str]] = {
        "data_norm.weight": "(v c)",
        "data_norm.bias": "(v c)",
        "data_norm.running_mean": "(v c)",
        "data_norm.running_var": "(v c)",
        "graph.importance": "s v v",
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
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.persons, self.channels, self.joints = persons, channels, len(parents)
        subsets = torch.from_numpy(spatial_configuration(parents)).float()
        self.data_norm = nn.BatchNorm1d(self.joints * channels)
        widths = [channels] + [width] * 4 + [2 * width] * 3 + [4 * width] * 3
        self.blocks = nn.Sequential(
            *(
                _Block(
                    inputs,
                    outputs,
                    subsets,
                    stride=2 if block in (4, 7) else 1,
                    dropout=dropout if block else 0.0,
                    residual=block > 0,
                )
                for block, (inputs, outputs) in enumerate(pairwise(widths))
            )
        )
        self.classify = nn.Linear(4 * width, num_classes)

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
        maps: Tensor = self.blocks(x.view(n * m, v, c, t).permute(2, 0, 1, 3).contiguous())
        mean = maps.mean(2)
        return mean.view(len(mean), n, m, mean.shape[-1]).mean(2).permute(1, 2, 0)

    def features(self, x: Tensor) -> Tensor:
        """What the last layer sees, the mean over frames, joints and persons: N D."""
        return self.feature_sequence(x).mean(1)

    def forward(self, x: Tensor) -> Tensor:
        """Clips N C T V M to logits N K."""
        logits: Tensor = self.classify(self.features(x))
        return logits
