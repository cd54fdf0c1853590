"""From coordinates as a user has them to a clip: units, the axis that points up, gaps, padding."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from skelaug.data.reading import Clip, DamagedError, Problem, as_float32, measured
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.sequence import UNKNOWN, SkeletonSequence

__all__ = ["RawClip", "RawFrame", "finished", "in_natural_order"]

# What each choice of the axis that points up makes of (x, y, z): a rotation, never a reflection.
# Each entry is (axis of the file, sign).
_TURNS: Mapping[str, tuple[tuple[int, int], ...]] = {
    "y": ((0, 1), (1, 1), (2, 1)),
    "-y": ((0, 1), (1, -1), (2, -1)),
    "z": ((0, 1), (2, 1), (1, -1)),
    "-z": ((0, 1), (2, -1), (1, 1)),
    "x": ((1, -1), (0, 1), (2, 1)),
    "-x": ((1, 1), (0, -1), (2, 1)),
}
_NEAR = 1.0


@dataclass(frozen=True)
class RawFrame:
    """What all clips of one file share.

    Attributes:
        layout: Their joints.
        fps: Frames per second.
        channels: What the last axis holds, e.g. ``xyz`` or ``xyc``.
        scale: Metres per unit.
        up: The axis that points up, e.g. ``-y``.
        classes: Their class names in order.
    """

    layout: SkeletonLayout
    fps: float
    channels: str
    scale: float = 1.0
    up: str = "y"
    classes: tuple[str, ...] = ()

    @property
    def in_camera(self) -> RawFrame:
        """The same for clips that are in metres and in their camera's frame."""
        return replace(self, scale=1.0, up="y")


@dataclass(frozen=True)
class RawClip:
    """One clip as it lies in the file.

    Attributes:
        values: T M V and one entry per channel.
        name: Of the clip.
        label: Class name; empty if unknown.
        subject: Number; -1 if unknown.
        camera: Number; -1 if unknown.
        is_padded: Whether empty frames at the end are padding.
        keypoints: T M V 2, normalised as `normalised_keypoints` does, or None.
        decisions: What the reader chose on the way.
    """

    values: NDArray[np.floating]
    name: str
    label: str = ""
    subject: int = UNKNOWN
    camera: int = UNKNOWN
    is_padded: bool = False
    keypoints: NDArray[np.floating] | None = None
    decisions: tuple[str, ...] = ()


def finished(raw: RawClip, frame: RawFrame, *, path: str) -> Clip:
    """The clip in metres with y up.

    A person that is absent in a frame (all its joints zero or not finite) is unobserved there,
    which is no problem; single joints that are zero or not finite, and frames without anybody,
    are. A joint at zero in a body around the origin is no gap: those data were centred.

    Raises:
        DamagedError: Nothing was measured in any frame.
    """
    has_confidence = frame.channels.endswith("c")
    values = np.asarray(raw.values, dtype=np.float64)
    confidence = values[..., -1].astype(np.float32) if has_confidence else None
    positions = (values[..., :-1] if has_confidence else values) * frame.scale
    observed = measured(positions) | _at_origin(positions)
    if confidence is not None:
        confidence = np.clip(np.nan_to_num(confidence), 0, 1)
        observed &= confidence > 0
    length = int(np.flatnonzero(observed.any(axis=(1, 2))).max(initial=-1)) + 1
    if length == 0:
        raise DamagedError(path, "expected at least one measured joint, got none")
    frames = slice(0, length if raw.is_padded else len(positions))
    slots, decisions = _persons(positions[frames], observed[frames])
    observed = observed[frames][:, slots]
    keypoints = raw.keypoints
    stored = as_float32(_upright(positions[frames][:, slots], frame.up))
    return Clip(
        SkeletonSequence(
            positions=stored,
            observed=observed & np.isfinite(stored).all(axis=-1),
            layout=frame.layout,
            fps=frame.fps,
            name=raw.name,
            label=raw.label,
            confidence=None if confidence is None else confidence[frames][:, slots],
            keypoints=None if keypoints is None else as_float32(keypoints[frames][:, slots]),
            subject=raw.subject,
            camera=raw.camera,
        ),
        problems=tuple(_problems(observed)),
        decisions=(*raw.decisions, *decisions),
        classes=frame.classes,
    )


def _at_origin(positions: NDArray[np.float64]) -> NDArray[np.bool_]:
    """T M V, True for joints at zero whose body surrounds the origin, as in centred data.

    A sensor at the origin is further than `_NEAR` from the middle of whom it sees.
    """
    zero = (positions == 0).all(axis=-1)
    if positions.shape[-1] < 3 or not zero.any():
        return np.zeros_like(zero)
    others = np.where(zero[..., None] | ~np.isfinite(positions), np.inf, np.abs(positions))
    middle = np.median(others, axis=2)  # infinite where less than half of the body is there
    return np.asarray(zero & (np.linalg.norm(middle, axis=-1) < _NEAR)[..., None])


def _persons(
    positions: NDArray[np.float64], observed: NDArray[np.bool_]
) -> tuple[list[int], tuple[str, ...]]:
    """The person slots that hold somebody, without exact copies of an earlier one."""
    slots: list[int] = []
    copies: list[int] = []
    for person in np.flatnonzero(observed.any(axis=(0, 2))).tolist():
        same = any(
            np.array_equal(positions[:, person], positions[:, other], equal_nan=True)
            for other in slots
        )
        (copies if same else slots).append(person)
    return slots, tuple(f"person {p} dropped: a copy of an earlier one" for p in copies)


def _upright(positions: NDArray[np.float64], up: str) -> NDArray[np.float64]:
    if positions.shape[-1] == 2:
        signs = np.array([1.0, -1.0 if up == "-y" else 1.0])
        return np.asarray(positions * signs, dtype=np.float64)
    return np.stack([sign * positions[..., axis] for axis, sign in _TURNS[up]], axis=-1)


def _problems(observed: NDArray[np.bool_]) -> Iterable[Problem]:
    present = np.asarray(observed.any(axis=2))
    gaps = present[..., None] & ~observed
    if gaps.any():
        frame = int(np.argwhere(gaps)[0, 0])
        yield Problem(f"{int(gaps.sum())} joints were not measured, the first in frame {frame}")
    empty = np.flatnonzero(~present.any(axis=1))
    if empty.size:
        yield Problem(f"{empty.size} frames without anybody, the first is {int(empty[0])}")


def in_natural_order(names: Iterable[str]) -> tuple[str, ...]:
    """Different names, sorted so that 2 comes before 10."""

    def key(name: str) -> tuple[tuple[int, int, str], ...]:
        return tuple(
            (0, int(part), "") if part.isdecimal() else (1, 0, part)
            for part in re.split(r"(\d+)", name)
            if part
        )

    return tuple(sorted(set(names), key=lambda name: (key(name), name)))
