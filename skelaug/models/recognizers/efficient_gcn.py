"""EfficientGCN: three input branches that meet early, compound scaling, separable convolutions.

Song, Zhang, Shan and Wang 2022, "Constructing stronger and faster baselines for skeleton-based
action recognition" (TPAMI). Letters: n samples, c channels, t frames, v joints, m persons, k hops.
Inside the network n counts persons too, and features n c t v lie in memory as n t v c: there a
step of training takes three quarters of the time that it takes in torch's own order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skelaug.shapes import check_shape
from skelaug.skeleton.graph import hop_subsets

__all__ = ["EfficientGCN", "branch_inputs", "stage_sizes"]

Temporal = Literal["sep", "sg"]

_STEM = 64
_STAGES = ((48, 1, 0.5), (24, 1, 0.5), (64, 2, 1.0), (128, 2, 1.0))  # width, stride, depth
_BRANCHES, _BRANCH_STAGES = 3, 2
_WIDTH_BASE, _DEPTH_BASE = 1.2, 1.35  # of the compound scaling
_MAX_HOP, _WINDOW, _EXPANSION = 2, 5, 2
# As published with either temporal layer: the attention's reduction, and the hops within which the
# graph was normalised.
_REDUCTION = {"sep": 4, "sg": 2}
_NORMALIZE_HOP = {"sep": 3, "sg": 10}
_EPS = 1e-4


def branch_inputs(x: Tensor, parents: Sequence[int], center: int) -> Tensor:
    """What the branches see: joints, velocities and bones (Song et al. 2022, sec. 3.2).

    Joint: the positions, and the positions relative to the centre. Velocity: where the joint will
    be one and two frames later, relative to now; zero in the last two frames, as in the published
    code. Bone: the vector from the parent, and its angles arccos(b_c / (|b| + 1e-4)) with the axes,
    which are pi / 2 where there is no bone.

    Args:
        x: Positions N C T V M.
        parents: The tree of the joints; the root (-1) has no bone.
        center: Index of the joint that the others are seen from.

    Returns:
        N 3 2C T V M.
    """
    check_shape(x, "N C T V M", what="x", V=len(parents))
    ways = [x[:, :, 1:-1] - x[:, :, :-2], x[:, :, 2:] - x[:, :, :-2]]
    velocity = F.pad(torch.cat(ways, dim=1), (0, 0, 0, 0, 0, min(x.shape[2], 2)))
    above = [joint if parent < 0 else parent for joint, parent in enumerate(parents)]
    bone = x - x[:, :, :, above]
    length = torch.linalg.vector_norm(bone, dim=1, keepdim=True)
    angle = torch.arccos((bone / (length + _EPS)).clamp(-1, 1))
    joint = torch.cat([x, x - x[:, :, :, center, None]], dim=1)
    return torch.stack([joint, velocity, torch.cat([bone, angle], dim=1)], dim=1)


def _convolution(
    inputs: int, outputs: int, *, window: int = 1, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """A convolution over `window` frames of one joint, and its batch norm."""
    convolution = nn.Conv2d(
        inputs, outputs, (window, 1), (stride, 1), (window // 2, 0), groups=groups
    )
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


def _shortcut(inputs: int, outputs: int, *, stride: int = 1) -> nn.Module:
    """The identity, or a convolution where the size changes."""
    same = inputs == outputs and stride == 1
    return nn.Identity() if same else _convolution(inputs, outputs, stride=stride)


class _GraphConvolution(nn.Module):
    """The sum over k of W_k x (A_k * E_k): A_k joins joints k bones apart, the mask E_k is learnt.

    A's columns receive: what arrives was averaged over the joints within a number of hops. A does
    not learn, but stands among the parameters, as in the published code and its counts.
    """

    def __init__(self, inputs: int, outputs: int, subsets: Tensor) -> None:
        super().__init__()
        self.project = nn.Linear(inputs, len(subsets) * outputs)
        self.subsets = nn.Parameter(subsets.clone(), requires_grad=False)
        self.edges = nn.Parameter(torch.ones_like(subsets))
        self.widens = outputs > inputs

    def forward(self, x: Tensor) -> Tensor:
        n, c, t, v = x.shape
        graph = (self.subsets * self.edges).permute(2, 0, 1)  # receiver, k, sender
        k = graph.shape[1]
        x = x.permute(0, 2, 3, 1)
        if self.widens:  # the narrower side is mixed: the same sum, a third of the time in the stem
            mixed = (graph.reshape(v * k, v) @ x.reshape(n * t, v, c)).view(n, t, v, k * c)
            weight = self.project.weight.view(k, -1, c).transpose(0, 1).flatten(1)
            y = F.linear(mixed, weight) + graph.sum(2) @ self.project.bias.view(k, -1)
        else:
            projected = self.project(x).reshape(n * t, v * k, -1)
            y = graph.transpose(1, 2).reshape(v, v * k) @ projected
        return y.view(n, t, v, -1).permute(0, 3, 1, 2)


class _SpatialLayer(nn.Module):
    """A graph convolution with a residual."""

    def __init__(self, inputs: int, outputs: int, subsets: Tensor) -> None:
        super().__init__()
        self.graph = _GraphConvolution(inputs, outputs, subsets)
        self.norm = nn.BatchNorm2d(outputs)
        self.shortcut = _shortcut(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.norm(self.graph(x)) + self.shortcut(x))


class _TemporalLayer(nn.Module):
    """A whole convolution in time with a residual, for the stem."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.whole = _convolution(width, width, window=_WINDOW)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.whole(x) + x)


