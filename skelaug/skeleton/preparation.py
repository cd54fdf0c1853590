"""From a clip to the fixed block of positions that a recognizer reads: the profiles of the papers.

A profile has two halves. `Profile.place` looks at the whole clip once: it picks the persons, fills
gaps, and moves and turns the bodies. `Profile.fit` gives it a fixed number of frames, and does so
for every clip of every batch. Augmentation comes between the two. Nothing here lets NaN through.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelaug.errors import DataError, UsageError, did_you_mean
from skelaug.shapes import check_shape
from skelaug.skeleton.fitting import (
    Fit,
    crop_resized,
    looped,
    resampled,
    scaled_picks,
    zero_padded,
)
from skelaug.skeleton.geometry import fill_missing, heading_angle, rotate_about_y
from skelaug.skeleton.graph import center
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.sequence import SkeletonSequence

__all__ = ["PROFILES", "Profile", "body_turn", "get_profile", "spine_of"]

_SHOULDERS = (
    ("left_shoulder", "right_shoulder"),
    ("shoulder_left", "shoulder_right"),
    ("lclavicle", "rclavicle"),  # hdm05_31: a joint is the end of its bone
    ("UpperArm_L", "UpperArm_R"),  # bandai_21: a joint is the start of its bone
)
_NONE = 1e-6  # metres: joints that are nearer to one another coincide

_Move = Callable[[NDArray[np.float64], SkeletonLayout], NDArray[np.float64]]


@dataclass(frozen=True)
class Profile:
    """One way of preparing clips; see `PROFILES`.

    Attributes:
        name: Key in `PROFILES`.
        frames: The number of frames that its paper uses.
        crop: Smallest share of a clip that a training crop keeps; 1 where there is no crop.
        copies: An absent person is a copy of the first one instead of zeros.
    """

    name: str
    frames: int
    crop: float
    copies: bool
    _moved: _Move
    _fitted: Fit

    def place(self, sequence: SkeletonSequence, persons: int = 1) -> NDArray[np.float32]:
        """The clip's positions without gaps, moved and turned as the profile says.

        The persons are the first `persons` slots in which anything was measured: readers put the
        one who moves most first. Frames before and after anything of them was measured are left
        out; all other gaps are filled as `fill_missing` does, where the published codes drop empty
        frames or keep zeros, which a network would take for positions.

        Args:
            sequence: T' frames of any number of persons.
            persons: How many persons M the result has.

        Returns:
            T M V C, T at most T'.

        Raises:
            DataError: Nothing was measured, or the layout lacks joints that the profile turns by.
        """
        found = self._moved(_measured(sequence, persons), sequence.layout)
        absent = persons - found.shape[1]
        if absent:
            fill = np.repeat(found[:, :1], absent, axis=1)
            found = np.concatenate([found, fill if self.copies else np.zeros_like(fill)], axis=1)
        return found.astype(np.float32)

    def fit(
        self,
        positions: NDArray[np.float32],
        frames: int | None = None,
        generator: np.random.Generator | None = None,
    ) -> NDArray[np.float32]:
        """The positions in a fixed number of frames, a new array.

        Args:
            positions: T M V C from `place`, augmented or not; may be a memory map.
            frames: Length of the result; the profile's own if None.
            generator: Draws what varies in training; None is the one form used for tests.

        Raises:
            ValueError: There is no frame.
        """
        check_shape(positions, "T M V C", what="positions")
        wanted = self.frames if frames is None else frames
        if len(positions) < 1 or wanted < 1:
            raise ValueError(
                f"positions: expected at least one frame, got {len(positions)} in, {wanted} out"
            )
        return self._fitted(np.asarray(positions), wanted, generator, crop=self.crop)


def get_profile(name: str) -> Profile:
    """The profile of that name.

    Raises:
        UsageError: There is none.
    """
    if name not in PROFILES:
        raise UsageError(f"profile {name!r}: no such profile; {did_you_mean(name, PROFILES)}")
    return PROFILES[name]


def spine_of(layout: SkeletonLayout) -> int:
    """The joint that clips are centred on: next to the root on the way to the body's centre.

    `spine_mid` of ntu_25 and `spine` of kinect_20, joint 1 in the published codes. It is the root
    itself where that is the centre already (see `graph.center`), as in layouts of 2D detectors.
    """
    return _next_to_root(layout.parents)


@functools.lru_cache(maxsize=64)
def _next_to_root(parents: tuple[int, ...]) -> int:
    path = [center(parents)]
    while parents[path[-1]] >= 0:
        path.append(parents[path[-1]])
    return path[-2] if len(path) > 1 else path[-1]


def body_turn(pose: NDArray[Any], layout: SkeletonLayout) -> NDArray[np.float64]:
    """The rotation that takes the shoulders to +x and the spine to +z, 3 3.

    Shi et al. 2019 (2s-AGCN) turn the spine onto z and then the shoulders onto x, each by the
    smallest rotation. The second one moves the spine again: by 1 to 5 degrees in most clips, but
    by more than 100 in one of a hundred HDM05 and UTD-MHAD clips, those of people who show their
    back. Here the shoulders (left to right) end on x too, and the spine in the plane of x and z
    with z > 0, on z itself where they are perpendicular; half of all clips differ from theirs by
    about 1 degree or less.

    Args:
        pose: V 3, one frame of one person without gaps.
        layout: Names the shoulders; the spine goes from the root to `spine_of`.

    Returns:
        A right-handed rotation for column vectors; the identity where the joints that it needs
        coincide or lie on one line.

    Raises:
        DataError: The layout has no spine or no shoulders, or the pose is not in space.
    """
    left, right = _shoulders(layout)
    if pose.shape[-1] != 3:
        raise DataError(f"agcn: expected 3 coordinates per joint, got {pose.shape[-1]}")
    joints = pose.astype(np.float64)
    across = joints[right] - joints[left]
    along = joints[spine_of(layout)] - joints[layout.root]
    width = np.linalg.norm(across)
    x = across / max(width, _NONE)
    up = along - (along @ x) * x
    if width < _NONE or np.linalg.norm(up) < _NONE:
        return np.eye(3)
    z = up / np.linalg.norm(up)
    return np.stack([x, np.cross(z, x), z])


def _shoulders(layout: SkeletonLayout) -> tuple[int, int]:
    named = next((pair for pair in _SHOULDERS if set(pair) <= set(layout.joints)), None)
    lacks = [] if named else ["shoulders (left_shoulder, right_shoulder)"]
    lacks += ["spine joint between the root and the shoulders"] * (spine_of(layout) == layout.root)
    if named is None or lacks:
        raise DataError(
            f"layout {layout.name!r}: expected joints to turn the body by, got no "
            f"{' and no '.join(lacks)}; use a profile other than agcn, such as heading or ctr"
        )
    return layout.index(named[0]), layout.index(named[1])


def _measured(sequence: SkeletonSequence, persons: int) -> NDArray[np.float64]:
    """The persons in whom anything was measured, at most `persons`, without gaps: T m V C."""
    if persons < 1:
        raise ValueError(f"persons: expected at least 1, got {persons}")
    observed = sequence.observed & np.isfinite(sequence.positions).all(axis=-1)
    slots = np.flatnonzero(observed.any(axis=(0, 2)))[:persons]
    if not len(slots):
        raise DataError(
            f"clip {sequence.name!r}: expected at least one measured joint, got none in "
            f"{sequence.num_frames} frames; leave the clip out (`skelaug check` finds such clips)"
        )
    frames = np.flatnonzero(observed[:, slots].any(axis=(1, 2)))
    span = slice(int(frames[0]), int(frames[-1]) + 1)
    positions, seen = sequence.positions[span][:, slots], observed[span][:, slots]
    return fill_missing(positions, seen, sequence.layout)


def _centred_first(positions: NDArray[np.float64], layout: SkeletonLayout) -> NDArray[np.float64]:
    return np.asarray(positions - positions[0, 0, spine_of(layout)])


def _centred_and_turned(
    positions: NDArray[np.float64], layout: SkeletonLayout
) -> NDArray[np.float64]:
    turn = body_turn(positions[0, 0], layout)
    return np.asarray((positions - positions[:, :1, spine_of(layout), None]) @ turn.T)


def _as_it_is(positions: NDArray[np.float64], layout: SkeletonLayout) -> NDArray[np.float64]:
    del layout
    return positions


def _facing(positions: NDArray[np.float64], layout: SkeletonLayout) -> NDArray[np.float64]:
    moved = positions - positions[0, 0, layout.root]
    angle = heading_angle(moved[:, 0], layout)
    return rotate_about_y(moved, -angle) if angle else moved


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            Profile("agcn", 300, 1.0, False, _centred_and_turned, looped),
            Profile("ctr", 64, 0.5, True, _centred_first, crop_resized),
            Profile("efficient", 288, 1.0, False, _as_it_is, zero_padded),
            Profile("ucla", 52, 1.0, False, _centred_first, scaled_picks),
            Profile("heading", 32, 0.7, False, _facing, resampled),
        )
    }
)
"""Every profile by name. Persons move and turn together, by what the first one does.

