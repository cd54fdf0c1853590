"""Where each joint is and how much it moves: features without weights, and a linear classifier.

A network that is trained to tell a few classes apart forgets everything else: the features of its
training clips shrink to one point per class, all equally far from each other (neural collapse,
Papyan et al. 2020), and nothing is left that a description of another class could be matched with.
Means over time of the coordinates, and of their distances from these means, keep it. Letters:
n samples, c channels, t frames, v joints, m persons, s statistics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skelaug.shapes import check_shape

__all__ = ["Kinematics"]


class Kinematics(nn.Module):
    """Means and mean absolute deviations over time of all channels, and a linear classifier.

    Args:
        parents: The tree of the joints.
        num_classes: Number of classes K.
        persons: Persons that the input has at most; any number is taken.
        channels: Channels of the input; with streams of bones and motions they too are measured.
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
        size = 2 * self.joints * channels
        self.norm = nn.BatchNorm1d(size)
        self.classify = nn.Linear(size, num_classes)

    def features(self, x: Tensor) -> Tensor:
        """Means over all frames, N D with D = 2 V C: means first, then deviations.

        A person whose every coordinate is zero is absent and does not count.

        Args:
            x: N C T V M.
        """
        return self._frames(x).mean(dim=1)

    def feature_sequence(self, x: Tensor) -> Tensor:
        """Means over the frames of each moment, N L D; deviations stay those from the whole clip.

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
        deviation = (x - x.mean(dim=2, keepdim=True)).abs()
        return (torch.cat([x, deviation], dim=3) * weight[:, :, None, None]).sum(dim=1)
