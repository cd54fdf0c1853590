"""Filling gaps without a network: mean, hold, linear and cubic interpolation along time.

A joint that the clip never shows has nothing to interpolate. It takes its place in the mean motion,
moved along with the root; a root that is missing in all frames is placed by the measured joints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from skelaug.shapes import check_shape

__all__ = [
    "FILLERS",
    "Filler",
    "fill_cubic",
    "fill_hold",
    "fill_linear",
    "fill_mean",
    "root_by_joints",
]

_NEAR = 0.05  # metres: a joint on the root itself counts no more than one beside it

_Positions = NDArray[np.floating]
_Mask = NDArray[np.bool_]
# measured frames K, their positions K 3, number of frames T -> T 3
_Interpolation = Callable[[NDArray[np.int64], _Positions, int], _Positions]


class Filler(Protocol):
    """A way to fill the gaps of one person's clip."""

    def __call__(
        self, positions: _Positions, observed: _Mask, mean: _Positions, *, root: int
    ) -> _Positions:
        """The clip with its gaps filled, T V 3, a new array.

        Where anything was measured nothing is left missing, and what was measured keeps its bits.

        Args:
            positions: T V 3 in metres; only what was measured is read.
            observed: T V, True where measured.
            mean: The mean motion in the clip's body frames, T V 3 (`mean_motions`). NaN where none
                is known: then what needs it is left NaN.
            root: The joint that carries the others along.

        Returns:
            NaN everywhere where nothing was measured.
        """
        ...


def fill_mean(positions: _Positions, observed: _Mask, mean: _Positions, *, root: int) -> _Positions:
    """The training mean of each joint relative to the root (Bourached et al. 2022, sec. 5.2).

    A missing root is at its mean place in the body frame, not interpolated. See `Filler`.
    """
    _check(positions, observed, mean)
    if not observed.any():
        return np.full_like(positions, np.nan)
    at_root = np.where(observed[:, root, None], positions[:, root], mean[:, root])
    offsets = mean - mean[:, root, None]
    filled = at_root[:, None] + offsets
    return np.where(observed[..., None], positions, filled).astype(positions.dtype)


def fill_hold(positions: _Positions, observed: _Mask, mean: _Positions, *, root: int) -> _Positions:
    """The last measured place, and before the first one that one. See `Filler`."""
    return _fill(positions, observed, mean, root=root, interpolation=_hold)


def fill_linear(
    positions: _Positions, observed: _Mask, mean: _Positions, *, root: int
) -> _Positions:
    """On the line between the measured places before and after; held at the ends. See `Filler`."""
    return _fill(positions, observed, mean, root=root, interpolation=_linear)


def fill_cubic(
    positions: _Positions, observed: _Mask, mean: _Positions, *, root: int
) -> _Positions:
    """On the natural cubic spline through all measured places; held at the ends. See `Filler`.

    It is not extended beyond the first and the last measured frame, where cubics run away.
    """
    return _fill(positions, observed, mean, root=root, interpolation=_cubic)


FILLERS: Mapping[str, Filler] = {
    "mean": fill_mean,
    "hold": fill_hold,
    "linear": fill_linear,
    "cubic": fill_cubic,
}


def _fill(
    positions: _Positions,
    observed: _Mask,
    mean: _Positions,
    *,
    root: int,
    interpolation: _Interpolation,
) -> _Positions:
    _check(positions, observed, mean)
    if not observed.any():
        return np.full_like(positions, np.nan)
    t, v = observed.shape
    offsets = mean - mean[:, root, None]
    filled = positions.copy()
    unseen = []
    for joint in range(v):
        frames = np.flatnonzero(observed[:, joint])
        if len(frames) == 0:
            unseen.append(joint)
        elif len(frames) < t:
            lost = ~observed[:, joint]
            filled[lost, joint] = interpolation(frames, positions[frames, joint], t)[lost]
    if root in unseen:
        votes, are_any = root_by_joints(positions, observed, offsets, root=root)
        frames = np.flatnonzero(are_any)
        filled[:, root] = _linear(frames, votes[frames], t) if len(frames) else np.nan
    for joint in unseen:
        filled[:, joint] = filled[:, root] + offsets[:, joint]
    return filled


def root_by_joints(
    positions: _Positions, observed: _Mask, offsets: _Positions, *, root: int
) -> tuple[_Positions, _Mask]:
    """Where the measured joints put the root, frame by frame, and whether there were any.

    Each says its place less its offset; they count by the inverse square of their distance from the
    root, since a hand says less about the hip than the spine does.

    Args:
        positions: T V 3 in metres.
        observed: T V; what it says of the root is not used.
        offsets: From the root to each joint as far as known, T V 3.
        root: Index of the root.

    Returns:
        T 3, 0 in frames without a measured joint; and T, False for those.
    """
    distance = np.square(offsets).sum(axis=-1).mean(axis=0)
    weight = observed / np.maximum(distance, _NEAR**2)
    weight[:, root] = 0
    total = weight.sum(axis=1)
    apart = np.where(observed[..., None], positions - offsets, 0.0)
    votes = np.einsum("tv,tvc->tc", weight, apart) / np.where(total > 0, total, 1)[:, None]
    return votes, total > 0


def _hold(frames: NDArray[np.int64], values: _Positions, t: int) -> _Positions:
    last = np.searchsorted(frames, np.arange(t), side="right") - 1
    return values[np.maximum(last, 0)]


def _linear(frames: NDArray[np.int64], values: _Positions, t: int) -> _Positions:
    time = np.arange(t)
    return np.stack([np.interp(time, frames, values[:, c]) for c in range(3)], axis=-1)


def _cubic(frames: NDArray[np.int64], values: _Positions, t: int) -> _Positions:
    if len(frames) < 2:
        return _hold(frames, values, t)
    spline = CubicSpline(frames, values.astype(np.float64), bc_type="natural")
    return np.asarray(spline(np.clip(np.arange(t), frames[0], frames[-1])))


def _check(positions: _Positions, observed: _Mask, mean: _Positions) -> None:
    check_shape(positions, "T V C", what="positions", C=3)
    t, v, _ = positions.shape
    check_shape(observed, "T V", what="observed", T=t, V=v)
    check_shape(mean, "T V C", what="mean", T=t, V=v, C=3)
