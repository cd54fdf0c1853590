"""FG-STFormer: focal joints and global parts in space, local and global motion in time.

Gao et al. 2022, "Focal and Global Spatial-Temporal Transformer for Skeleton-based Action
Recognition" (ACCV). Stage 1 relates all joints; stage 2 relates the K most informative joints of
every frame, the P parts of the body, and the two with each other. Its authors published no code;
what the paper leaves open is said where it is settled. The blocks are in `fg_attention`. Letters:
n samples, c channels, t frames, v joints, m persons, k focal joints, p parts; inside the network n
counts samples times persons.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skelaug.models.recognizers.fg_attention import (
    SLOPE,
    ChannelNorm,
    CrossTransformer,
    SpatialTransformer,
    TemporalTransformer,
)
from skelaug.shapes import check_shape
from skelaug.skeleton.parts import equal_parts

__all__ = [
    "FGSTFormer",
    "FocalSelection",
    "JointLayer",
    "JointPartLayer",
    "PartEmbedding",
]


class FocalSelection(nn.Module):
    """The K joints of every frame with the largest scores (sec. 3.3, eq. 2 and 3).

    As written, eq. 3 passes no gradient to W_p, because sorting has none, and W_p would stay what
    it was at random. We multiply the features that are kept by their scores. The chosen joints
    stay in the order of the skeleton, so that a slot changes its joint as seldom as possible for
    the temporal blocks behind.

    Args:
        width: Channels C.
        count: Number of focal joints K.
    """

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.projection = nn.Parameter(torch.randn(width) * width**-0.5)

    def scores(self, x: Tensor) -> Tensor:
        """S = sigmoid(X W_p / |W_p|) (eq. 2) of features N T V C, N T V in (0, 1)."""
        # written as a sum, which autocast leaves in float32: rounded scores would tie
        return torch.sigmoid((x * F.normalize(self.projection, dim=0)).sum(dim=-1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features N T V C to those of the focal joints N T K C, and their numbers N T K."""
        scores = self.scores(x)
        chosen = scores.topk(self.count, dim=-1).indices.sort(dim=-1).values
        index = chosen[..., None].expand(-1, -1, -1, x.shape[-1])
        gate = scores.gather(2, chosen)[..., None].to(x.dtype)
        return x.gather(2, index) * gate, chosen


