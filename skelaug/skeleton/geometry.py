"""Geometry of clips in numpy: gaps, heading, rotation about the vertical, resampling, bone lengths.

All functions take any dtype and compute in float64. Axes are right-handed with y up.
"""

from __future__ import annotations

import functools
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline, PchipInterpolator

from skelaug.shapes import check_shape
from skelaug.skeleton.layout import SkeletonLayout

__all__ = [
    "Interpolation",
    "bone_lengths",
    "fill_missing",
    "heading_angle",
    "resample",
    "rotate_about_y",
]

Interpolation = Literal["linear", "cubic", "pchip"]

_NO_HEADING = 1e-6
_SHORT = 64


def fill_missing(
    positions: NDArray[Any], observed: NDArray[np.bool_], layout: SkeletonLayout
) -> NDArray[np.float64]:
    """The positions with every gap filled; observed ones are not changed.

    A gap is filled linearly in time and held at the clip's ends. A joint that was never observed
    takes the position of its nearest observed ancestor; above all observed joints, their mean. A
    person of whom nothing was observed is all zeros.

    Args:
        positions: T M V C; unobserved entries may hold anything, NaN included.
        observed: T M V.
        layout: The tree of the joints.
    """
    t, m, v, _ = positions.shape
    check_shape(observed, "T M V", what="observed", T=t, M=m, V=v)
    filled = np.array(positions, dtype=np.float64)
    if observed.all():
        return filled
    filled[~observed] = 0
    ever = np.asarray(observed.any(axis=0), dtype=np.bool_)
    anyone = np.asarray(ever.any(axis=1), dtype=np.bool_)
    whole = np.asarray(ever.all(axis=1), dtype=np.bool_)
    for person, joint in np.argwhere(ever & ~observed.all(axis=0)):
        times = np.flatnonzero(observed[:, person, joint])
        for values in filled[:, person, joint].T:
            values[:] = np.interp(np.arange(t), times, values[times])
    for person in np.flatnonzero(anyone & ~whole):
        known = ever[person].copy()
        if not known[layout.root]:
            filled[:, person, layout.root] = filled[:, person, known].mean(axis=1)
            known[layout.root] = True
        for joint in layout.tree_order:
            if not known[joint]:
                filled[:, person, joint] = filled[:, person, layout.parents[joint]]
    return filled


def heading_angle(positions: NDArray[Any], layout: SkeletonLayout) -> float:
    """Angle about y, in radians, that turns +x onto the direction from the left to the right hip.

    The direction is the mean over the first third of the clip, in the horizontal plane. The angle
    is 0 where the layout names no hips, or where they coincide seen from above.

    Args:
        positions: T V C of one person, without gaps.
        layout: Names the hips.
    """
    check_shape(positions, "T V C", what="positions", V=layout.num_joints)
    if layout.hip_indices is None or positions.shape[-1] != 3:
        return 0.0
    left, right = layout.hip_indices
    first = positions[: -(-len(positions) // 3)].astype(np.float64)
    x, _, z = (first[:, right] - first[:, left]).mean(axis=0)
    return float(np.arctan2(-z, x)) if np.hypot(x, z) > _NO_HEADING else 0.0


def rotate_about_y(positions: NDArray[Any], angle: float) -> NDArray[np.float64]:
    """The positions ... C turned by a right-handed rotation about +y (radians).

    A quarter turn takes +z to +x and +x to -z.
    """
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])
    return np.asarray(positions.astype(np.float64) @ turn.T, dtype=np.float64)


def resample(
    array: NDArray[Any], frames: int, *, interpolation: Interpolation = "linear"
) -> NDArray[np.float64]:
    """The array's first axis at `frames` equally spaced times, first and last frame kept.

    An array of that many frames comes back unchanged; one frame is repeated.

    Args:
        array: T ... without gaps.
        frames: Length of the result, at least 1; a single frame is the first one.
        interpolation: Between the given frames ``linear``; ``cubic``, the natural spline, whose
            acceleration is continuous; or ``pchip``, which never overshoots.

    Raises:
        ValueError: The array or the result is empty.
    """
    t = len(array)
    if t < 1 or frames < 1:
        raise ValueError(f"resample: expected at least one frame, got {t} in and {frames} out")
    values = np.asarray(array, dtype=np.float64)
    if frames == t or t == 1:
        return np.repeat(values, frames, axis=0) if t == 1 else values.copy()
    times = np.linspace(0, t - 1, frames)
    if interpolation == "cubic" and t <= _SHORT:
        return np.asarray(np.tensordot(_spline(t, frames), values, axes=1))
    if interpolation == "cubic":
        return np.asarray(CubicSpline(np.arange(t), values, bc_type="natural")(times))
    if interpolation == "pchip":
        return np.asarray(PchipInterpolator(np.arange(t), values)(times))
    before = np.minimum(times.astype(np.intp), t - 2)
    weight = (times - before).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(values[before] * (1 - weight) + values[before + 1] * weight)


@functools.lru_cache(maxsize=256)
def _spline(t: int, frames: int) -> NDArray[np.float64]:
    """The natural spline through `t` values as a matrix, frames t: it is linear in the values."""
    spline = CubicSpline(np.arange(t), np.eye(t), bc_type="natural")
    return np.asarray(spline(np.linspace(0, t - 1, frames)))


def bone_lengths(positions: NDArray[Any], layout: SkeletonLayout) -> NDArray[np.float64]:
    """Length of each bone, ... (V - 1) in the order of `layout.bones`, of positions ... V C."""
    children, parents = np.array(layout.bones, dtype=np.intp).reshape(-1, 2).T
    values = positions.astype(np.float64)
    bones = values[..., children, :] - values[..., parents, :]
    return np.asarray(np.linalg.norm(bones, axis=-1), dtype=np.float64)
