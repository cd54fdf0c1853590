"""Classical augmentations of clips: draw parameters, apply them, replay them.

The coordinates are those of a prepared clip: y up, origin near the first person's root in the first
frame, no gaps. Mixing the clips of a batch lives in ``skelaug.augment.mixup``.
"""

from __future__ import annotations

from skelaug.augment.configuration import PRESETS, AugmentationConfig
from skelaug.augment.drawing import Draw, draw
from skelaug.augment.operations import apply, augment

__all__ = ["PRESETS", "AugmentationConfig", "Draw", "apply", "augment", "draw"]
