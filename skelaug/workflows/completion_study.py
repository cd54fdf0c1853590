"""How far methods of imputation are off, on whole windows of clips in which something is hidden."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from skelaug.data.store import SequenceFile
from skelaug.imputation.occlusion import hide_body, hide_entries, hide_joints, hide_limb, limbs
from skelaug.imputation.tracks import Track
from skelaug.imputation.windows import steps_between
from skelaug.skeleton.layout import SkeletonLayout

__all__ = [
    "ENTRIES",
    "OCCLUSIONS",
    "Completions",
    "Hide",
    "WholeWindow",
    "completions",
    "occluded",
    "random_entries",
    "whole_windows",
]

_Mask = NDArray[np.bool_]
Fill = Callable[[str, Sequence[Track]], Sequence[NDArray[np.floating]]]
"""From a method and tracks with gaps to positions T V 3 without."""

ENTRIES = (1, 3, 10, 30, 100, 300, 1000)
"""Degrees of occlusion of Bourached et al., Fig. 4: coordinates of a window of 50 frames."""


class Hide(Protocol):
    """A kind of occlusion."""

    def __call__(self, observed: _Mask, layout: SkeletonLayout, *, seed: int, clip: int) -> _Mask:
        """What is hidden of T V joints, at the address of seed and clip."""
        ...


def random_entries(count: int) -> Hide:
    """Random joints of random frames with at least so many coordinates together.

    No sensor loses one coordinate alone: n of the paper are the three coordinates of n / 3 joints.
    """
    return partial(_entries, joints=-(-count // 3))


def _entries(
    observed: _Mask, layout: SkeletonLayout, *, joints: int, seed: int, clip: int
) -> _Mask:
    del layout
    return hide_entries(observed, joints, seed=seed, clip=clip)


def _limb(observed: _Mask, layout: SkeletonLayout, *, frames: int, seed: int, clip: int) -> _Mask:
    return hide_limb(observed, limbs(layout), frames, seed=seed, clip=clip)


def _body(observed: _Mask, layout: SkeletonLayout, *, frames: int, seed: int, clip: int) -> _Mask:
    del layout
    return hide_body(observed, frames, seed=seed, clip=clip)


def _joint(observed: _Mask, layout: SkeletonLayout, *, seed: int, clip: int) -> _Mask:
    del layout
    return hide_joints(observed, 1, seed=seed, clip=clip)


OCCLUSIONS: Mapping[str, Hide] = {
    **{f"{count} entries": random_entries(count) for count in ENTRIES},
    **{f"a limb, {frames} frames": partial(_limb, frames=frames) for frames in (5, 10, 25)},
    **{f"all, {frames} frames": partial(_body, frames=frames) for frames in (5, 10, 25)},
    "a joint, always": _joint,
}
"""Random entries, the paper's easy case, and what cameras do."""


@dataclass(frozen=True, eq=False)
class WholeWindow:
    """A stretch of a clip in which every joint of a person was measured.

    Attributes:
        row: Number of the clip in its file.
        track: The stretch, at the rate of the model that it is for.
    """

    row: int
    track: Track


def whole_windows(
    file: SequenceFile, rows: Sequence[int], *, frames: int, fps: float
) -> list[WholeWindow]:
    """One window of each person of each clip, as near to the clip's middle as it is whole.

    A clip of a higher rate is read in strides; persons without a whole window are left out.

    Args:
        file: The clips.
        rows: Which of them.
        frames: Of a window.
        fps: Of its frames.
    """
    found = []
    for row in rows:
        clip = file[row]
        stride = steps_between(clip.fps, fps)
        observed = clip.observed & np.isfinite(clip.positions).all(axis=-1)
        for person in range(clip.num_persons):
            whole: _Mask = np.asarray(observed[::stride, person].all(axis=1))
            if len(whole) < frames:
                continue
            starts = np.flatnonzero(sliding_window_view(whole, frames).all(axis=1))
            if len(starts):
                start = starts[np.abs(starts - (len(whole) - frames) / 2).argmin()]
                span = slice(start, start + frames)
                positions = clip.positions[::stride, person][span]
                seen = observed[::stride, person][span]
                found.append(WholeWindow(row, Track(positions, seen, clip.fps / stride)))
    return found


def occluded(
    windows: Sequence[WholeWindow], hide: Hide, layout: SkeletonLayout, *, seed: int = 0
) -> list[Track]:
    """Windows as tracks with gaps; the address of a gap is the clip's place in its file."""
    tracks = [one.track for one in windows]
    hidden = [hide(one.track.observed, layout, seed=seed, clip=one.row) for one in windows]
    return [
        Track(np.where(gone[..., None], np.nan, t.positions), t.observed & ~gone, t.fps)
        for t, gone in zip(tracks, hidden, strict=True)
    ]


@dataclass(frozen=True, eq=False)
class Completions:
    """What methods made of occluded windows.

    Attributes:
        hidden: Coordinates that were hidden of each window, N.
        errors: Of each method, the squared error summed over them, square metres, N.
    """

    hidden: NDArray[np.int64]
    errors: Mapping[str, NDArray[np.float64]]


def completions(
    fill: Fill,
    methods: Sequence[str],
    windows: Sequence[WholeWindow],
    hide: Hide,
    layout: SkeletonLayout,
    *,
    seed: int = 0,
) -> Completions:
    """Hide, fill, and compare.

    Args:
        fill: From a method and tracks to positions, e.g. `Completer.fill`.
        methods: What is compared.
        windows: N, whole.
        hide: What is hidden of them.
        layout: Of their joints.
        seed: Of what is hidden.
    """
    tracks = occluded(windows, hide, layout, seed=seed)
    errors = {}
    for method in methods:
        filled = fill(method, tracks)
        errors[method] = np.array(
            [
                np.square(np.where(t.observed[..., None], 0.0, x - one.track.positions)).sum()
                for x, t, one in zip(filled, tracks, windows, strict=True)
            ],
            dtype=np.float64,
        )
    hidden = [3 * int((~track.observed).sum()) for track in tracks]
    return Completions(np.array(hidden, dtype=np.int64), errors)
