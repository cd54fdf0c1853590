"""How far, how fast and whither joints move: features without weights, and a linear classifier.

A network that is trained to tell a few classes apart forgets everything else: the features of its
training clips shrink to one point per class, all equally far from each other (neural collapse,
Papyan et al. 2020), and nothing is left that a description of another class could be matched with.
Statistics over time keep it. Where a joint is on average is left out: that says who acts and how
they stand more than what they do. Letters: n samples, c channels, t frames, v joints, m persons,
s statistics.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skelaug.shapes import check_shape

__all__ = ["Kinematics"]

_STATISTICS = 3


class Kinematics(nn.Module):
    """Three statistics over time of all channels, and a linear classifier.

    Of a channel x with T frames and its change v, v_t = x_{t+1} - x_t and 0 in the last frame::

        spread  1/T sum_t |x_t - mean(x)|
        speed   1/T sum_t |v_t - mean(v)|
        trend   1/T sum_t (x_t - mean(x)) sqrt(2) cos(pi (t + 1/2) / T)

    The trend, the first coefficient of a cosine transform, alone tells a motion from its reverse.

    Args:
        parents: The tree of the joints.
        num_classes: Number of classes K.
        persons: Persons that the input has at most; any number is taken.
        channels: Channels of the input; those of further streams are measured as well.
        moments: Moments L that a clip is divided into by `feature_sequence`.
    """

    AXES: ClassVar[Mapping[str, str]] = {
        "norm.weight": "(s v c)",
        "norm.bias": "(s v c)",
        "norm.running_mean": "(s v c)",
        "norm.running_var": "(s v c)",
        "classify.weight": "y (s v c)",
        "classify.bias": "y",
    }

    def __init__(
        self,
        *,
        parents: Sequence[int],
        num_classes: int,
        persons: int = 1,
        channels: int = 3,
        moments: int = 8,
    ) -> None:
        super().__init__()
        self.channels, self.joints, self.moments = channels, len(parents), moments
        size = _STATISTICS * self.joints * channels
        self.norm = nn.BatchNorm1d(size)
        self.classify = nn.Linear(size, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """The statistics, N D with D = 3 V C: spreads first, then speeds, then trends.

        A person whose every coordinate is zero is absent and does not count.

        Args:
            x: N C T V M.
        """
        return self._frames(x).mean(dim=1)

    def feature_sequence(self, x: Tensor) -> Tensor:
        """What each moment adds to the statistics of the whole clip, N L D.

        Where L divides the number of frames, their mean over L is `features`.

        Args:
            x: N C T V M.
        """
        frames = self._frames(x).transpose(1, 2)
        return F.adaptive_avg_pool1d(frames, self.moments).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Clips N C T V M to logits N K."""
        logits: Tensor = self.classify(self.norm(self.features(x)))
        return logits

    def _frames(self, x: Tensor) -> Tensor:
        """Numbers of each frame, N T D, means over the present persons."""
        check_shape(x, "N C T V M", what="x", C=self.channels, V=self.joints)
        present = (x != 0).flatten(1, 3).any(dim=1).to(x.dtype)  # n m
        weight = present / present.sum(dim=1, keepdim=True).clamp(min=1)
        x = x.permute(0, 4, 2, 3, 1).flatten(3)  # n m t (v c)
        length = x.shape[2]
        change = F.pad(x.diff(dim=2), (0, 0, 0, 1))
        away, change = (one - one.mean(dim=2, keepdim=True) for one in (x, change))
        moments = (torch.arange(length, dtype=x.dtype, device=x.device) + 0.5) / length
        wave = math.sqrt(2) * torch.cos(math.pi * moments)[:, None]
        statistics = torch.cat([away.abs(), change.abs(), away * wave], dim=3)
        return (statistics * weight[:, :, None, None]).sum(dim=1)
