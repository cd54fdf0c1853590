"""PoseDenoiser, the network of D3PRefiner: the error of a noisy pose sequence.

Yan et al. 2024, "D3PRefiner: A Diffusion-based Denoise Method for 3D Human Pose Refinement",
sec. III-C and fig. 3c. Two linear layers around L denoising blocks; a block is a criss-cross
attention over the data, a second one over the data and the step, and an MLP. Letters: n samples,
t frames, v joints, c features.

What the paper leaves open: the step goes through waves and an MLP once, and a linear map of each
block adds it before the second attention. L is 4 in its text and 8 in its table IV. Departures: the
last layer begins at zero, so that an untrained network corrects nothing; the condition is optional,
for poses that no camera saw; and as an option an estimate from each frame alone is added, so that
the blocks learn what it leaves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from skelaug.models.frame_estimate import FrameEstimate
from skelaug.models.layers import UnroundedLinear, sinusoid
from skelaug.models.stc import FeedForward, STCModule, part_of_joint
from skelaug.shapes import check_shape

__all__ = ["DenoisingBlock", "PoseDenoiser"]


_PER_METRE = 100  # hints are read in centimetres


class DenoisingBlock(nn.Module):
    """Fig. 3c: attention over the data, attention that knows the step, MLP; all residual.

    Args:
        features: Channels C.
        heads: Heads of each half of the channels.
        part_of: The number of each joint's body part; None leaves their embeddings out.
        dropout: Dropout inside and after the MLP.
    """

    def __init__(
        self,
        *,
        features: int,
        heads: int,
        part_of: Sequence[int] | None,
        dropout: float,
    ) -> None:
        super().__init__()
        self.data = STCModule(features=features, heads=heads, part_of=part_of)
        self.step = nn.Linear(features, features)
        self.relation = STCModule(features=features, heads=heads, part_of=part_of)
        self.mlp = FeedForward(features, dropout=dropout)

    def forward(self, x: Tensor, step: Tensor) -> Tensor:
        """Features N T V C and the embedded step N C to N T V C."""
        x = self.data(x)
        x = self.relation(x + self.step(step)[:, None, None])
        learned: Tensor = self.mlp(x)
        return x + learned


class PoseDenoiser(nn.Module):
    """The error e of x_t = c_t x_0 + s_t e, in units of its mean size.

    Any number of frames goes in; the time grows with its square.

    Args:
        joints: Joints V.
        keypoints: Whether the 2D pose of each frame is given as the condition y. ``hints``: in its
            place shifts of the joints are, N T V 3 in metres, which hint at the error; they are
            read in centimetres.
        features: Channels C, a multiple of twice the heads.
        depth: Denoising blocks L.
        parts: The joints of each body part, every joint in exactly one; None leaves their
            embeddings out, which are scaled to next to nothing (see `skelaug.models.stc`).
        heads: Heads of each half of the channels.
        dropout: Dropout inside and after every MLP.
        frame_estimate: Sizes of a `FrameEstimate` that is added: ``steps`` and ``width``.

    Raises:
        ValueError: A size does not fit.
    """

    def __init__(  # noqa: PLR0913
        self,
        joints: int,
        *,
        keypoints: bool | Literal["hints"] = True,
        features: int = 256,
        depth: int = 8,
        parts: Sequence[Sequence[int]] | None = None,
        heads: int = 8,
        dropout: float = 0.1,
        frame_estimate: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        part_of = part_of_joint(parts, joints)
        self.joints, self.features = joints, features
        self.reads_keypoints, self.reads_hints = keypoints is True, keypoints == "hints"
        self.told = 3 if self.reads_hints else 2 if self.reads_keypoints else 0  # channels of y
        channels = 3 + self.told
        estimated = 0 if frame_estimate is None else 3
        self.read = UnroundedLinear(channels + estimated, features)
        self.embed_step = nn.Sequential(
            nn.Linear(features, 4 * features), nn.GELU(), nn.Linear(4 * features, features)
        )
        self.blocks = nn.ModuleList(
            DenoisingBlock(features=features, heads=heads, part_of=part_of, dropout=dropout)
            for _ in range(depth)
        )
        self.write = UnroundedLinear(features, 3)
        nn.init.zeros_(self.write.weight)
        nn.init.zeros_(self.write.bias)
        self.estimate: FrameEstimate | None = None
        if frame_estimate is not None:
            self.estimate = FrameEstimate(joints, channels=channels, **frame_estimate)

    def forward(self, x: Tensor, step: Tensor, keypoints: Tensor | None = None) -> Tensor:
        """The error in x.

        Args:
            x: Noisy poses x_t, N T V 3, root-relative, in metres; their scale grows with c_t and
                is left as it is.
            step: N, in [0, number of steps]; 0 is the clean pose.
            keypoints: y: 2D poses N T V 2, normalised, or hints N T V 3; exactly where the network
                reads them.

        Returns:
            N T V 3, the error divided by the mean size that it was trained with; in the dtype of x.

        Raises:
            ValueError: A shape differs, or keypoints are missing or given for nothing.
        """
        check_shape(x, "N T V C", what="x", V=self.joints, C=3)
        n, t, v, _ = x.shape
        check_shape(step, "N", what="step", N=n)
        told = x
        if self.told:
            if keypoints is None:
                raise ValueError(f"keypoints: expected N T V {self.told}, got None")
            check_shape(keypoints, "N T V C", what="keypoints", N=n, T=t, V=v, C=self.told)
            scale = _PER_METRE if self.reads_hints else 1
            told = torch.cat([x, scale * keypoints.to(x.dtype)], dim=-1)
        elif keypoints is not None:
            raise ValueError("keypoints: expected None from a network that does not read them")
        waves = sinusoid(step, self.features).to(self.read.weight.dtype)
        embedded = self.embed_step(waves)
        estimate = None if self.estimate is None else self.estimate(x, step, keypoints)
        h = self.read(told if estimate is None else torch.cat([told, estimate], dim=-1))
        for block in self.blocks:
            h = block(h, embedded)
        error: Tensor = self.write(h)
        if estimate is not None:
            error = error + estimate
        return error.to(x.dtype)
