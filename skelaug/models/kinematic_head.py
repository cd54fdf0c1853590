"""The kinematic head of FDSM: how lively the motion is that a text tells of.

Zhou et al. 2026, sec. 3.1: two layers on the pooled text, trained beforehand by cross-entropy with
one binary label per class (lively or quiet), then frozen. Their sigmoid is the gain of SG-SRM (see
`skelaug.models.cross_dit`).
"""

from __future__ import annotations

from torch import Tensor, nn

from skelaug.shapes import check_shape

__all__ = ["KinematicHead"]


class KinematicHead(nn.Module):
    """From texts to logits of liveliness.

    Args:
        text_features: Numbers E of a text.
        width: Hidden units.
    """

    def __init__(self, *, text_features: int, width: int = 256) -> None:
        super().__init__()
        self.text_features = text_features
        self.layers = nn.Sequential(nn.Linear(text_features, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, pooled: Tensor) -> Tensor:
        """Texts N E to logits N; their sigmoid is the gain."""
        check_shape(pooled, "N E", what="pooled", E=self.text_features)
        logits: Tensor = self.layers(pooled)[:, 0]
        return logits
