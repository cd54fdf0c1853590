"""The noisy guide of the ablation: the encoder half of the UNet with an attention pool.

Dhariwal and Nichol 2021, appendix H. Unlike the other guides it is trained on noisy images and
asked about x_t, so it is called with the step. Letters: n samples, c channels, t pixels + 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skelaug.models.layers import Conditioning, SelfAttention
from skelaug.models.unet import Encoder, Middle, group_norm, require_divisible
from skelaug.shapes import check_shape

__all__ = ["AttentionPool", "NoisyUNetGuide"]


class AttentionPool(nn.Module):
    """The mean pixel asks all pixels once (Radford et al. 2021, sec. 2.4)."""

    def __init__(self, channels: int, *, pixels: int, heads: int, outputs: int) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.empty(pixels + 1, channels))
        self.attention = SelfAttention(width=channels, heads=heads, outputs=outputs)
        nn.init.normal_(self.position, std=channels**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """N C H W to N K."""
        pixels = x.flatten(2).transpose(1, 2)
        tokens = torch.cat([pixels.mean(1, keepdim=True), pixels], dim=1) + self.position
        pooled: Tensor = self.attention(tokens)[:, 0]
        return pooled


class NoisyUNetGuide(nn.Module):
    """Guide on noisy skeleton images; 8.2 M parameters with the defaults.

    Width 128 is the published one (17.3 M); 88 gives the size that the ablation's table implies.

    Args:
        rows: Rows R of the image, a multiple of 2 ** (levels - 1).
        frames: Columns F of the image, likewise.
        num_classes: Number of classes K.
        width: Channels of the first level.
        multipliers: Channels of each level as multiples of `width`.
        blocks: Residual blocks per level.
        attention_factors: Downsampling factors at which every block is followed by attention.
        heads: Attention heads.
        dropout: Dropout in the residual blocks.

    Raises:
        ValueError: The image cannot be halved that often, or `heads` divides some width not.
    """

    def __init__(  # noqa: PLR0913
        self,
        *,
        rows: int,
        frames: int,
        num_classes: int,
        width: int = 88,
        multipliers: Sequence[int] = (1, 2, 2, 2),
        blocks: int = 2,
        attention_factors: Sequence[int] = (2, 4),
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        stride = 2 ** (len(multipliers) - 1)
        require_divisible(rows=rows, frames=frames, stride=stride)
        self.rows, self.frames = rows, frames
        embedding = 4 * width
        self.conditioning = Conditioning(frequencies=width, dim=embedding)
        self.encoder = Encoder(
            width=width,
            multipliers=multipliers,
            blocks=blocks,
            attention_factors=attention_factors,
            heads=heads,
            embedding=embedding,
            dropout=dropout,
            halves_in_blocks=True,
        )
        channels = self.encoder.kept[-1]
        self.middle = Middle(channels, heads=heads, embedding=embedding, dropout=dropout)
        self.classify = nn.Sequential(
            group_norm(channels),
            nn.SiLU(),
            AttentionPool(
                channels, pixels=rows * frames // stride**2, heads=heads, outputs=num_classes
            ),
        )

    def forward(self, x: Tensor, step: Tensor) -> Tensor:
        """Noisy images N 3 R F and their steps N in [0, 1000) to logits N K."""
        check_shape(x, "N C R F", what="x", C=3, R=self.rows, F=self.frames)
        embedding = F.silu(self.conditioning(step))
        h = self.middle(self.encoder(x, embedding)[-1], embedding)
        logits: Tensor = self.classify(h)
        return logits
