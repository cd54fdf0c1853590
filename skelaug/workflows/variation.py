"""Other bodies and tempi for drawn clips, from numbers that depend on (seed, i) alone."""

from __future__ import annotations

from dataclasses import replace
from math import exp

import numpy as np

from skelaug.augment import AugmentationConfig, augment
from skelaug.seeds import Stream, numpy_generator
from skelaug.skeleton.sequence import SkeletonSequence

__all__ = ["SLOWEST", "tempo_factor", "with_other_bones"]

SLOWEST = 2.0

_TEMPO, _BONES = 0, 1


def tempo_factor(spread: float, *, seed: int, sample: int) -> float:
    """By what the duration of a sample is multiplied: exp(N(0, spread²)), from 1/2 to 2.

    A drawn image has no duration of its own, so the clip is read off it at the new length and is
    interpolated once.

    Args:
        spread: Standard deviation of the logarithm; 0 leaves the duration as it is.
        seed: Root of every random number.
        sample: Number of the clip.
    """
    if not spread:
        return 1.0
    drawn = exp(spread * numpy_generator(seed, Stream.VARIATION, _TEMPO, sample).standard_normal())
    return float(np.clip(drawn, 1 / SLOWEST, SLOWEST))


def with_other_bones(
    clip: SkeletonSequence, spread: float, *, seed: int, sample: int
) -> SkeletonSequence:
    """The clip with the bones of another body, each U(1 - spread, 1 + spread) as long.

    Left is scaled like right, all persons alike, and the root keeps its path; then the clip is put
    on the floor again, so that longer legs carry the root higher.

    Args:
        clip: A drawn clip, standing on the floor; absent persons are NaN.
        spread: Largest relative change of a bone; 0 gives the clip itself.
        seed: Root of every random number.
        sample: Number of the clip.
    """
    if not spread:
        return clip
    present = clip.present
    positions = np.where(present[:, None, None], clip.positions, 0).astype(np.float64)
    varied, _ = augment(
        AugmentationConfig(bones=spread),
        positions,
        clip.layout,
        generator=numpy_generator(seed, Stream.VARIATION, _BONES, sample),
    )
    if present.any():
        varied[..., 1] -= varied[:, present, :, 1].min()
    varied[:, ~present] = np.nan
    return replace(clip, positions=varied.astype(np.float32))
