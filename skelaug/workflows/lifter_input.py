"""2D poses as a lifter reads them: gaps closed, errors of a detector drawn onto exact ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, NonNegativeFloat

from skelaug.errors import DataError
from skelaug.shapes import check_shape
from skelaug.skeleton.detector_noise import DetectorNoise, detected
from skelaug.skeleton.layout import SkeletonLayout

__all__ = ["KeypointNoiseConfig", "filled_keypoints", "longest_gap"]

_MOST_OFTEN = 0.5  # share of swaps or misses that no strength exceeds


class KeypointNoiseConfig(BaseModel, frozen=True, extra="forbid"):
    """Errors of a 2D pose detector, drawn onto keypoints that are exact.

    Attributes:
        share: Of the clips that get errors; 0 leaves all as they are.
        strength: Multiplies how far joints jitter and how often limbs are swapped or missed, see
            `skelaug.skeleton.detector_noise.DetectorNoise`.
    """

    share: float = Field(default=0.0, ge=0.0, le=1.0)
    strength: NonNegativeFloat = 1.0

    def drawn(
        self,
        keypoints: NDArray[np.floating],
        layout: SkeletonLayout,
        *,
        fps: float,
        numbers: np.random.Generator,
    ) -> NDArray[np.float32]:
        """The keypoints T V 2 of one person as a detector might have found them.

        Args:
            keypoints: Exact ones; NaN stays NaN.
            layout: The joints.
            fps: Frames per second.
            numbers: Where chance comes from.
        """
        if self.share == 0 or numbers.random() >= self.share:
            return np.asarray(keypoints, dtype=np.float32)
        usual = DetectorNoise()
        noise = replace(
            usual,
            jitter=self.strength * usual.jitter,
            swapped=min(self.strength * usual.swapped, _MOST_OFTEN),
            missed=min(self.strength * usual.missed, _MOST_OFTEN),
        )
        found = detected(keypoints, layout, fps=fps, generator=numbers, noise=noise)
        return np.asarray(found, dtype=np.float32)


def longest_gap(missing: NDArray[np.bool_]) -> int:
    """The most frames in a row, T, in which a joint V is missing: T V to a number."""
    run, longest = np.zeros(missing.shape[1], dtype=np.int64), 0
    for now in missing:
        run = np.where(now, run + 1, 0)
        longest = max(longest, int(run.max(initial=0)))
    return longest


def filled_keypoints(
    keypoints: NDArray[np.floating], *, most: int, where: str
) -> NDArray[np.float32]:
    """Keypoints T V 2 of one person whose gaps are closed along time, linearly.

    Before a joint's first detection and after its last one its place is held.

    Args:
        keypoints: NaN where a joint was not detected.
        most: Frames of a gap that are closed.
        where: The clip, for the message.

    Raises:
        DataError: A joint is missing for longer.
    """
    check_shape(keypoints, "T V C", what="keypoints", C=2)
    missing = ~np.isfinite(keypoints).all(axis=-1)
    longest = longest_gap(missing)
    if longest > most or missing.all(axis=0).any():
        raise DataError(
            f"{where}: expected joints that are missing for at most {most} frames, got {longest}; "
            f"close longer gaps with --longest-gap SECONDS, or leave the clip out"
        )
    filled, times = np.array(keypoints, dtype=np.float32), np.arange(len(keypoints))
    for joint in np.flatnonzero(missing.any(axis=0)):
        gaps = missing[:, joint]
        for axis in range(2):
            known = filled[~gaps, joint, axis]
            filled[gaps, joint, axis] = np.interp(times[gaps], times[~gaps], known)
    return filled
