"""What is missing in a sequence file: which joints count as measured, and what gaps are left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skelaug.data.store import SequenceFile
from skelaug.imputation.gaps import Gap, GapKind, find_gaps, gap_kinds
from skelaug.imputation.tracks import Track
from skelaug.progress import Advance
from skelaug.seeds import Stream, numpy_generator
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows.prediction_batches import Rejection

__all__ = ["FileGaps", "find_file_gaps", "measured_joints", "tracks_of", "unknown_persons"]

_KEPT = 1000  # gaps of a kind that are remembered


@dataclass(frozen=True)
class FileGaps:
    """What is missing in a file.

    Attributes:
        missing: Joints by kind of gap, counted over all frames.
        gaps: Some gaps of each kind, each as probable as any other.
        clips: Clips in which something is missing.
        rejected: Clips and persons of whom nothing is known, so that nothing can be filled.
    """

    missing: Mapping[GapKind, int]
    gaps: Mapping[GapKind, tuple[Gap, ...]]
    clips: int
    rejected: tuple[Rejection, ...]


def measured_joints(clip: SkeletonSequence, min_confidence: float = 0.0) -> NDArray[np.bool_]:
    """T M V: observed, finite, and of a confidence not below the least."""
    seen = clip.observed & np.isfinite(clip.positions).all(axis=-1)
    if clip.confidence is not None and min_confidence > 0:
        seen &= clip.confidence >= min_confidence  # NaN is not
    return np.asarray(seen, dtype=np.bool_)


def tracks_of(clip: SkeletonSequence, min_confidence: float) -> dict[int, Track]:
    """The persons of a clip by their slot; a slot in which nothing counts as measured is nobody."""
    seen = measured_joints(clip, min_confidence)
    return {
        int(person): Track(clip.positions[:, person], seen[:, person], clip.fps)
        for person in np.flatnonzero(seen.any(axis=(0, 2)))
    }


def unknown_persons(clip: SkeletonSequence, min_confidence: float) -> list[Rejection]:
    """The clip if nobody in it was measured, else those persons whose joints are all too unsure.

    Persons are numbered from 0, as along their axis in the file.
    """
    if not clip.num_frames:
        return [Rejection(name=clip.name, reason="it has no frames")]
    measured = tracks_of(clip, 0.0)
    if not measured:
        return [Rejection(name=clip.name, reason="no joint was measured in any frame")]
    known = tracks_of(clip, min_confidence)
    unsure = f"no joint has a confidence of {min_confidence:g}"
    if not known:
        return [Rejection(name=clip.name, reason=unsure)]
    lost = sorted(measured.keys() - known.keys())
    return [Rejection(name=clip.name, reason=f"person {p}: {unsure}") for p in lost]


def find_file_gaps(
    file: SequenceFile, *, min_confidence: float, seed: int, advance: Advance
) -> FileGaps:
    """Look through a file once, clip by clip.

    Args:
        file: The clips.
        min_confidence: A joint with less counts as missing.
        seed: Decides which gaps are remembered where there are many.
        advance: Counts clips.
    """
    generator = numpy_generator(seed, Stream.OCCLUSION)
    missing: Counter[GapKind] = Counter()
    met: Counter[GapKind] = Counter()
    gaps: dict[GapKind, list[Gap]] = {}
    clips, rejected = 0, []
    for clip in file:
        tracks = tracks_of(clip, min_confidence)
        rejected += unknown_persons(clip, min_confidence)
        clips += any(not track.observed.all() for track in tracks.values())
        for track in tracks.values():
            kinds, counts = np.unique(gap_kinds(track.observed), return_counts=True)
            missing.update(dict(zip(map(GapKind, kinds.tolist()), counts.tolist(), strict=True)))
            for gap in find_gaps(track.observed):
                met[gap.kind] += 1
                kept = gaps.setdefault(gap.kind, [])
                if len(kept) < _KEPT:
                    kept.append(gap)
                elif (place := int(generator.integers(met[gap.kind]))) < _KEPT:
                    kept[place] = gap
        advance()
    del missing[GapKind.MEASURED]
    return FileGaps(
        missing={kind: missing[kind] for kind in sorted(missing)},
        gaps={kind: tuple(gaps[kind]) for kind in sorted(gaps)},
        clips=clips,
        rejected=tuple(rejected),
    )
