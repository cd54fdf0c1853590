"""Distances between clips, and whether synthetic clips are copies of training clips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from skelaug.shapes import check_shape

__all__ = ["Nearest", "nearest", "nearest_other", "root_relative"]

CHUNK = 256


@dataclass(frozen=True)
class Nearest:
    """The nearest reference clip of each query.

    Attributes:
        distances: N, metres.
        indices: N, positions in the reference.
    """

    distances: NDArray[np.float64]
    indices: NDArray[np.int64]


def root_relative(positions: NDArray[np.floating], root: int) -> NDArray[np.float32]:
    """Positions N T V C minus the root of the same frame; absent joints (NaN) become 0."""
    check_shape(positions, "N T V C", what="positions")
    relative = positions - positions[:, :, root : root + 1]
    return np.nan_to_num(relative, nan=0.0).astype(np.float32)


def nearest(queries: NDArray[np.floating], reference: NDArray[np.floating]) -> Nearest:
    """For each query the reference clip at the least mean distance per joint and frame.

    d(a, b) = mean over t, v of ||a_tv - b_tv||, in metres. Both sides must have gone through the
    same preparation (`root_relative` on a common frame grid). Memory does not grow with the number
    of queries.

    Args:
        queries: N T V C.
        reference: M T V C.

    Raises:
        ValueError: The reference is empty, or frames, joints or coordinates differ.
    """
    return _nearest(queries, reference, np.full(len(queries), -1))


def nearest_other(clips: NDArray[np.floating], queries: NDArray[np.integer]) -> Nearest:
    """For each of some clips the nearest of all *other* clips (leave one out), as in `nearest`.

    Args:
        clips: N T V C, at least two.
        queries: Indices of the clips to ask for.

    Raises:
        ValueError: There are fewer than two clips.
    """
    if len(clips) < 2:
        raise ValueError(f"clips: expected at least 2, got {len(clips)}")
    return _nearest(clips[queries], clips, np.asarray(queries))


def _nearest(
    queries: NDArray[np.floating], reference: NDArray[np.floating], skip: NDArray[np.integer]
) -> Nearest:
    check_shape(queries, "N T V C", what="queries")
    _, t, v, c = queries.shape
    check_shape(reference, "M T V C", what="reference", T=t, V=v, C=c)
    if len(reference) == 0:
        raise ValueError("reference: expected at least one clip, got none")
    points = _by_point(reference)
    distances = np.empty(len(queries))
    indices = np.empty(len(queries), dtype=np.int64)
    for start in range(0, len(queries), CHUNK):
        part = slice(start, start + CHUNK)
        table = _distance_table(_by_point(queries[part]), points)
        rows = np.flatnonzero(skip[part] >= 0)
        table[rows, skip[part][rows]] = np.inf
        indices[part] = table.argmin(axis=1)
        distances[part] = table.min(axis=1)
    return Nearest(distances, indices)


def _by_point(clips: NDArray[np.floating]) -> NDArray[np.floating]:
    """N T V C as TV N C, contiguous: one small distance table per joint and frame."""
    n, t, v, c = clips.shape
    return np.ascontiguousarray(clips.reshape(n, t * v, c).swapaxes(0, 1))


def _distance_table(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    table = np.zeros((a.shape[1], b.shape[1]))
    for left, right in zip(a, b, strict=True):
        table += cdist(left, right)
    return table / len(a)
