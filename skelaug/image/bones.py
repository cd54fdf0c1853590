"""Lengths of bones straight from normalised images, for a loss that keeps bodies rigid."""

from __future__ import annotations

import torch
from torch import Tensor

from skelaug.image.codec import ImageCodec
from skelaug.image.normalizer import ImageNormalizer

__all__ = ["BoneLengths"]

_SMALLEST = 1e-6  # keeps the root's derivative finite where a joint lies on its parent


class BoneLengths:
    """Lengths of all bones in all frames, in the unit of the normalised images.

    Args:
        codec: Whose images they are.
        normalizer: How they were normalised.
    """

    def __init__(self, codec: ImageCodec, normalizer: ImageNormalizer) -> None:
        self.normalizer = normalizer
        self.unit = float(torch.tensor(normalizer.std).mean())
        rows, layout = codec.joint_rows, codec.layout
        starts = [person * codec.rows for person in range(codec.persons)]
        pairs = [
            (start + int(rows[child]), start + int(rows[parent]))
            for start in starts
            for child, parent in layout.bones
        ]
        self.child, self.parent = (torch.tensor(side) for side in zip(*pairs, strict=True))
        self.roots = torch.tensor([start + int(rows[layout.root]) for start in starts])

    def __call__(self, images: Tensor) -> Tensor:
        """Lengths N B F of the bones of normalised images N C R F; differentiable."""
        pixels = self.normalizer.denormalize(images)
        # the root's row is its path; the other joints are relative to it
        pixels = pixels.index_fill(2, self.roots.to(pixels.device), 0.0)
        child, parent = self.child.to(pixels.device), self.parent.to(pixels.device)
        bones = (pixels[:, :, child] - pixels[:, :, parent]) / self.unit
        return (bones.square().sum(dim=1) + _SMALLEST).sqrt()
