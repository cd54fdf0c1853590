"""Stretches of clips in which everything was measured, to hide some of it and see how it is filled.

What is left out is counted, and why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from skelaug.data.store import SequenceFile
from skelaug.errors import DataError
from skelaug.imputation.tracks import Track
from skelaug.imputation.windows import steps_between
from skelaug.skeleton.sequence import SkeletonSequence
from skelaug.workflows.file_gaps import tracks_of

__all__ = ["StudyWindows", "WholeWindow", "whole_clips", "whole_stretches", "whole_windows"]

_Cut = Callable[[Track], Track | str]
"""From a person of a clip to a whole stretch, or why there is none."""


@dataclass(frozen=True, eq=False)
class WholeWindow:
    """A stretch of a clip in which every joint of a person was measured.

    Attributes:
        row: Number of the clip in its file.
        track: The stretch.
    """

    row: int
    track: Track


@dataclass(frozen=True, eq=False)
class StudyWindows:
    """Whole stretches of the clips of a file, at most one of each person.

    Attributes:
        windows: The stretches, at least one.
        found: How many there were before `spread` took some.
        left_out: Persons without one by the reason; a clip of nobody counts as one.
    """

    windows: tuple[WholeWindow, ...]
    found: int
    left_out: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.windows)

    def __iter__(self) -> Iterator[WholeWindow]:
        return iter(self.windows)

    @property
    def tracks(self) -> list[Track]:
        """The stretches alone."""
        return [one.track for one in self.windows]

    def spread(self, most: int | None) -> StudyWindows:
        """At most so many of them, evenly spread; all for None.

        Raises:
            ValueError: None are wanted.
        """
        if most is not None and most < 1:
            raise ValueError(f"most: expected at least 1, got {most}")
        count = len(self.windows) if most is None else min(most, len(self.windows))
        chosen = np.linspace(0, len(self.windows) - 1, count).round().astype(int)
        return replace(self, windows=tuple(self.windows[n] for n in chosen.tolist()))

    def __str__(self) -> str:
        taken = "" if len(self) == self.found else f" of {self.found}, evenly spread"
        why = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items())
        return f"{len(self)} stretches{taken}; left out: {why or 'none'}"


def whole_windows(
    file: SequenceFile, rows: Sequence[int], *, frames: int, fps: float
) -> StudyWindows:
    """One window of each person of each clip, as near to the clip's middle as it is whole.

    A clip of a higher rate is read in strides.

    Args:
        file: The clips.
        rows: Which of them.
        frames: Of a window.
        fps: Of its frames.

    Raises:
        DataError: There is none.
    """
    wanted = f"{frames} frames at {fps:g} per second"

    def cut(track: Track) -> Track | str:
        stride = steps_between(track.fps, fps)
        return _middle(_every(track, stride), frames, wanted=wanted)

    return _collected(file, rows, cut, wanted=wanted)


def whole_stretches(file: SequenceFile, rows: Sequence[int], *, seconds: float) -> StudyWindows:
    """Like `whole_windows`, of so many seconds at the rate of each clip.

    Args:
        file: The clips.
        rows: Which of them.
        seconds: Of a stretch.

    Raises:
        DataError: There is none.
    """
    wanted = f"{seconds:g} seconds"

    def cut(track: Track) -> Track | str:
        return _middle(track, max(round(seconds * track.fps), 1), wanted=wanted)

    return _collected(file, rows, cut, wanted=wanted)


def whole_clips(file: SequenceFile, rows: Sequence[int]) -> StudyWindows:
    """The clips of one person each in which nothing is missing, from end to end.

    Args:
        file: The clips.
        rows: Which of them.

    Raises:
        DataError: There is none.
    """

    def cut(track: Track) -> Track | str:
        return track if track.is_whole else "with gaps"

    return _collected(file, rows, cut, wanted="whole clips", one_person=True)


def _collected(
    file: SequenceFile, rows: Sequence[int], cut: _Cut, *, wanted: str, one_person: bool = False
) -> StudyWindows:
    found: list[WholeWindow] = []
    left_out: Counter[str] = Counter()
    for row in rows:
        for part in _persons(file[row], cut, one_person=one_person):
            if isinstance(part, str):
                left_out[part] += 1
            else:
                found.append(WholeWindow(row, part))
    if not found:
        why = ", ".join(f"{count} {reason}" for reason, count in left_out.items()) or "no clip"
        raise DataError(
            f"{file.path}: expected {wanted} in which everything was measured, got none in "
            f"{len(rows)} clips ({why}); choose other clips"
        )
    return StudyWindows(tuple(found), len(found), dict(left_out))


def _persons(clip: SkeletonSequence, cut: _Cut, *, one_person: bool) -> Iterator[Track | str]:
    tracks = tracks_of(clip, 0.0)
    if not tracks:
        yield "of nobody"
    elif one_person and len(tracks) > 1:
        yield "of several persons"
    else:
        yield from map(cut, tracks.values())


def _every(track: Track, stride: int) -> Track:
    return Track(track.positions[::stride], track.observed[::stride], track.fps / stride)


def _middle(track: Track, frames: int, *, wanted: str) -> Track | str:
    """The whole stretch of so many frames that is nearest to the middle."""
    whole: NDArray[np.bool_] = np.asarray(track.observed.all(axis=1))
    if len(whole) < frames:
        return f"shorter than {wanted}"
    starts = np.flatnonzero(sliding_window_view(whole, frames).all(axis=1))
    if not len(starts):
        return f"with gaps in all {wanted}"
    start = starts[np.abs(starts - (len(whole) - frames) / 2).argmin()]
    span = slice(start, start + frames)
    return Track(track.positions[span], track.observed[span], track.fps)