class PartEmbedding(nn.Module):
    """One embedding per body part: its joints side by side through one linear layer (sec. 3.3).

    Args:
        width: Channels C.
        parts: The joints of each part, equally many.
    """

    parts: Tensor

    def __init__(self, width: int, parts: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.register_buffer("parts", torch.tensor([list(p) for p in parts]), persistent=False)
        self.embed = nn.Linear(self.parts.shape[1] * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """N T V C to N T P C."""
        embedded: Tensor = self.embed(x[:, :, self.parts].flatten(-2))
        return embedded


class JointLayer(nn.Module):
    """A layer of stage 1: Basic-SFormer block, then FG-TFormer block (sec. 3.2).

    Args:
        inputs: Channels C.
        outputs: Channels C' that go out.
        joints: Joints V of the skeleton.
        space: Options of the spatial block.
        time: Options of the temporal block.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        joints: int,
        space: Mapping[str, Any],
        time: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.stride: int = time.get("stride", 1)
        self.joint_space = SpatialTransformer(inputs, outputs, nodes=joints, **space)
        self.joint_time = TemporalTransformer(outputs, **time)

    def forward(self, x: Tensor, chosen: Tensor | None = None) -> Tensor:
        """N T V C to N T' V C'; `chosen` N T V as in `SpatialTransformer`."""
        out: Tensor = self.joint_time(self.joint_space(x, chosen))
        return out


class JointPartLayer(nn.Module):
    """A layer of stage 2: FG-SFormer block on both branches, then an FG-TFormer block on each.

    In an FG-SFormer block each branch relates its own nodes; then each looks at the other as it
    was before either was updated, so that the two directions are the same thing (sec. 3.3 shows
    one and calls the other analogous). The branches share no weights.

    Args:
        inputs: Channels C of both branches.
        outputs: Channels C' that go out.
        joints: Joints V of the skeleton.
        parts: Parts P.
        cross_attention: False leaves out JP-CA (table 1, row B).
        space: Options of the spatial blocks.
        time: Options of the temporal blocks.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        joints: int,
        parts: int,
        cross_attention: bool,
        space: Mapping[str, Any],
        time: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.stride: int = time.get("stride", 1)
        self.joint_space = SpatialTransformer(inputs, outputs, nodes=joints, **space)
        self.part_space = SpatialTransformer(inputs, outputs, nodes=parts, **space)
        self.cross_attention = cross_attention
        if cross_attention:
            self.part_to_joint = CrossTransformer(outputs, receivers=joints, senders=parts, **space)
            self.joint_to_part = CrossTransformer(outputs, receivers=parts, senders=joints, **space)
        self.joint_time = TemporalTransformer(outputs, **time)
        self.part_time = TemporalTransformer(outputs, **time)

    def space(self, joints: Tensor, parts: Tensor, chosen: Tensor | None) -> tuple[Tensor, Tensor]:
        """The FG-SFormer block: N T K C and N T P C to N T K C' and N T P C'."""
        joints, parts = self.joint_space(joints, chosen), self.part_space(parts)
        if self.cross_attention:
            joints, parts = (
                self.part_to_joint(joints, parts, chosen=chosen),
                self.joint_to_part(parts, joints, source_chosen=chosen),
            )
        return joints, parts

    def forward(
        self, joints: Tensor, parts: Tensor, chosen: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Joints N T K C and parts N T P C to N T' K C' and N T' P C'.

        `chosen` is N T K, the joint in each slot; None = all joints, in order.
        """
        joints, parts = self.space(joints, parts, chosen)
        return self.joint_time(joints), self.part_time(parts)


class FGSTFormer(nn.Module):
    """FG-STFormer (fig. 2): logits of each class from joint positions or another stream.

    The input is projected from C_0 to C_1 channels by a linear layer, with batch norm and
    LeakyReLU behind it as in DSTA-Net; there is no batch norm of the data itself, so the order of
    persons does not matter. Channels grow in the spatial block of a layer, and the frames are
    halved in the temporal block of the layers in which they grow (sec. 3.4, 4.2): T to
    ceil(T / 2). The first of the two fully connected layers has as many outputs
    as the last layer has channels.

    Args:
        parents: The tree of the joints.
        num_classes: Number of classes Y.
        persons: Persons of a clip; the network itself takes any number.
        channels: Channels C_0 of the input.
        parts: The joints of each body part, equally many; None takes `equal_parts`.
        focal: Focal joints K, at most all joints; None keeps all joints, without selection or
            scores (table 1, first row).
        part_branch: False leaves out parts and cross-attention (table 1, row A).
        cross_attention: False leaves out JP-CA (table 1, row B).
        attention: False leaves out the attention over frames (table 3, second row).
        convolution: False leaves out the convolutions over frames (table 3, first row).
        widths: Channels of each layer.
        stage_1: How many of the layers belong to stage 1 (table 4); the others to stage 2.
        spatial_heads: Heads of every attention over joints or parts.
        dilations: Dilation of each head's convolution over frames; one head per entry.
        kernel: Frames of a convolution, odd.
        dropout: Dropout before the classifier.
        attention_dropout: Dropout of all attention maps.

    Raises:
        ValueError: A size does not fit: parts of unequal size, an unknown joint, a width that is
            no multiple of 4 and of twice the temporal heads, an even kernel, no focal joint, or
            neither attention nor convolution over frames.
    """

    AXES: ClassVar[Mapping[str, str]] = {
        "joint_space.global_map": "h v v",
        "classify.weight": "y d",
        "classify.bias": "y",
    }

    def __init__(  # noqa: PLR0913
        self,
        *,
        parents: Sequence[int],
        num_classes: int,
        persons: int = 1,
        channels: int = 3,
        parts: Sequence[Sequence[int]] | None = None,
        focal: int | None = 15,
        part_branch: bool = True,
        cross_attention: bool = True,
        attention: bool = True,
        convolution: bool = True,
        widths: Sequence[int] = (64, 64, 128, 128, 256, 256, 256, 256),
        stage_1: int = 6,
        spatial_heads: int = 3,
        dilations: Sequence[int] = (1, 2),
        kernel: int = 7,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        joints = len(parents)
        parts = equal_parts(parents) if parts is None else parts
        _check_arguments(parts, joints, focal, (attention, convolution), kernel)
        _check_widths(widths, stage_1, len(dilations))
        self.joints, self.channels = joints, channels
        space = {"heads": spatial_heads, "dropout": attention_dropout}
        time = {
            "dilations": tuple(dilations),
            "kernel": kernel,
            "attention": attention,
            "convolution": convolution,
            "dropout": attention_dropout,
        }

        def layer(inputs: int, outputs: int, *, with_parts: bool) -> nn.Module:
            halving = {**time, "stride": 1 if inputs == outputs else 2}
            if not with_parts:
                return JointLayer(inputs, outputs, joints=joints, space=space, time=halving)
            return JointPartLayer(
                inputs,
                outputs,
                joints=joints,
                parts=len(parts),
                cross_attention=cross_attention,
                space=space,
                time=halving,
            )

        self.embed = nn.Sequential(
            nn.Linear(channels, widths[0], bias=False), ChannelNorm(widths[0]), nn.LeakyReLU(SLOPE)
        )
        self.widths = (widths[0], *widths)
        steps = list(pairwise(self.widths))
        self.stage_1 = nn.ModuleList(layer(*step, with_parts=False) for step in steps[:stage_1])
        middle, last = self.widths[stage_1], self.widths[-1]
        self.select = None if focal is None else FocalSelection(middle, min(focal, joints))
        self.embed_parts = PartEmbedding(middle, parts) if part_branch else None
        self.stage_2 = nn.ModuleList(
            layer(*step, with_parts=part_branch) for step in steps[stage_1:]
        )
        self.hidden = nn.Linear(last * (1 + part_branch), last)
        self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(last, num_classes)

    def branches(self, x: Tensor) -> list[Tensor]:
        """What comes out of stage 2: N*M T' K C of the joints, N*M T' P C of the parts.

        Args:
            x: N C_0 T V M.
        """
        check_shape(x, "N C T V M", what="x", C=self.channels, V=self.joints)
        y: Tensor = self.embed(x.permute(0, 4, 2, 3, 1).flatten(0, 1))
        for layer in self.stage_1:
            y = layer(y)
        parts = [] if self.embed_parts is None else [self.embed_parts(y)]
        chosen = None
        if self.select is not None:
            y, chosen = self.select(y)
        nodes = [y, *parts]
        for layer in self.stage_2:
            out = layer(*nodes, chosen=chosen)
            nodes = list(out) if parts else [out]
            if chosen is not None:  # frames that are left keep their joints
                chosen = chosen[:, :: layer.stride]
        return nodes

    def features(self, x: Tensor) -> Tensor:
        """N C_0 T V M to what the last layer sees: means over frames, nodes and persons, hidden."""
        means = torch.cat([nodes.mean(dim=(1, 2)) for nodes in self.branches(x)], dim=-1)
        pooled = means.view(x.shape[0], -1, means.shape[-1]).mean(dim=1)
        return F.leaky_relu(self.hidden(pooled), SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        """Clips N C_0 T V M to logits N Y."""
        logits: Tensor = self.classify(self.dropout(self.features(x)))
        return logits


def _check_arguments(
    parts: Sequence[Sequence[int]],
    joints: int,
    focal: int | None,
    over_time: tuple[bool, bool],
    kernel: int,
) -> None:
    if len({len(part) for part in parts}) != 1 or not parts[0]:
        raise ValueError(f"parts: expected parts with equally many joints, got {list(parts)}")
    unknown = sorted({joint for part in parts for joint in part} - set(range(joints)))
    if unknown:
        raise ValueError(f"parts: expected joints 0 to {joints - 1}, got {unknown}")
    if focal is not None and focal < 1:
        raise ValueError(f"focal: expected at least one joint or None for all, got {focal}")
    if not any(over_time):
        raise ValueError("attention, convolution: expected at least one of them, got neither")
    if kernel % 2 == 0:
        raise ValueError(f"kernel: expected an odd number of frames, got {kernel}")


def _check_widths(widths: Sequence[int], stage_1: int, temporal_heads: int) -> None:
    step = math.lcm(4, temporal_heads)
    if any(width % step for width in widths):
        raise ValueError(f"widths: expected multiples of {step}, got {list(widths)}")
    if not 0 <= stage_1 < len(widths):
        raise ValueError(f"stage_1: expected 0 to {len(widths) - 1} layers, got {stage_1}")
