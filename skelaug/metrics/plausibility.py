"""Whether a motion could be a body's: bones keep their length, joints move and accelerate alike.

Absent persons are NaN and count nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skelaug.shapes import check_shape

__all__ = ["bone_length_variation", "mean_magnitude"]

SHORTEST_BONE = 1e-3


def bone_length_variation(
    positions: NDArray[np.floating], bones: Sequence[tuple[int, int]]
) -> NDArray[np.float64]:
    """Mean over bones of std_t(length) / mean_t(length), a fraction, one per clip.

    Zero for a body of rigid bones. Bones shorter than 1 mm on average (joints that coincide in some
    layouts) and bones of absent persons are left out.

    Args:
        positions: N T V C in metres.
        bones: Pairs (child, parent) of joint indices.

    Returns:
        N fractions; NaN for a clip without any bone.
    """
    check_shape(positions, "N T V C", what="positions")
    child, parent = (np.array(side, dtype=np.intp) for side in zip(*bones, strict=True))
    array = np.asarray(positions, dtype=np.float64)
    lengths = np.linalg.norm(array[:, :, child] - array[:, :, parent], axis=-1)
    mean, spread = lengths.mean(axis=1), lengths.std(axis=1)
    counts = np.isfinite(mean) & (mean > SHORTEST_BONE)
    ratio = np.divide(spread, mean, out=np.zeros_like(mean), where=counts)
    return _mean_of(ratio, counts)


def mean_magnitude(
    positions: NDArray[np.floating], *, order: int, rate: float = 1.0
) -> NDArray[np.float64]:
    """Mean over frames and joints of ||Δ^order x|| rate^order, one per clip.

    Order 1 is the velocity x_{t+1} - x_t, order 2 the acceleration x_{t+1} - 2 x_t + x_{t-1}, order
    3 the jerk. Second differences of a parabola are exact.

    Args:
        positions: N T V C in metres.
        order: Which derivative, 1 to 3.
        rate: Frames per second for m/s^order; 1 for metres per frame^order.

    Returns:
        N numbers; NaN for a clip of `order` frames or fewer.
    """
    check_shape(positions, "N T V C", what="positions")
    n, t = positions.shape[:2]
    if not 1 <= order <= 3:
        raise ValueError(f"order: expected 1, 2 or 3, got {order}")
    if t <= order:
        return np.full(n, np.nan)
    steps = np.linalg.norm(np.diff(np.asarray(positions, dtype=np.float64), order, axis=1), axis=-1)
    steps = steps.reshape(n, -1)
    return _mean_of(steps, np.isfinite(steps)) * rate**order


def _mean_of(values: NDArray[np.float64], counts: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Row means over the entries that count; NaN for a row without any."""
    total = counts.sum(axis=1)
    means = np.full(len(values), np.nan)
    np.divide(values.sum(axis=1, where=counts), total, out=means, where=total > 0)
    return means
