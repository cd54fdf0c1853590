"""What is hidden of whole stretches: random entries, as in the paper, and what cameras lose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from skelaug.data.store import Schema, write_sequences
from skelaug.imputation.occlusion import hide_body, hide_entries, hide_joints, hide_limb, limbs
from skelaug.imputation.tracks import Track
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows.study_windows import StudyWindows

__all__ = [
    "ENTRIES",
    "OCCLUSIONS",
    "TIMED_OCCLUSIONS",
    "Hide",
    "occluded",
    "random_entries",
    "write_occluded",
]

_Mask = NDArray[np.bool_]

ENTRIES = (1, 3, 10, 30, 100, 300, 1000)
"""Degrees of occlusion of Bourached et al., Fig. 4: coordinates of a window of 50 frames."""

_FRAMES = (5, 10, 25)
_SECONDS = (0.2, 0.4, 1.0)


class Hide(Protocol):
    """A kind of occlusion."""

    def __call__(self, track: Track, layout: SkeletonLayout, *, seed: int, clip: int) -> _Mask:
        """What is hidden of a stretch, T V, at the address of seed and clip."""
        ...


def random_entries(count: int) -> Hide:
    """Random joints of random frames with at least so many coordinates together.

    No sensor loses one coordinate alone: n of the paper are the three coordinates of n / 3 joints.
    """
    return partial(_entries, joints=-(-count // 3))


def _entries(track: Track, layout: SkeletonLayout, *, joints: int, seed: int, clip: int) -> _Mask:
    del layout
    return hide_entries(track.observed, joints, seed=seed, clip=clip)


def _limb(track: Track, layout: SkeletonLayout, *, frames: int, seed: int, clip: int) -> _Mask:
    return hide_limb(track.observed, limbs(layout), frames, seed=seed, clip=clip)


def _body(track: Track, layout: SkeletonLayout, *, frames: int, seed: int, clip: int) -> _Mask:
    del layout
    return hide_body(track.observed, frames, seed=seed, clip=clip)


def _joint(track: Track, layout: SkeletonLayout, *, seed: int, clip: int) -> _Mask:
    del layout
    return hide_joints(track.observed, 1, seed=seed, clip=clip)


def _timed(
    track: Track, layout: SkeletonLayout, *, what: str, seconds: float, seed: int, clip: int
) -> _Mask:
    hide = {"a limb": _limb, "all": _body}[what]
    return hide(track, layout, frames=max(round(seconds * track.fps), 1), seed=seed, clip=clip)


OCCLUSIONS: Mapping[str, Hide] = {
    **{f"{count} entries": random_entries(count) for count in ENTRIES},
    **{f"a limb, {frames} frames": partial(_limb, frames=frames) for frames in _FRAMES},
    **{f"all, {frames} frames": partial(_body, frames=frames) for frames in _FRAMES},
    "a joint, always": _joint,
}
"""Of windows of a model: random entries, the paper's easy case, and gaps of so many frames."""

TIMED_OCCLUSIONS: Mapping[str, Hide] = {
    f"{what}, {seconds:g} s": partial(_timed, what=what, seconds=seconds)
    for what in ("a limb", "all")
    for seconds in _SECONDS
}
"""Of stretches of any rate: gaps of so many seconds."""


def occluded(
    windows: StudyWindows, hide: Hide, layout: SkeletonLayout, *, seed: int = 0
) -> list[Track]:
    """Windows as tracks with gaps; the address of a gap is the clip's place in its file."""
    tracks = []
    for row, whole in ((one.row, one.track) for one in windows):
        gone = hide(whole, layout, seed=seed, clip=row)
        positions = np.where(gone[..., None], np.nan, whole.positions)
        tracks.append(Track(positions, whole.observed & ~gone, whole.fps))
    return tracks


def write_occluded(
    path: Path, windows: StudyWindows, hide: Hide, layout: SkeletonLayout, *, count: int
) -> None:
    """A sequence file of so many clips with gaps: the windows, again and again.

    Args:
        path: To write.
        windows: Whole stretches.
        hide: What is hidden of them.
        layout: Of their joints.
        count: How many clips.
    """
    tracks = occluded(windows, hide, layout)

    def clips() -> Iterator[SkeletonSequence]:
        for number in range(count):
            one = tracks[number % len(tracks)]
            positions, observed = one.positions[:, None].astype(np.float32), one.observed[:, None]
            yield SkeletonSequence(positions, observed, layout, one.fps, f"clip {number}")

    write_sequences(path, clips(), Schema(layout, ()), provenance=[])
