"""A recognizer that trains in a minute on a laptop: ours, after CTR-GCN and ST-GCN.

What costs time on a processor is not arithmetic but passes over memory, so the network spends its
arithmetic where a matrix product does it and takes few passes: a strided convolution over time
comes first and leaves an eighth of the activations of a published network; every unit is one linear
map, one product with learnt adjacencies and one convolution over time, with two normalisations.
Activations lie channels-last in memory. Letters: n samples, c channels, t frames, v joints,
m persons, k subsets, d width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skelaug.shapes import check_shape
from skelaug.skeleton.graph import directed_subsets

__all__ = ["Compact", "Unit"]

_KERNEL = 5


class Unit(nn.Module):
    """Graph convolution over the joints, convolution over time, and a residual.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        adjacency: K V V, where the learnt adjacencies start.
        kernel: Frames that the convolution spans, odd.
    """

    AXES: ClassVar[Mapping[str, str]] = {"adjacency": "v v k"}

    def __init__(self, inputs: int, outputs: int, adjacency: Tensor, *, kernel: int) -> None:
        super().__init__()
        self.subsets, self.outputs = len(adjacency), outputs
        # joints that receive, joints that send, subsets: as the product below reads it
        self.adjacency = nn.Parameter(adjacency.permute(1, 2, 0).contiguous())
        self.spread = nn.Linear(inputs, self.subsets * outputs, bias=False)
        nn.init.normal_(self.spread.weight, std=0.6 * math.sqrt(2 / inputs))
        self.norm_space = nn.BatchNorm2d(outputs)
        self.time = nn.Conv2d(outputs, outputs, (kernel, 1), padding=(kernel // 2, 0), bias=False)
        self.norm_time = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        """N C T V to N D T V."""
        n, _, t, v = x.shape
        # n t v c -> n t (v k) d: one row per sending joint and subset
        sent = self.spread(x.permute(0, 2, 3, 1)).reshape(n * t, v * self.subsets, self.outputs)
        adjacency = self.adjacency.reshape(1, v, v * self.subsets).to(sent.dtype)
        received = torch.bmm(adjacency.expand(n * t, -1, -1), sent)
        z = received.view(n, t, v, self.outputs).permute(0, 3, 1, 2)
        z = self.norm_time(self.time(F.relu(self.norm_space(z), inplace=True)))
        return F.relu(z + (x if self.shortcut is None else self.shortcut(x)), inplace=True)


class Compact(nn.Module):
    """A graph network for few clips and no GPU.

    Args:
        parents: The tree of the joints.
        num_classes: Number of classes K.
        persons: Persons that the input has at most; any number is taken.
        channels: Channels of the input.
        widths: Channels of the units.
        stem: Frames that the first convolution spans, and its stride.
        dropout: Before the classifier.
    """

    AXES: ClassVar[Mapping[str, str]] = {
        "norm_input.weight": "(v c)",
        "norm_input.bias": "(v c)",
        "norm_input.running_mean": "(v c)",
        "norm_input.running_var": "(v c)",
        "place": "d v",
        "classify.weight": "y d",
        "classify.bias": "y",
        **Unit.AXES,
    }

    def __init__(
        self,
        *,
        parents: Sequence[int],
        num_classes: int,
        persons: int = 1,
        channels: int = 3,
        widths: Sequence[int] = (64, 64, 128, 128),
        stem: Sequence[int] = (7, 4),
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        v = len(parents)
        adjacency = torch.from_numpy(directed_subsets(parents)).float()
        self.channels, self.joints = channels, v
        self.norm_input = nn.BatchNorm1d(v * channels)
        self.stem = nn.Conv2d(
            channels, widths[0], (stem[0], 1), stride=(stem[1], 1), padding=(stem[0] // 2, 0)
        )
        self.norm_stem = nn.BatchNorm2d(widths[0])
        self.place = nn.Parameter(0.02 * torch.randn(widths[0], v))
        self.units = nn.Sequential(
            *(
                Unit(inputs, outputs, adjacency, kernel=_KERNEL)
                for inputs, outputs in zip([widths[0], *widths], widths, strict=False)
            )
        )
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(widths[-1], num_classes)

    def features(self, x: Tensor) -> Tensor:
        """Means over frames and joints of the present persons, N D.

        A person whose every coordinate is zero is absent and does not count.

        Args:
            x: N C T V M.
        """
        check_shape(x, "N C T V M", what="x", C=self.channels, V=self.joints)
        n, c, t, v, m = x.shape
        present = (x != 0).flatten(1, 3).any(dim=1)  # n m
        x = x.permute(0, 4, 2, 3, 1).reshape(n * m * t, v * c)
        x = self.norm_input(x).view(n * m, t, v, c).permute(0, 3, 1, 2)
        x = F.relu(self.norm_stem(self.stem(x)) + self.place[:, None], inplace=True)
        pooled = self.units(x).float().mean(dim=(2, 3)).view(n, m, -1)
        weight = present[..., None].to(pooled.dtype)
        features: Tensor = (pooled * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
        return features

    def forward(self, x: Tensor) -> Tensor:
        """Clips N C T V M to logits N K."""
        logits: Tensor = self.classify(self.dropout(self.features(x)))
        return logits
