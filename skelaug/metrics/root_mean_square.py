"""A root mean square over clips and how far it may be off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skelaug.metrics.paired import ratio_of_means

__all__ = ["RootMeanSquare", "root_mean_square"]


@dataclass(frozen=True)
class RootMeanSquare:
    """A root mean square with its 95 % interval.

    Attributes:
        value: Over all entries of all clips.
        low: Lower end of the interval.
        high: Upper end of it; infinite for a single clip, which can show no spread.
        clips: Their number.
    """

    value: float
    low: float
    high: float
    clips: int


def root_mean_square(
    sums: Sequence[float] | NDArray[np.floating], counts: Sequence[float] | NDArray[np.integer]
) -> RootMeanSquare:
    """The root r of the mean square m of what clips sum up, with an interval over the clips.

    A clip's entries hang together, so the clips are the sample. With h the half width of the ratio
    of means (`ratio_of_means`), log m errs by h / m to first order, and the interval is
    r exp(± h / 2m): never below 0, the same in any unit, and wider above, where sums of squares err
    more.

    Args:
        sums: Of the squares of each clip.
        counts: Entries of each clip, whose sum is not 0.

    Raises:
        ValueError: There are no clips, the lists differ in length, a number is not finite or below
            0, or there are no entries.
    """
    one, other = np.asarray(sums, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    if (one < 0).any() or (other < 0).any():
        raise ValueError("sums and counts: expected numbers of at least 0, got one below")
    mean = ratio_of_means(one, other)
    root = math.sqrt(mean.mean)
    if root == 0:
        return RootMeanSquare(0.0, 0.0, 0.0, mean.count)
    if mean.count == 1:
        return RootMeanSquare(root, 0.0, math.inf, 1)
    factor = math.exp(mean.half_width / (2 * mean.mean))
    return RootMeanSquare(root, root / factor, root * factor, mean.count)