- ``agcn`` (Shi et al. 2019, 2s-AGCN; MS-G3D, Shift-GCN): each frame is centred on the spine of the
  first person, so that where the body goes is lost; turned by `body_turn` of the first frame; the
  clip is repeated up to 300 frames. Of a longer clip the first frames are kept.
- ``ctr`` (Chen et al. 2021, CTR-GCN; FG-STFormer with 128 frames): centred on the spine of the
  first person in the first frame, not turned; training takes a random crop of 50 to 100 % (but at
  least 64 frames) and tests the middle 95 %, resized to 64 frames; an absent person is a copy.
- ``efficient`` (Song et al. 2022, EfficientGCN): positions as they were measured, zeros up to 288
  frames. Of a longer clip the first frames are kept, as in its authors' code.
- ``ucla`` (the Northwestern-UCLA loader of CTR-GCN): centred as in ctr; every axis of the clip
  scaled to [-1, 1] after augmentation (an axis without extent becomes 0); 52 frames, in training
  drawn with replacement and sorted, in tests equally spaced.
- ``heading`` (ours): the first root at the origin, the hips turned onto +x about the vertical, the
  way of the body and its size in metres kept; training stretches a random 70 to 100 % of the clip
  to 32 frames, tests all of it, first and last frame kept.
"""
