"""STCFormer, which lifts 2D keypoints to 3D poses, all frames of a window at once.

Tang et al. 2023, "3D Human Pose Estimation with Spatio-Temporal Criss-cross Attention" (CVPR); its
blocks are in `skelaug.models.stc`. Letters: n samples, t frames, v joints, c features.

Temporal down-sampling (Shan et al. 2022), with which it is trained: attention joins only every
d-th frame, so that the same number of frames reaches d times as far. Here the d interleaved
sequences of a window are lifted side by side and woven together again, so that no frame is without
its pose. Departure: the embeddings of body parts, next to nothing, are optional.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skelaug.models.layers import UnroundedLinear
from skelaug.models.stc import STCBlock, part_of_joint
from skelaug.shapes import check_shape

__all__ = ["STCFormer", "interleaved", "woven"]


def interleaved(x: Tensor, downsampling: int) -> Tensor:
    """The sequences of every d-th frame: N T ... to N d, ceil(T / d) ...; the last frame repeats.

    Sample n, phase i is row n d + i and has the frames i, i + d, i + 2 d ...
    """
    missing = -x.shape[1] % downsampling
    padded = torch.cat([x, x[:, -1:].expand(-1, missing, *x.shape[2:])], dim=1)
    return torch.unflatten(padded, 1, (-1, downsampling)).transpose(1, 2).flatten(0, 1)


def woven(x: Tensor, downsampling: int, *, frames: int) -> Tensor:
    """What `interleaved` came from: the first `frames` frames of the sequences in turn."""
    return torch.unflatten(x, 0, (-1, downsampling)).transpose(1, 2).flatten(1, 2)[:, :frames]


class STCFormer(nn.Module):
    """The lifter: 2D keypoints to root-relative 3D poses.

    Args:
        joints: Joints V.
        features: Channels C, a multiple of twice the heads.
        depth: Blocks.
        downsampling: d, the frames from one position of a sequence to the next; 1 = all frames.
        parts: The joints of each body part; None leaves their embeddings out.
        heads: Heads of each half of the channels.
        dropout: Dropout inside and after every MLP.

    Raises:
        ValueError: A size does not fit.
    """

    def __init__(
        self,
        joints: int,
        *,
        features: int = 256,
        depth: int = 6,
        downsampling: int = 3,
        parts: Sequence[Sequence[int]] | None = None,
        heads: int = 8,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if downsampling < 1:
            raise ValueError(f"downsampling: expected at least 1, got {downsampling}")
        part_of = part_of_joint(parts, joints)
        self.joints, self.downsampling = joints, downsampling
        self.read = UnroundedLinear(2, features, bias=False)
        self.activation = nn.GELU()
        self.blocks = nn.Sequential(
            *(
                STCBlock(features=features, heads=heads, part_of=part_of, dropout=dropout)
                for _ in range(depth)
            )
        )
        self.write = UnroundedLinear(features, 3, bias=False)

    def forward(self, keypoints: Tensor) -> Tensor:
        """Normalised keypoints N T V 2 to poses N T V 3, in metres, in the same dtype."""
        check_shape(keypoints, "N T V C", what="keypoints", V=self.joints, C=2)
        h = self.activation(self.read(interleaved(keypoints, self.downsampling)))
        poses: Tensor = self.write(self.blocks(h))
        return woven(poses, self.downsampling, frames=keypoints.shape[1]).to(keypoints.dtype)
