"""A small guide for CPUs: a transformer whose tokens are frames, as in the frame transformer.

No paper's: guiding with MobileViT costs more than denoising with a frame transformer, and a guide
needs little more than the order of the poses. Letters: n samples, r rows, f frames, d width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skelaug.models.layers import sinusoid
from skelaug.models.vit_guide import EncoderLayer
from skelaug.shapes import check_shape

__all__ = ["FrameGuide"]


class FrameGuide(nn.Module):
    """Guide on clean skeleton images; 0.4 M parameters with the defaults.

    It has no batch norm, so that its gradients are the same in training and evaluation mode up
    to dropout.

    Args:
        rows: Rows R of the image (joints of all persons).
        frames: Columns F of the image.
        num_classes: Number of classes K.
        width: Token size D.
        depth: Number of layers.
        heads: Attention heads; must divide `width`.
        dropout: Dropout after attention and MLP.

    Raises:
        ValueError: `heads` does not divide `width`.
    """

    def __init__(
        self,
        *,
        rows: int,
        frames: int,
        num_classes: int,
        width: int = 96,
        depth: int = 3,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.rows, self.frames = rows, frames
        self.read = nn.Conv1d(3 * rows, width, 3, padding=1)  # poses and their velocities
        self.position = nn.Parameter(sinusoid(torch.arange(frames), width) * 0.5)
        self.layers = nn.Sequential(
            *(EncoderLayer(width=width, heads=heads, dropout=dropout) for _ in range(depth)),
            nn.LayerNorm(width),
        )
        self.classify = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Clean images N 3 R F to logits N K."""
        check_shape(x, "N C R F", what="x", C=3, R=self.rows, F=self.frames)
        tokens = self.read(x.flatten(1, 2)).transpose(1, 2) + self.position
        logits: Tensor = self.classify(self.layers(tokens).mean(dim=1))
        return logits
