"""How much the clips of a file look like what a prior has learnt, some clips at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from skelaug.data.store import SequenceFile
from skelaug.errors import DataError
from skelaug.imputation.prior import Density
from skelaug.imputation.tracks import Track
from skelaug.imputation.typicality import log_densities
from skelaug.progress import Advance
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows.file_gaps import tracks_of
from skelaug.workflows.motion_prior import TrainedPrior, UsualDensity

__all__ = ["FEWEST", "ScoredClip", "score_clips", "usual_of_file"]

FEWEST = 8  # clips that a mean and a spread take
_TOGETHER = 4096  # frames of clips that go through the network together


class ScoredClip(NamedTuple):
    """A clip and its scores.

    Attributes:
        clip: The clip.
        persons: By their slot what was measured of each and its log-density in nats, the mean over
            windows; empty where nothing was measured.
    """

    clip: SkeletonSequence
    persons: Mapping[int, tuple[Track, float]]


def score_clips(
    prior: TrainedPrior,
    file: SequenceFile,
    rows: Sequence[int],
    *,
    by: Density,
    min_confidence: float,
) -> Iterator[list[ScoredClip]]:
    """The scores of clips in their order, as many at a time as the network takes at once.

    Args:
        prior: The model, of the joints of the file.
        file: The clips.
        rows: Which of them.
        by: The log-density.
        min_confidence: A joint with less counts as missing.
    """
    for clips in _groups(file, rows):
        tracks = [tracks_of(clip, min_confidence) for clip in clips]
        people = [track for own in tracks for track in own.values()]
        found = log_densities(prior.network, prior.form, people, device=prior.device)
        values = iter(getattr(found, by).tolist())
        yield [
            ScoredClip(clip, {slot: (track, next(values)) for slot, track in own.items()})
            for clip, own in zip(clips, tracks, strict=True)
        ]


def _groups(file: SequenceFile, rows: Sequence[int]) -> Iterator[list[SkeletonSequence]]:
    clips: list[SkeletonSequence] = []
    frames = 0
    for row in rows:
        clips.append(file[row])
        frames += clips[-1].num_frames
        if frames >= _TOGETHER:
            yield clips
            clips, frames = [], 0
    if clips:
        yield clips


def usual_of_file(
    prior: TrainedPrior, file: SequenceFile, *, by: Density, min_confidence: float, advance: Advance
) -> UsualDensity:
    """What the clips of a file score; as in training, every person of a clip counts.

    Args:
        prior: The model, of the joints of the file.
        file: Clips that nothing is wrong with.
        by: The log-density.
        min_confidence: A joint with less counts as missing.
        advance: Counts clips.

    Raises:
        DataError: The file has fewer than `FEWEST` clips with measured joints, or all score alike.
    """
    scores: list[float] = []
    clips, rows = 0, range(len(file))
    for group in score_clips(prior, file, rows, by=by, min_confidence=min_confidence):
        scores += [score for one in group for _, score in one.persons.values()]
        clips += sum(bool(one.persons) for one in group)
        advance(len(group))
    if clips < FEWEST:
        raise DataError(
            f"{file.path}: expected at least {FEWEST} clips with measured joints to say what is "
            f"usual, got {clips}; add clips, or leave out --like"
        )
    mean, std = float(np.mean(scores)), float(np.std(scores))
    if not std > 0:
        raise DataError(
            f"{file.path}: expected clips of different log-{by}, got {mean:.6g} for all"
        )
    return UsualDensity(mean, std, clips)
