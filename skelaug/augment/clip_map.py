"""A change of a clip that is linear along each of its axes: other times, joints, coordinates.

A clip T M V C is read at other times, its joints are mixed by a matrix V V, and its coordinates are
moved by a matrix C C and a shift. Such maps act on different axes, so a chain of them is one such
map and costs one pass over the clip, however many operations it is made of.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Clip", "ClipMap", "present"]

Matrix = NDArray[np.float64]
Clip = NDArray[np.floating[Any]]


class ClipMap(NamedTuple):
    """Other times, joints and coordinates; None leaves an axis as it is.

    Attributes:
        times: T', the frame numbers of the clip, fractions too, that are read one after the other.
        joints: V V, rows summing to 1: what each joint is made of. A mixture whose rows sum to 1
            commutes with the shift.
        matrix: C C, on columns.
        shift: C, after the matrix. It leaves out persons that are all zeros: they are absent.
    """

    times: Matrix | None = None
    joints: Matrix | None = None
    matrix: Matrix | None = None
    shift: Matrix | None = None

    def then(self, other: ClipMap) -> ClipMap:
        """This map followed by another one, as one map.

        The clip is read once, at the times of the chain, so that its frames are not interpolated
        from interpolated ones.
        """
        times, shift = self.times, self.shift
        if other.times is not None:
            times = other.times if times is None else _at(times, other.times)
        if other.matrix is not None and shift is not None:
            shift = other.matrix @ shift
        if other.shift is not None:
            shift = other.shift if shift is None else shift + other.shift
        return ClipMap(
            times, _product(other.joints, self.joints), _product(other.matrix, self.matrix), shift
        )

    def __call__(self, positions: Clip) -> Clip:
        """The clip T' M V C, in the precision of the positions T M V C, which stay as they are."""
        moved = positions if self.times is None else _read(positions, self.times)
        shape, dtype = moved.shape, moved.dtype
        _, _, v, c = shape
        if self.joints is not None:
            # joints and coordinates in one product over rows of V C numbers
            joints = self.joints.T.astype(dtype)
            matrix = np.eye(c, dtype=dtype) if self.matrix is None else self.matrix.T.astype(dtype)
            both = (joints[:, None, :, None] * matrix[:, None, :]).reshape(v * c, v * c)
            moved = (moved.reshape(-1, v * c) @ both).reshape(shape)
        elif self.matrix is not None:
            moved = (moved.reshape(-1, c) @ self.matrix.T.astype(dtype)).reshape(shape)
        if self.shift is not None:
            shift = np.empty(shape[1:], dtype)
            shift[:] = self.shift
            moved = moved + shift * present(positions)
        return moved


def present(positions: Clip) -> NDArray[np.bool_]:
    """For each person of a clip T M V C whether any coordinate is not zero, M 1 1."""
    return np.asarray(positions.any(axis=(0, 2, 3)), dtype=np.bool_)[:, None, None]


def _product(after: Matrix | None, before: Matrix | None) -> Matrix | None:
    if after is None or before is None:
        return before if after is None else after
    return after @ before


def _at(values: Matrix, times: Matrix) -> Matrix:
    return np.interp(times, np.arange(len(values)), values)


def _read(positions: Clip, times: Matrix) -> Clip:
    """The frames at the given times, linear between frames and exact on them."""
    before = times.astype(np.intp)
    weight = (times - before).astype(positions.dtype)
    start = positions.take(before, axis=0)
    if not weight.any():
        return start
    moved = positions.take(np.minimum(before + 1, len(positions) - 1), axis=0)
    moved -= start
    moved *= weight[:, None, None, None]
    moved += start
    return moved