class _SeparableLayer(nn.Module):
    """Expand, depthwise, pointwise: the layer "Sep". No activation at the end."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        inner = width * _EXPANSION
        self.expand = _convolution(width, inner)
        self.depth = _convolution(inner, inner, window=_WINDOW, stride=stride, groups=inner)
        self.point = _convolution(inner, width)
        self.shortcut = _shortcut(width, width, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.point(F.silu(self.depth(F.silu(self.expand(x)))))
        out: Tensor = y + self.shortcut(x)
        return out


class _SandglassLayer(nn.Module):
    """Depthwise, narrow, widen, depthwise: the layer "SG". Only the first and third activate."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        inner = width // _REDUCTION["sg"]
        self.depth1 = _convolution(width, width, window=_WINDOW, groups=width)
        self.point1 = _convolution(width, inner)
        self.point2 = _convolution(inner, width)
        self.depth2 = _convolution(width, width, window=_WINDOW, stride=stride, groups=width)
        self.shortcut = _shortcut(width, width, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.depth2(F.silu(self.point2(self.point1(F.silu(self.depth1(x))))))
        out: Tensor = y + self.shortcut(x)
        return out


class _Attention(nn.Module):
    """ST-JointAtt: a gate per frame times a gate per joint, for each channel.

    The gates come from the means over joints and over frames, through one shared narrow layer.
    """

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        inner = width // reduction
        self.narrow = _convolution(width, inner)
        self.frames = nn.Conv2d(inner, width, 1)
        self.joints = nn.Conv2d(inner, width, 1)
        self.norm = nn.BatchNorm2d(width)

    def gates(self, x: Tensor) -> Tensor:
        means = torch.cat([x.mean(3), x.mean(2)], dim=2)[..., None]
        frames, joints = torch.split(F.hardswish(self.narrow(means)), [*x.shape[2:]], dim=2)
        gates: Tensor = self.frames(frames).sigmoid() * self.joints(joints).sigmoid().mT
        return gates

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.norm(x * self.gates(x)) + x)


class _Stage(nn.Module):
    """A spatial layer, `depth` temporal layers of which the first one strides, an attention."""

    def __init__(
        self, inputs: int, size: tuple[int, int, int], subsets: Tensor, temporal: Temporal
    ) -> None:
        super().__init__()
        width, stride, depth = size
        layer = _SeparableLayer if temporal == "sep" else _SandglassLayer
        self.spatial = _SpatialLayer(inputs, width, subsets)
        self.temporal = nn.Sequential(*(layer(width, 1 if i else stride) for i in range(depth)))
        self.attention = _Attention(width, _REDUCTION[temporal])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.attention(self.temporal(self.spatial(x)))
        return out


