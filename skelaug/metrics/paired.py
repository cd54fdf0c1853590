"""Is one arm better than another? Differences within pairs, nested repeats, several questions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from skelaug.metrics.intervals import Interval, interval_of

__all__ = [
    "PairedDifference",
    "draw_means",
    "holm",
    "nested_difference",
    "paired_difference",
    "ratio_of_means",
]

_ROUNDING = 1e-12


@dataclass(frozen=True)
class PairedDifference:
    """A mean difference over pairs with its 95 % t-interval and two-sided p-value.

    Attributes:
        mean: Mean of value minus control.
        half_width: The interval is mean - half_width to mean + half_width; infinite for one pair.
        p: Of the paired t-test against no difference; 1 for one pair, which can show nothing.
        count: Number of pairs.
    """

    mean: float
    half_width: float
    p: float
    count: int

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.mean + self.half_width


def paired_difference(
    values: Sequence[float] | NDArray[np.floating], control: Sequence[float] | NDArray[np.floating]
) -> PairedDifference:
    """Student's paired t-test of values against control, d_i = value_i - control_i.

    The interval is mean(d) ± t(0.975, n - 1) s_d / sqrt(n), and p the chance of a mean at least as
    far from 0 on either side, P(T > abs(mean(d)) sqrt(n) / s_d) twice.
    Equal differences leave s_d = 0: then p is 0, or 1 where they are all 0. What is left of equal
    numbers by rounding (1e-12 of their size) counts as 0.

    Args:
        values: One number per pair.
        control: The number beside each of them.

    Raises:
        ValueError: There are no pairs, a number has no partner, or one is not finite.
    """
    one, other = _pairs(values, control)
    differences = one - other
    differences[np.abs(differences) <= _ROUNDING * np.maximum(np.abs(one), np.abs(other))] = 0.0
    n, mean = differences.size, float(differences.mean())
    if n == 1:
        return PairedDifference(mean, math.inf, 1.0, 1)
    error = float(differences.std(ddof=1)) / math.sqrt(n)
    if error <= _ROUNDING * abs(mean):
        return PairedDifference(mean, 0.0, 0.0 if mean else 1.0, n)
    half_width = float(stats.t.ppf(0.975, n - 1)) * error
    p = 2 * float(stats.t.sf(abs(mean) / error, n - 1))
    return PairedDifference(mean, half_width, p, n)


def _pairs(
    values: Sequence[float] | NDArray[np.floating], control: Sequence[float] | NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    one, other = np.asarray(values, dtype=np.float64), np.asarray(control, dtype=np.float64)
    if one.shape != other.shape or one.ndim != 1 or one.size == 0:
        raise ValueError(
            f"values and control: expected two equally long lists of at least one number, "
            f"got shapes {one.shape} and {other.shape}"
        )
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise ValueError("values and control: expected finite numbers, got NaN or infinity")
    return one, other


def ratio_of_means(
    values: Sequence[float] | NDArray[np.floating], control: Sequence[float] | NDArray[np.floating]
) -> Interval:
    """Mean of the values over the mean of the control, with a 95 % t-interval over the pairs.

    To first order the ratio r = mean(v) / mean(c) errs like the mean of (v_i - r c_i) / mean(c),
    so that pairs of great weight in both, e.g. long clips, do not widen the interval. The relative
    error of mean(c) must be small for it.

    Args:
        values: One number per pair.
        control: The number beside each of them; their sum is not 0.

    Raises:
        ValueError: There are no pairs, a number has no partner, one is not finite, or the control's
            sum is 0.
    """
    one, other = _pairs(values, control)
    if not other.sum():
        raise ValueError("control: expected numbers whose sum is not 0")
    ratio = float(one.mean() / other.mean())
    spread = interval_of((one - ratio * other) / other.mean())
    return Interval(ratio, spread.half_width, spread.count)


def draw_means(values: Mapping[tuple[int, int], float]) -> dict[int, float]:
    """The mean over the repeats of each draw, by draw in rising order.

    Repeats of one draw share its clips, so they are no independent samples of "how does this do on
    other clips": a draw counts once, however often it was repeated.

    Args:
        values: (draw, repeat) to a number.
    """
    return {
        draw: float(np.mean([value for (one, _), value in sorted(values.items()) if one == draw]))
        for draw in sorted({draw for draw, _ in values})
    }


def nested_difference(
    values: Mapping[tuple[int, int], float], control: Mapping[tuple[int, int], float]
) -> PairedDifference | None:
    """The paired difference over draws of the means over repeats; None without a common pair.

    A (draw, repeat) that either side lacks, in a grid that is not finished, counts for neither.

    Args:
        values: (draw, repeat) to a number.
        control: Likewise, of the control.
    """
    both = values.keys() & control.keys()
    if not both:
        return None
    one = draw_means({pair: values[pair] for pair in both})
    other = draw_means({pair: control[pair] for pair in both})
    return paired_difference(list(one.values()), list(other.values()))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """P-values corrected for their number by Holm's step-down rule (Holm 1979).

    The k-th smallest of m becomes the largest of (m - j + 1) p_(j) over j <= k, at most 1. Calling
    those below 0.05 true is wrong about any of them in at most 5 % of all experiments, however the
    questions hang together.

    Args:
        p_values: One per question.

    Raises:
        ValueError: One is not between 0 and 1.
    """
    array = np.asarray(p_values, dtype=np.float64)
    if not ((array >= 0) & (array <= 1)).all():
        raise ValueError(f"p_values: expected numbers from 0 to 1, got {list(p_values)}")
    order = np.argsort(array, kind="stable")
    stepped = np.maximum.accumulate(array[order] * np.arange(array.size, 0, -1))
    corrected = np.empty_like(array)
    corrected[order] = np.minimum(stepped, 1.0)
    return tuple(corrected.tolist())
