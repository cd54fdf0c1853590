"""Some clips refined: the pose of each person about the root by a method, the root put back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skelaug.errors import DataError
from skelaug.metrics.plausibility import bone_length_variation, mean_magnitude
from skelaug.metrics.pose_error import mpjpe, p_mpjpe
from skelaug.refinement.filters import FILTERS, Filter, butterworth
from skelaug.refinement.rigid_bones import with_rigid_bones
from skelaug.skeleton.camera import check_normalised
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.sequence import UNKNOWN, SkeletonSequence, Source
from skelaug.workflows.performers import lone_performer
from skelaug.workflows.prediction_batches import Rejection

__all__ = [
    "Corrector",
    "PoseTrack",
    "Refined",
    "compared",
    "filtering",
    "known_keypoints",
    "refine_clips",
    "rigidly",
    "smoothly",
]


@dataclass(frozen=True, eq=False)
class PoseTrack:
    """One person of one clip, about the root.

    Attributes:
        poses: T V 3, metres, relative to the root, finite.
        keypoints: The 2D poses T V 2, normalised, finite; None where there are none.
        fps: Frames per second.
        address: Tells it from all others of the file; what randomness depends on.
        performer: The performer's number; -1 if unknown.
    """

    poses: NDArray[np.float32]
    keypoints: NDArray[np.float32] | None
    fps: float
    address: int
    performer: int = UNKNOWN


_NOBODY = "no joint was measured"

Corrector = Callable[[Sequence[PoseTrack]], Sequence[NDArray[np.floating]]]
"""From persons to their refined poses, T V 3 about the root."""


@dataclass(frozen=True, eq=False)
class Refined:
    """A clip after refinement.

    Attributes:
        clip: What became of it; the clip itself where nothing did.
        persons: The slots that were refined.
        rejected: Persons that could not be, and why.
    """

    clip: SkeletonSequence
    persons: tuple[int, ...]
    rejected: tuple[Rejection, ...]


def filtering(name: str) -> Corrector:
    """The corrector that a filter of `FILTERS` is."""
    smooth = FILTERS[name]
    return lambda tracks: [smooth(track.poses, track.fps) for track in tracks]


def smoothly(corrector: Corrector, cutoff: float) -> Corrector:
    """The corrector followed by a Butterworth filter with that cutoff, hertz."""

    def correct(tracks: Sequence[PoseTrack]) -> list[NDArray[np.floating]]:
        pairs = zip(tracks, corrector(tracks), strict=True)
        return [butterworth(poses, track.fps, cutoff=cutoff) for track, poses in pairs]

    return correct


def rigidly(
    corrector: Corrector,
    layout: SkeletonLayout,
    known: Mapping[int, NDArray[np.float64]] | None = None,
) -> Corrector:
    """The corrector followed by bones of one length throughout a clip.

    Args:
        corrector: What comes first.
        layout: The joints.
        known: By performer the lengths of the bones; others have the medians of their clip.
    """

    def correct(tracks: Sequence[PoseTrack]) -> list[NDArray[np.floating]]:
        pairs = zip(tracks, corrector(tracks), strict=True)
        lengths = known or {}
        return [
            with_rigid_bones(poses, layout, lengths=lengths.get(track.performer))
            for track, poses in pairs
        ]

    return correct


def refine_clips(
    clips: Mapping[int, SkeletonSequence],
    corrector: Corrector,
    *,
    root_filter: Filter | None,
    reads_keypoints: bool = False,
) -> list[Refined]:
    """Clips with the poses of their persons refined.

    The root's way stays as it is, or is filtered by itself. Clips of one frame stay as they are,
    and so does a person of whom something is missing.

    Args:
        clips: By their place in the file.
        corrector: What refines poses about the root.
        root_filter: A filter of the root's way; None leaves it.
        reads_keypoints: Whether the corrector wants the 2D poses.
    """
    tracks: dict[tuple[int, int], PoseTrack] = {}
    rejected: dict[int, list[Rejection]] = defaultdict(list)
    for row, clip in clips.items():
        if not clip.present.any():
            rejected[row].append(Rejection(name=clip.name, reason=_NOBODY))
        for slot in np.flatnonzero(clip.present & (clip.num_frames > 1)).tolist():
            fault = _fault(clip, slot, reads_keypoints=reads_keypoints)
            if fault:
                rejected[row].append(Rejection(name=_named(clip, slot), reason=fault))
            else:
                address = row * clip.num_persons + slot
                tracks[row, slot] = _track(clip, slot, address, reads_keypoints)
    found = dict(zip(tracks, corrector([*tracks.values()]) if tracks else [], strict=True))
    return [
        _assembled(
            clip,
            {slot: poses for (r, slot), poses in found.items() if r == row},
            rejected[row],
            root_filter,
        )
        for row, clip in clips.items()
    ]


def known_keypoints(keypoints: NDArray[np.floating]) -> NDArray[np.float32] | None:
    """2D poses T V 2 with undetected joints put between where they were detected before and after.

    None where a joint was never detected.
    """
    seen = np.isfinite(keypoints).all(axis=-1)
    if not seen.any(axis=0).all():
        return None
    found, times = np.array(keypoints, dtype=np.float32), np.arange(len(keypoints))
    for joint in np.flatnonzero(~seen.all(axis=0)):
        at = times[seen[:, joint]]
        for axis in range(2):
            found[:, joint, axis] = np.interp(times, at, keypoints[at, joint, axis])
    return found


def compared(
    before: SkeletonSequence, after: Refined, truth: SkeletonSequence | None = None
) -> dict[str, float]:
    """What changed in a clip, as sums that add up over clips; empty if nothing did.

    Args:
        before: The clip.
        after: What became of it.
        truth: The true clip; with it the errors by action.
    """
    sums: dict[str, float] = defaultdict(float)
    for slot in after.persons:
        pair = [np.asarray(clip.positions[:, slot]) for clip in (before, after.clip)]
        sums["frames"] += len(pair[0])
        moved = np.linalg.norm(pair[1].astype(np.float64) - pair[0], axis=-1)
        sums["displacement"] += float(moved.mean(axis=-1).sum())
        for side, positions in zip(("before", "after"), pair, strict=True):
            _add_plausibility(sums, side, positions, before.layout, before.fps)
            if truth is not None:
                true, action = truth.positions[:, slot], before.label
                whole = np.isfinite(true).all(axis=(1, 2))
                got, true = positions[whole], true[whole]
                errors = mpjpe(got, true, root=before.layout.root)
                sums[f"mpjpe {side} {action}"] += float(errors.sum())
                sums[f"p_mpjpe {side} {action}"] += float(p_mpjpe(got, true).sum())
                sums[f"compared {side} {action}"] += len(got)
    return dict(sums)


def _add_plausibility(
    sums: dict[str, float],
    side: str,
    positions: NDArray[np.floating],
    layout: SkeletonLayout,
    fps: float,
) -> None:
    """Jitter and bone-length variation of a person, and how many persons have them."""
    jitter = float(mean_magnitude(positions[None], order=2, rate=fps)[0])
    bones = float(bone_length_variation(positions[None], layout.bones)[0])
    for what, value in (("jitter", jitter), ("bones", bones)):
        if np.isfinite(value):
            sums[f"{what} {side}"] += value
            sums[f"{what} persons {side}"] += 1


def _fault(clip: SkeletonSequence, slot: int, *, reads_keypoints: bool) -> str:
    """Why a person cannot be refined; empty if it can."""
    known = np.isfinite(clip.positions[:, slot]).all(axis=-1)
    missing = int((~known).sum())
    if not known.any():
        return _NOBODY
    if missing:
        return f"{missing} joints are missing; fill them first with `skelaug impute`"
    if not reads_keypoints:
        return ""
    if clip.keypoints is None or known_keypoints(clip.keypoints[:, slot]) is None:
        return "a joint of the 2D pose was never detected, and the model reads 2D poses"
    try:
        check_normalised(clip.keypoints[:, slot], where="2D pose")
    except DataError as error:
        return str(error)
    return ""


def _named(clip: SkeletonSequence, slot: int) -> str:
    return clip.name if clip.num_persons == 1 else f"{clip.name}, person {slot}"


def _track(clip: SkeletonSequence, slot: int, address: int, reads_keypoints: bool) -> PoseTrack:
    positions = clip.positions[:, slot]
    root = positions[:, [clip.layout.root]]
    keypoints = None
    if reads_keypoints and clip.keypoints is not None:
        keypoints = known_keypoints(clip.keypoints[:, slot])
    return PoseTrack(positions - root, keypoints, clip.fps, address, lone_performer(clip))


def _assembled(
    clip: SkeletonSequence,
    found: Mapping[int, NDArray[np.floating]],
    rejected: Sequence[Rejection],
    root_filter: Filter | None,
) -> Refined:
    if not found:
        return Refined(clip, (), tuple(rejected))
    positions = clip.positions.copy()
    for slot, poses in found.items():
        way = positions[:, slot, [clip.layout.root]]
        if root_filter is not None:
            way = np.asarray(root_filter(way, clip.fps), dtype=np.float32)
        positions[:, slot] = way + poses.astype(np.float32)
    # a synthetic clip stays one
    source = clip.source if clip.source is Source.SYNTHETIC else Source.REFINED
    done = clip.replaced(positions=positions, source=source)
    return Refined(done, tuple(found), tuple(rejected))
