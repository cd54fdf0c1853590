"""Gaps: stretches in which a joint was not measured, their kinds, and hiding more of the same.

What a method gets wrong can be measured only where the truth is known. So gaps like those that a
file has are cut into what it measured. A gap is hidden only where it keeps its kind: a short or
long one where both neighbouring frames are measured, and an open one so that something is left.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skelaug.seeds import Stream, numpy_generator
from skelaug.shapes import check_shape
from skelaug.skeleton.layout import SkeletonLayout

__all__ = ["SHORT_FRAMES", "Gap", "GapKind", "find_gaps", "gap_kinds", "hide_gap", "standard_gaps"]

SHORT_FRAMES = 10

_Mask = NDArray[np.bool_]


class GapKind(enum.IntEnum):
    """How much the surroundings of a missing entry say about it."""

    MEASURED = 0
    SHORT = 1  # at most SHORT_FRAMES frames, measured at both ends
    LONG = 2  # more frames, measured at both ends
    OPEN = 3  # up to the clip's first or last frame
    UNSEEN = 4  # a joint that was measured nowhere in the clip


@dataclass(frozen=True)
class Gap:
    """Joints that are missing over the same frames.

    Attributes:
        kind: Not `GapKind.MEASURED`.
        joints: Their indices.
        frames: How long; for `GapKind.UNSEEN` the clip.
    """

    kind: GapKind
    joints: tuple[int, ...]
    frames: int


def gap_kinds(observed: _Mask) -> NDArray[np.int8]:
    """For each entry T V the `GapKind` that it belongs to."""
    check_shape(observed, "T V", what="observed")
    before, after = _neighbours(observed)
    t = len(observed)
    kinds = np.where(after - before - 1 <= SHORT_FRAMES, GapKind.SHORT, GapKind.LONG)
    kinds[(before < 0) | (after == t)] = GapKind.OPEN
    kinds[:, ~observed.any(axis=0)] = GapKind.UNSEEN
    kinds[observed] = GapKind.MEASURED
    return kinds.astype(np.int8)


def find_gaps(observed: _Mask) -> tuple[Gap, ...]:
    """The gaps of a clip T V in the order of their first frames and joints.

    Joints whose gaps begin and end together are one gap. None where nothing was measured.
    """
    check_shape(observed, "T V", what="observed")
    if not observed.any():
        return ()
    before, after = _neighbours(observed)
    kinds = gap_kinds(observed)
    blocks: dict[tuple[int, int, int], list[int]] = {}
    first = ~observed & (before == np.arange(len(observed))[:, None] - 1)
    for frame, joint in np.argwhere(first).tolist():
        key = (frame, int(after[frame, joint]), int(kinds[frame, joint]))
        blocks.setdefault(key, []).append(joint)
    return tuple(
        Gap(GapKind(kind), tuple(joints), stop - start)
        for (start, stop, kind), joints in blocks.items()
    )


def standard_gaps(layout: SkeletonLayout) -> tuple[Gap, ...]:
    """Gaps for a file that has none of its own.

    One part of the body for 5, 10 and 25 frames and for 10 frames at an end; the whole body for 5
    and 10 frames and for 10 at an end; the outermost joint of a part in no frame.
    """
    parts = tuple(layout.parts.values()) or tuple((joint,) for joint in range(layout.num_joints))
    everything = tuple(range(layout.num_joints))
    gaps = [Gap(GapKind.SHORT, everything, frames) for frames in (5, 10)]
    gaps.append(Gap(GapKind.OPEN, everything, 10))
    for part in parts:
        gaps += [Gap(GapKind.SHORT, part, frames) for frames in (5, 10)]
        gaps += [Gap(GapKind.LONG, part, 25), Gap(GapKind.OPEN, part, 10)]
        gaps.append(Gap(GapKind.UNSEEN, part[-1:], 0))
    return tuple(gaps)


def hide_gap(observed: _Mask, gap: Gap, *, seed: int, clip: int) -> _Mask:
    """A gap like the given one, at a random place of what was measured.

    Its joints are the given ones where they can be hidden, else as many others; its length is the
    given one where the clip has room, else the longest of its halves that has room and keeps the
    kind. Nothing is hidden where there is no room at all.

    Args:
        observed: T V, True where measured.
        gap: What to imitate.
        seed: With `clip` the address of the draw.
        clip: Number of the clip.

    Returns:
        T V, True where an entry was measured and is hidden now. Without them, the entries are of
        the gap's kind (`gap_kinds`).
    """
    check_shape(observed, "T V", what="observed")
    generator = numpy_generator(seed, Stream.OCCLUSION, clip)
    if gap.kind is GapKind.UNSEEN:
        return _hide_joints(observed, gap.joints, generator)
    places = _between if gap.kind in (GapKind.SHORT, GapKind.LONG) else _at_an_end
    for frames in _lengths(gap, len(observed)):
        possible = places(observed, frames)
        joints = [j for j in gap.joints if possible[:, j].any()]
        if not joints:
            others = np.flatnonzero(possible.any(axis=0))
            joints = generator.permutation(others)[: len(gap.joints)].tolist()
        if joints:
            return _place(observed, possible[:, joints], joints, frames, generator=generator)
    return np.zeros_like(observed)


def _neighbours(observed: _Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each entry the frames T V of the last measured one up to it and of the next from it."""
    t, _ = observed.shape
    frame = np.arange(t)[:, None]
    before = np.maximum.accumulate(np.where(observed, frame, -1), axis=0)
    after = np.minimum.accumulate(np.where(observed, frame, t)[::-1], axis=0)[::-1]
    return before, after


