"""Clips as `eval` measures them: real and synthetic ones through one and the same preparation.

Gaps are filled, the root of the first frame becomes the origin, the mean left-to-right hip
direction of the first third is turned onto +x, and time is resampled to a common grid. Synthetic
clips that skipped a step of this would gain or lose by the preparation alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from skelaug.metrics.plausibility import mean_magnitude
from skelaug.skeleton.geometry import fill_missing, heading_angle, resample, rotate_about_y
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.skeleton.sequence import SkeletonSequence, Source

__all__ = ["PreparedClips", "bones_of", "measurable", "prepare_clip", "prepare_clips", "roots_of"]


@dataclass(frozen=True, eq=False)
class PreparedClips:
    """Prepared clips of one class list.

    Attributes:
        positions: float32 N T (M V) 3 in metres, persons one after the other; an absent person is
            NaN.
        labels: int64 N.
        native: Named numbers per clip taken at its own frame rate, N each.
        names: Unique names, N; by default the clips' numbers.
    """

    positions: NDArray[np.float32]
    labels: NDArray[np.int64]
    native: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.names:
            object.__setattr__(self, "names", tuple(map(str, range(len(self.labels)))))

    def __len__(self) -> int:
        return len(self.labels)


def measurable(sequence: SkeletonSequence) -> bool:
    """Whether a clip has two frames or more and a joint that was measured."""
    return sequence.num_frames >= 2 and bool(_known(sequence).any())


def _known(sequence: SkeletonSequence) -> NDArray[np.bool_]:
    """What counts as a position: what was measured, and what an imputation put in its place."""
    finite = np.asarray(np.isfinite(sequence.positions).all(axis=-1), dtype=np.bool_)
    return finite if sequence.source is Source.IMPUTED else finite & sequence.observed


def prepare_clip(
    sequence: SkeletonSequence, *, frames: int = 24, persons: int = 1
) -> tuple[NDArray[np.float64], dict[str, float]]:
    """One clip on the grid, T (M V) 3, and its speed (m/s) and acceleration (m/s²) before that.

    Present persons come first; slots that a clip lacks are NaN.
    """
    layout, known = sequence.layout, _known(sequence)
    present = np.flatnonzero(known.any(axis=(0, 2)))[:persons]
    filled = fill_missing(sequence.positions[:, present], known[:, present], layout)
    angle = heading_angle(filled[:, 0], layout)
    turned = rotate_about_y(filled - filled[0, 0, layout.root], -angle)
    on_grid = np.full((frames, persons, *turned.shape[2:]), np.nan)
    on_grid[:, : len(present)] = resample(turned, frames)
    at_source = turned.reshape(1, len(turned), -1, 3)
    native = {
        name: float(mean_magnitude(at_source, order=order, rate=sequence.fps)[0])
        for name, order in (("velocity_m_s", 1), ("acceleration_m_s2", 2))
    }
    return on_grid.reshape(frames, -1, 3), native


def prepare_clips(
    labelled: Iterable[tuple[SkeletonSequence, int]], *, frames: int = 24, persons: int = 1
) -> PreparedClips:
    """Many clips with their labels, read and prepared one at a time; each must be `measurable`."""
    positions, labels, names, native = [], [], [], []
    for sequence, label in labelled:
        on_grid, numbers = prepare_clip(sequence, frames=frames, persons=persons)
        positions.append(on_grid.astype(np.float32))
        labels.append(label)
        names.append(sequence.name)
        native.append(numbers)
    kinds = native[0] if native else {}
    return PreparedClips(
        np.stack(positions) if positions else np.empty((0, frames, 0, 3), dtype=np.float32),
        np.array(labels, dtype=np.int64),
        {kind: np.array([one[kind] for one in native]) for kind in kinds},
        tuple(names),
    )


def bones_of(layout: SkeletonLayout, persons: int = 1) -> tuple[tuple[int, int], ...]:
    """The bones (child, parent) of all person slots of prepared clips."""
    v = layout.num_joints
    return tuple((c + m * v, p + m * v) for m in range(persons) for c, p in layout.bones)


def roots_of(layout: SkeletonLayout, persons: int = 1) -> NDArray[np.intp]:
    """For each joint of prepared clips the root of its own person."""
    v = layout.num_joints
    return np.repeat(layout.root + v * np.arange(persons, dtype=np.intp), v)
