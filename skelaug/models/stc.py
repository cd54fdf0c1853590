"""Spatio-temporal criss-cross attention, the module that STCFormer and PoseDenoiser are made of.

Tang et al. 2023, "3D Human Pose Estimation with Spatio-Temporal Criss-cross Attention" (CVPR). Half
of the channels attend over the joints of a frame, the other half over the frames of a joint; to
both is added what the values of neighbouring frames and joints say, the "structure-enhanced
positional embedding", which alone tells joints and frames apart. Letters: n samples, t frames, v
joints, c features, h heads, d channels of a head, c = 2 h d.

As in the authors' code, and unlike the usual: scores are divided by sqrt(c / 2), not by sqrt(d);
the embeddings of body parts are weighted with 1e-4 (joints) and 1e-9 (frames), which is next to
nothing, so that they are optional here; the MLP has no biases. Departure: their code interleaves
the two halves head by head, here one follows the other (another order of the same channels).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skelaug.models.layers import DropPath

__all__ = ["FeedForward", "PartEmbedding", "STCBlock", "STCModule", "part_of_joint"]

_OVER_JOINTS, _OVER_FRAMES = 1e-4, 1e-9  # weights of the part embeddings
_PART_DROP = 0.5
_SHORT = 32  # positions up to which attention is written out on a CPU


class STCModule(nn.Module):
    """One criss-cross attention with its residual, N T V C to N T V C.

    Args:
        features: Channels C, a multiple of twice the heads.
        heads: Heads H of each half.
        part_of: The number of each joint's body part, V; None leaves the part embeddings out.

    Raises:
        ValueError: `features` is no such multiple.
    """

    def __init__(
        self, *, features: int, heads: int = 8, part_of: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        if features % (2 * heads):
            raise ValueError(
                f"features {features}: expected a multiple of twice the heads, got heads {heads}"
            )
        self.heads, self.scale = heads, (features // 2) ** -0.5
        self.norm = nn.LayerNorm(features)
        self.qkv = nn.Linear(features, 3 * features)
        self.neighbours = nn.Conv2d(features, features, 3, padding=1, groups=features)
        self.part = PartEmbedding(part_of, features=features, heads=heads) if part_of else None
        self.out = nn.Linear(features, features)

    def forward(self, x: Tensor) -> Tensor:
        """Features N T V C to the same."""
        n, t, v, c = x.shape
        qkv = self.qkv(self.norm(x))
        split = qkv.view(n, t, v, 3, 2, self.heads, -1)
        frames = split[..., 0, :, :].permute(3, 0, 1, 4, 2, 5).flatten(1, 2)  # 3 nt h v d
        joints = split[..., 1, :, :].permute(3, 0, 2, 4, 1, 5).flatten(1, 2)  # 3 nv h t d
        over_joints = torch.unflatten(_attention(*frames, scale=self.scale), 0, (n, t))
        over_frames = torch.unflatten(_attention(*joints, scale=self.scale), 0, (n, v))
        mixed = torch.cat(
            [over_joints.transpose(2, 3).flatten(3), over_frames.permute(0, 3, 1, 2, 4).flatten(3)],
            dim=-1,
        )
        values = qkv[..., 2 * c :].permute(0, 3, 1, 2)
        mixed = mixed + self.neighbours(values).permute(0, 2, 3, 1)
        if self.part is not None:
            mixed = mixed + self.part()
        attended: Tensor = self.out(mixed)
        return x + attended


def _attention(queries: Tensor, keys: Tensor, values: Tensor, *, scale: float) -> Tensor:
    """softmax(Q K^T scale) V of B H L D.

    Short sequences are written out: the fused kernel is made for few and long ones. The softmax
    then runs down columns, since along rows of fewer than 16 it takes twenty times as long.
    """
    if queries.is_cuda or queries.shape[-2] > _SHORT:
        return F.scaled_dot_product_attention(queries, keys, values, scale=scale)
    weights = (keys @ (queries * scale).mT).softmax(dim=-2)
    return weights.to(values.dtype).mT @ values


class PartEmbedding(nn.Module):
    """A learnt vector for each body part, the same in all heads and in both halves.

    Args:
        part_of: The number of each joint's body part, V.
        features: Channels C.
        heads: Heads of each half.
    """

    part_of: Tensor

    def __init__(self, part_of: Sequence[int], *, features: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.register_buffer("part_of", torch.tensor([*part_of]), persistent=False)
        self.table = nn.Embedding(max(part_of) + 1, features // (2 * heads))
        self.drop = DropPath(_PART_DROP)

    def forward(self) -> Tensor:
        """What the features of each joint grow by, 1 V C."""
        embedded = self.table(self.part_of).repeat(1, self.heads)[None]
        halves = [_OVER_JOINTS * self.drop(embedded), _OVER_FRAMES * self.drop(embedded)]
        return torch.cat(halves, dim=-1)


def part_of_joint(parts: Sequence[Sequence[int]] | None, joints: int) -> list[int] | None:
    """The number of the part that each joint is in; None where there are no parts.

    Raises:
        ValueError: A joint is in no part or in two.
    """
    if parts is None:
        return None
    part_of = {joint: number for number, members in enumerate(parts) for joint in members}
    if sorted(joint for members in parts for joint in members) != list(range(joints)):
        raise ValueError(f"parts: expected each of {joints} joints once, got {list(parts)}")
    return [part_of[joint] for joint in range(joints)]


class FeedForward(nn.Sequential):
    """The MLP of a block without its residual: norm, C to 4 C, GELU, back to C."""

    def __init__(self, features: int, *, dropout: float) -> None:
        super().__init__(
            nn.LayerNorm(features),
            nn.Linear(features, 4 * features, bias=False),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(4 * features, features, bias=False),
            nn.Dropout(dropout),
        )


class STCBlock(nn.Module):
    """The block of STCFormer: criss-cross attention and MLP, both residual.

    Args:
        features: Channels C.
        heads: Heads of each half.
        part_of: The number of each joint's body part; None leaves the part embeddings out.
        dropout: Dropout inside and after the MLP.
    """

    def __init__(
        self,
        *,
        features: int,
        heads: int = 8,
        part_of: Sequence[int] | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.attention = STCModule(features=features, heads=heads, part_of=part_of)
        self.mlp = FeedForward(features, dropout=dropout)

    def forward(self, x: Tensor) -> Tensor:
        """N T V C to N T V C."""
        x = self.attention(x)
        learned: Tensor = self.mlp(x)
        return x + learned
