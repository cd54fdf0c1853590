"""MixSTE, which lifts 2D keypoints to 3D poses, all frames of a window at once.

Zhang et al. 2022, "MixSTE: Seq2seq Mixed Spatio-Temporal Encoder for 3D Human Pose Estimation in
Video" (CVPR). Transformer blocks over the joints of a frame and over the frames of a joint
take turns. Letters: n samples, t frames, v joints, c features.

As in the authors' code: the embedding of a joint is added before the first block over joints, that
of a frame before the first block over frames, both begin at zero; one norm is shared by all blocks
over joints, one by all over frames, each after its block.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skelaug.models.layers import DropPath, SelfAttention, UnroundedLinear
from skelaug.shapes import check_shape

__all__ = ["EncoderBlock", "MixSTE"]

_EPSILON = 1e-6  # of all norms but the head's


class EncoderBlock(nn.Module):
    """A pre-norm transformer block.

    Args:
        features: Channels C.
        heads: Attention heads.
        mlp_ratio: Hidden size of the MLP as a multiple of C.
        drop_path: Share of the sequences for which a branch is left out while training.
    """

    def __init__(self, *, features: int, heads: int, mlp_ratio: float, drop_path: float) -> None:
        super().__init__()
        hidden = round(mlp_ratio * features)
        self.attention = nn.Sequential(
            nn.LayerNorm(features, eps=_EPSILON), SelfAttention(width=features, heads=heads)
        )
        self.mlp = nn.Sequential(
            nn.LayerNorm(features, eps=_EPSILON),
            nn.Linear(features, hidden),
            nn.GELU(),
            nn.Linear(hidden, features),
        )
        self.drop = DropPath(drop_path)

    def forward(self, tokens: Tensor) -> Tensor:
        """Sequences S L C to the same."""
        tokens = tokens + self.drop(self.attention(tokens))
        learned: Tensor = self.drop(self.mlp(tokens))
        return tokens + learned


class MixSTE(nn.Module):
    """The lifter: 2D keypoints to root-relative 3D poses.

    Args:
        joints: Joints V.
        frames: Frames T of a window; no other number goes in.
        features: Channels C, a multiple of the heads.
        depth: Pairs of blocks.
        heads: Attention heads.
        mlp_ratio: Hidden size of the MLPs as a multiple of C.
        drop_path: Drop path of the last pair of blocks; it grows linearly from 0 at the first.

    Raises:
        ValueError: `heads` does not divide `features`.
    """

    def __init__(
        self,
        joints: int,
        frames: int,
        *,
        features: int = 512,
        depth: int = 8,
        heads: int = 8,
        mlp_ratio: float = 2.0,
        drop_path: float = 0.1,
    ) -> None:
        super().__init__()
        self.joints, self.frames = joints, frames
        self.read = UnroundedLinear(2, features)
        self.joint = nn.Parameter(torch.zeros(joints, features))
        self.frame = nn.Parameter(torch.zeros(frames, features))
        rates = [drop_path * number / max(depth - 1, 1) for number in range(depth)]
        self.over_joints, self.over_frames = (
            nn.ModuleList(
                EncoderBlock(features=features, heads=heads, mlp_ratio=mlp_ratio, drop_path=rate)
                for rate in rates
            )
            for _ in range(2)
        )
        self.joint_norm = nn.LayerNorm(features, eps=_EPSILON)
        self.frame_norm = nn.LayerNorm(features, eps=_EPSILON)
        self.norm = nn.LayerNorm(features)
        self.write = UnroundedLinear(features, 3)

    def forward(self, keypoints: Tensor) -> Tensor:
        """Normalised keypoints N T V 2 to poses N T V 3, in metres, in the same dtype."""
        check_shape(keypoints, "N T V C", what="keypoints", T=self.frames, V=self.joints, C=2)
        n, t, v, _ = keypoints.shape
        h = self.read(keypoints) + self.joint
        for number, (space, time) in enumerate(
            zip(self.over_joints, self.over_frames, strict=True)
        ):
            h = self.joint_norm(space(h.flatten(0, 1))).view(n, t, v, -1).transpose(1, 2)
            if number == 0:
                h = h + self.frame
            h = self.frame_norm(time(h.flatten(0, 1))).view(n, v, t, -1).transpose(1, 2)
        poses: Tensor = self.write(self.norm(h))
        return poses.to(keypoints.dtype)
