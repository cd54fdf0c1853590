"""The transformer guide of the ablation: ViT (Dosovitskiy et al. 2021) with 2 x 2 patches.

Letters: n samples, t tokens, d width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skelaug.models.layers import SelfAttention
from skelaug.shapes import check_shape

__all__ = ["EncoderLayer", "ViTGuide"]


class EncoderLayer(nn.Module):
    """Pre-norm attention and MLP (eq. 2 and 3 of the paper)."""

    def __init__(self, *, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.LayerNorm(width), SelfAttention(width=width, heads=heads), nn.Dropout(dropout)
        )
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """N T D to N T D."""
        tokens = tokens + self.attention(tokens)
        out: Tensor = tokens + self.mlp(tokens)
        return out


class ViTGuide(nn.Module):
    """Guide on clean skeleton images; 13.6 M parameters with the defaults.

    Args:
        rows: Rows R of the image, a multiple of `patch`.
        frames: Columns F of the image, a multiple of `patch`.
        num_classes: Number of classes K.
        patch: Side of a patch.
        width: Token size D.
        depth: Number of layers.
        heads: Attention heads; must divide `width`.
        dropout: Dropout after attention and MLP.

    Raises:
        ValueError: The image does not split into patches, or `heads` does not divide `width`.
    """

    def __init__(  # noqa: PLR0913
        self,
        *,
        rows: int,
        frames: int,
        num_classes: int,
        patch: int = 2,
        width: int = 320,
        depth: int = 11,
        heads: int = 5,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if rows % patch or frames % patch:
            raise ValueError(
                f"image: expected rows and frames to be multiples of the patch {patch}, "
                f"got {rows} x {frames}"
            )
        self.rows, self.frames = rows, frames
        num_patches = rows * frames // patch**2
        self.read = nn.Conv2d(3, width, patch, stride=patch)
        self.summary = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.empty(num_patches + 1, width))
        self.layers = nn.Sequential(
            *(EncoderLayer(width=width, heads=heads, dropout=dropout) for _ in range(depth)),
            nn.LayerNorm(width),
        )
        self.classify = nn.Linear(width, num_classes)
        nn.init.normal_(self.position, std=0.02)
        nn.init.normal_(self.summary, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Clean images N 3 R F to logits N K, read from the summary token (eq. 4)."""
        check_shape(x, "N C R F", what="x", C=3, R=self.rows, F=self.frames)
        patches = self.read(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.summary.expand(len(x), -1, -1), patches], dim=1) + self.position
        logits: Tensor = self.classify(self.layers(tokens)[:, 0])
        return logits