class _Branch(nn.Module):
    """Batch norm, stem and first stages of one of the three inputs."""

    def __init__(self, inputs: int, subsets: Tensor, stages: Sequence[_Stage]) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.spatial = _SpatialLayer(inputs, _STEM, subsets)
        self.temporal = _TemporalLayer(_STEM)
        self.stages = nn.Sequential(*stages)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.stages(self.temporal(self.spatial(self.norm(x))))
        return out


def stage_sizes(phi: int) -> list[tuple[int, int, int]]:
    """Width, stride and depth of the stages (Song et al. 2022, sec. 3.6); halves go to even."""
    return [
        (
            max(16 * round(width * _WIDTH_BASE**phi / 16), 16),
            stride,
            round(depth * _DEPTH_BASE**phi),
        )
        for width, stride, depth in _STAGES
    ]


class EfficientGCN(nn.Module):
    """EfficientGCN-B0 to B4 (`phi` 0 to 4).

    It takes positions and makes its three inputs itself; joints are centred on the tree's root.
    Published weights want metres of the camera, 288 frames, zeros for persons who are absent. The
    order of persons does not matter. Published counts of parameters hold the fixed graphs.

    Args:
        parents: The tree of the joints V.
        num_classes: Number of classes K.
        persons: Persons M; any number gives the same weights.
        channels: Coordinates C of a position.
        phi: The compound coefficient, which widens and deepens the stages.
        temporal: The layer in time: ``sg`` as in the paper, ``sep`` as in its first version and in
            its published weights.
        dropout: Before the classifier.

    Raises:
        ValueError: `temporal` is another.
    """

    AXES: ClassVar[Mapping[str, str]] = {
        "graph.subsets": "k v v",
        "graph.edges": "k v v",
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
        phi: int = 0,
        temporal: Temporal = "sep",
        dropout: float = 0.25,
    ) -> None:
        super().__init__()
        del persons  # batch norm per channel
        if temporal not in _REDUCTION:
            raise ValueError(f"temporal: expected 'sep' or 'sg', got {temporal!r}")
        self.parents, self.channels = tuple(parents), channels
        self.root = self.parents.index(-1)
        graph = hop_subsets(parents, _MAX_HOP, _NORMALIZE_HOP[temporal])
        subsets = torch.from_numpy(graph).float()
        sizes = stage_sizes(phi)
        first, rest = sizes[:_BRANCH_STAGES], sizes[_BRANCH_STAGES:]

        def stages(inputs: int, chosen: list[tuple[int, int, int]]) -> list[_Stage]:
            before = [inputs, *(width for width, _, _ in chosen[:-1])]
            return [_Stage(i, s, subsets, temporal) for i, s in zip(before, chosen, strict=True)]

        self.branches = nn.ModuleList(
            _Branch(2 * channels, subsets, stages(_STEM, first)) for _ in range(_BRANCHES)
        )
        self.main = nn.Sequential(*stages(_BRANCHES * first[-1][0], rest))
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(rest[-1][0], num_classes)
        self.apply(_initialise)
        nn.init.normal_(self.classify.weight, std=0.001)

    def features(self, x: Tensor) -> Tensor:
        """Positions N C T V M to the mean N D over frames, joints and persons, absent ones too."""
        check_shape(x, "N C T V M", what="x", C=self.channels, V=len(self.parents))
        n, c, t, v, m = x.shape
        inputs = branch_inputs(x, self.parents, self.root).permute(1, 0, 5, 3, 4, 2)
        inputs = inputs.reshape(_BRANCHES, n * m, t, v, 2 * c).permute(0, 1, 4, 2, 3)
        branches = [branch(y) for branch, y in zip(self.branches, inputs, strict=True)]
        out: Tensor = self.main(torch.cat(branches, dim=1)).mean((2, 3))
        return out.view(n, m, -1).mean(1)

    def forward(self, x: Tensor) -> Tensor:
        """Positions N C T V M to logits N K."""
        logits: Tensor = self.classify(self.dropout(self.features(x)))
        return logits


def _initialise(module: nn.Module) -> None:
    """He et al. 2015 by the outputs, biases zero."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
