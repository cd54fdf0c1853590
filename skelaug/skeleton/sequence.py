"""A skeleton sequence: positions in metres, what was measured, and what is known about the clip."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skelaug.shapes import check_shape
from skelaug.skeleton.layout import SkeletonLayout

__all__ = ["UNKNOWN", "SkeletonSequence", "Source"]

UNKNOWN = -1


class Source(enum.IntEnum):
    """Where the positions of a clip come from."""

    REAL = 0
    SYNTHETIC = 1
    REFINED = 2
    IMPUTED = 3


@dataclass(frozen=True)
class SkeletonSequence:
    """One labelled clip of one or more persons.

    Axes are right-handed with y up; x points to the sensor's left and z away from it.

    Attributes:
        positions: T M V C in metres, float32; NaN where nothing was measured.
        observed: T M V, True where a joint was measured.
        layout: The joints V.
        fps: Frames per second; never assumed.
        name: Unique within a file.
        label: Class name; empty if unknown.
        confidence: T M V in [0, 1], or None where the source gives none.
        subject: Number of the performer; -1 if unknown.
        camera: Number of the camera or view; -1 if unknown.
        setup: Number of the recording setup; -1 if unknown.
        source: Real, synthetic, refined or imputed.
        seed: Of a synthetic clip, else -1.
        uncertainty: T M V in metres, or None: the standard deviation of an invented position (root
            mean square distance from the true one), 0 where measured, NaN where nothing can be
            said.
        keypoints: T M V 2, float32, or None: where the clip's camera saw each joint, as
            ``normalised_keypoints`` gives it (the image is 2 wide, y points down); NaN where it was
            not detected. The positions are then in that camera's frame.
    """

    positions: NDArray[np.float32]
    observed: NDArray[np.bool_]
    layout: SkeletonLayout
    fps: float
    name: str
    label: str = ""
    confidence: NDArray[np.float32] | None = None
    subject: int = UNKNOWN
    camera: int = UNKNOWN
    setup: int = UNKNOWN
    source: Source = Source.REAL
    seed: int = -1
    uncertainty: NDArray[np.float32] | None = None
    keypoints: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        check_shape(self.positions, "T M V C", what="positions", V=self.layout.num_joints)
        t, m, v, _ = self.positions.shape
        check_shape(self.observed, "T M V", what="observed", T=t, M=m, V=v)
        for what, array in (("confidence", self.confidence), ("uncertainty", self.uncertainty)):
            if array is not None:
                check_shape(array, "T M V", what=what, T=t, M=m, V=v)
        if self.keypoints is not None:
            check_shape(self.keypoints, "T M V C", what="keypoints", T=t, M=m, V=v, C=2)

    @property
    def num_frames(self) -> int:
        """The number of frames T."""
        return int(self.positions.shape[0])

    @property
    def num_persons(self) -> int:
        """The number of person slots M."""
        return int(self.positions.shape[1])

    @property
    def duration(self) -> float:
        """The length in seconds."""
        return self.num_frames / self.fps

    @property
    def present(self) -> NDArray[np.bool_]:
        """For each person slot M whether any joint was ever measured."""
        return np.asarray(self.observed.any(axis=(0, 2)), dtype=np.bool_)

    def replaced(self, **changes: object) -> SkeletonSequence:
        """A copy with some attributes changed."""
        return replace(self, **changes)  # type: ignore[arg-type]