def _lengths(gap: Gap, frames: int) -> Iterator[int]:
    """The gap's length, then its halves down to the least that its kind allows."""
    least = SHORT_FRAMES + 1 if gap.kind is GapKind.LONG else 1
    most = SHORT_FRAMES if gap.kind is GapKind.SHORT else gap.frames
    length = min(gap.frames, most, frames - (1 if gap.kind is GapKind.OPEN else 2))
    while length > least:
        yield length
        length //= 2
    if gap.frames >= least:
        yield least


def _between(observed: _Mask, frames: int) -> _Mask:
    """Where a gap may start: T V, False where it or a neighbouring frame is not measured."""
    t, v = observed.shape
    possible = np.zeros((t, v), dtype=np.bool_)
    if frames + 2 <= t:
        total = np.concatenate([np.zeros((1, v), dtype=np.int64), observed.cumsum(axis=0)])
        whole = total[frames + 2 :] - total[: -(frames + 2)] == frames + 2
        possible[1 : 1 + len(whole)] = whole
    return possible


def _at_an_end(observed: _Mask, frames: int) -> _Mask:
    """The same for a gap at an end of the clip: there is something to hide, and something left."""
    t, v = observed.shape
    possible = np.zeros((t, v), dtype=np.bool_)
    if frames < t:
        for start in (0, t - frames):
            inside = np.zeros(t, dtype=np.bool_)
            inside[start : start + frames] = True
            possible[start] = observed[inside].any(axis=0) & observed[~inside].any(axis=0)
    return possible


def _place(
    observed: _Mask,
    possible: _Mask,
    joints: Sequence[int],
    frames: int,
    *,
    generator: np.random.Generator,
) -> _Mask:
    """The gap at one of the starts at which most of its joints can be hidden."""
    fitting = possible.sum(axis=1)
    start = int(generator.choice(np.flatnonzero(fitting == fitting.max())))
    inside = np.zeros_like(observed)
    there = [joint for joint, fits in zip(joints, possible[start], strict=True) if fits]
    inside[start : start + frames, there] = True
    return inside & observed


def _hide_joints(observed: _Mask, joints: Sequence[int], generator: np.random.Generator) -> _Mask:
    """All that was measured of the joints, as long as another joint is left."""
    hidden = np.zeros_like(observed)
    measured = np.asarray(observed.any(axis=0))
    chosen = [joint for joint in joints if measured[joint]]
    if not chosen:
        chosen = generator.permutation(np.flatnonzero(measured))[: len(joints)].tolist()
    if len(chosen) < measured.sum():
        hidden[:, chosen] = observed[:, chosen]
    return hidden
