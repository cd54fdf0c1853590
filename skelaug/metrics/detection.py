"""How well a score tells two kinds of clips apart, and which scores lie outside a band."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit, logit

__all__ = ["Auroc", "auroc", "below_band"]

_LEVEL = 0.95
_PERFECT = 1e-12

Scores = Sequence[float] | NDArray[np.floating]


@dataclass(frozen=True)
class Auroc:
    """Area under the ROC curve with its 95 % interval.

    Attributes:
        value: Chance that a score of the higher kind exceeds one of the lower; ties count half.
            1 separates all, 0.5 tells nothing.
        low: Lower end of the interval.
        high: Upper end of it.
        higher: Number of scores that should be high.
        lower: Number of those that should be low.
    """

    value: float
    low: float
    high: float
    higher: int
    lower: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def auroc(higher: Scores, lower: Scores) -> Auroc:
    """The area under the ROC curve of m scores that should be higher than n others.

    The Mann-Whitney statistic, A = mean over pairs of [h > l] + [h = l] / 2, from ranks. Its
    variance is DeLong's (DeLong et al. 1988): V = var(a) / m + var(b) / n, with a the share of the
    lower scores that each higher one exceeds, b the share of the higher ones that exceed each lower
    one, and unbiased variances. The interval is symmetric on the logit scale, so that it stays in
    0 to 1. Where one side exceeds the other altogether, V is 0 and says nothing: then the interval
    ends at 0.025^(1/k), k = min(m, n), the chance at which k pairs without a common score would all
    be right in one case of 40.

    Args:
        higher: Scores of the clips that should score high, e.g. clean ones.
        lower: Scores of the clips that should score low.

    Raises:
        ValueError: One side is empty, or a score is NaN.
    """
    one, other = (np.asarray(side, dtype=np.float64).ravel() for side in (higher, lower))
    m, n = one.size, other.size
    if not m or not n:
        raise ValueError(f"scores: expected some on either side, got {m} and {n}")
    if np.isnan(one).any() or np.isnan(other).any():
        raise ValueError("scores: expected numbers, got NaN")
    ranks = stats.rankdata(np.concatenate([one, other]))
    exceeds = (ranks[:m] - stats.rankdata(one)) / n
    exceeded = 1 - (ranks[m:] - stats.rankdata(other)) / m
    value = float(exceeds.mean())
    if not _PERFECT < value < 1 - _PERFECT:
        reach = ((1 - _LEVEL) / 2) ** (1 / min(m, n))
        low, high = (reach, 1.0) if value > 0.5 else (0.0, 1 - reach)
        return Auroc(float(value > 0.5), low, high, m, n)
    variance = exceeds.var(ddof=1) / m + exceeded.var(ddof=1) / n if min(m, n) > 1 else 0.0
    if variance == 0:  # one score, or all of them equal
        return Auroc(value, 0.0, 1.0, m, n)
    deviation = math.sqrt(variance)
    quantile = float(stats.norm.ppf((1 + _LEVEL) / 2))
    half = quantile * deviation / (value * (1 - value))
    low, high = expit(logit(value) - half), expit(logit(value) + half)
    return Auroc(value, float(low), float(high), m, n)


def below_band(scores: Scores, *, mean: float, std: float) -> NDArray[np.bool_]:
    """Which scores lie below mean - std, the rule of Bourached et al. for what is out of set.

    A score that is NaN lies in no band and is not said to be below one.

    Args:
        scores: N.
        mean: Mean score of the training clips.
        std: Standard deviation of their scores.
    """
    return np.asarray(scores, dtype=np.float64) < mean - std
