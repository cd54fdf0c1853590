"""The area under the ROC curve against pairs counted one by one, its interval by simulation."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from skelaug.metrics.detection import Auroc, auroc, below_band


def _by_pairs(higher: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """m n: 1 where the higher score exceeds the lower one, 1/2 where they are equal."""
    return np.array(
        [[1.0 if h > low else 0.5 if h == low else 0.0 for low in lower] for h in higher]
    )


def _by_trapezoids(higher: np.ndarray, lower: np.ndarray) -> float:
    """The area under the curve of hits against false alarms, over all thresholds."""
    thresholds = np.concatenate([[np.inf], np.unique([*higher, *lower])[::-1]])
    hits = [float((higher >= threshold).mean()) for threshold in thresholds]
    alarms = [float((lower >= threshold).mean()) for threshold in thresholds]
    return float(np.trapezoid(hits, alarms))


def _samples(ties: bool, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    higher, lower = rng.normal(0.8, 1.0, 17), rng.normal(0.0, 1.5, 23)
    return (np.round(higher), np.round(lower)) if ties else (higher, lower)


@pytest.mark.parametrize("ties", [False, True])
def test_the_rank_statistic_counts_pairs_and_is_the_area_under_the_curve(ties):
    higher, lower = _samples(ties)
    found = auroc(higher, lower)
    assert found.value == pytest.approx(_by_pairs(higher, lower).mean(), abs=1e-12)
    assert found.value == pytest.approx(_by_trapezoids(higher, lower), abs=1e-12)
    assert (found.higher, found.lower) == (17, 23)


@pytest.mark.parametrize("ties", [False, True])
def test_the_interval_is_delongs_on_the_logit_scale(ties):
    # V by the definition of the structural components, a row and a column of the table of pairs
    higher, lower = _samples(ties)
    table = _by_pairs(higher, lower)
    m, n = table.shape
    area = table.mean()
    v10 = sum((row.mean() - area) ** 2 for row in table) / (m - 1)
    v01 = sum((column.mean() - area) ** 2 for column in table.T) / (n - 1)
    half = NormalDist().inv_cdf(0.975) * math.sqrt(v10 / m + v01 / n) / (area * (1 - area))
    odds = math.log(area / (1 - area))
    found = auroc(higher, lower)
    assert found.low == pytest.approx(1 / (1 + math.exp(half - odds)), rel=1e-12)
    assert found.high == pytest.approx(1 / (1 + math.exp(-half - odds)), rel=1e-12)


def test_the_interval_covers_the_truth_19_times_in_20():
    # scores N(d, 1) and N(0, 1): the area is P(difference > 0) = Phi(d / sqrt 2)
    truth, repeats = NormalDist().cdf(1.2 / math.sqrt(2)), 1500
    rng = np.random.default_rng(1)
    found = [auroc(rng.normal(1.2, 1, 30), rng.normal(0, 1, 40)) for _ in range(repeats)]
    covered = np.mean([one.low <= truth <= one.high for one in found])
    spread = math.sqrt(0.95 * 0.05 / repeats)
    assert covered == pytest.approx(0.95, abs=5 * spread)


def test_swapping_the_sides_mirrors_area_and_interval():
    higher, lower = _samples(ties=True)
    one, other = auroc(higher, lower), auroc(lower, higher)
    assert other.value == pytest.approx(1 - one.value)
    assert (other.low, other.high) == pytest.approx((1 - one.high, 1 - one.low))


def test_a_rising_function_of_the_scores_changes_nothing():
    higher, lower = _samples(ties=False)
    assert auroc(np.exp(higher), np.exp(lower)) == auroc(higher, lower)


def test_separated_scores_have_an_honest_end_and_no_false_certainty():
    found = auroc([3.0, 4.0, 5.0], [1.0, 2.0])
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low**2 == pytest.approx(0.025)  # two independent pairs, both right
    worst = auroc([1.0, 2.0], [3.0, 4.0, 5.0])
    assert (worst.value, worst.low) == (0.0, 0.0)
    assert worst.high == pytest.approx(1 - math.sqrt(0.025))


def test_equal_scores_tell_nothing_and_one_score_has_no_interval():
    assert auroc([1.0] * 4, [1.0] * 5) == Auroc(0.5, 0.0, 1.0, 4, 5)
    assert auroc([1.0], [0.0, 2.0]) == Auroc(0.5, 0.0, 1.0, 1, 2)
    assert str(auroc([1.0], [0.0, 2.0])) == "0.500 [0.000, 1.000]"


def test_infinite_scores_are_ordered_like_others():
    assert auroc([np.inf, 1.0], [-np.inf, 0.0]).value == 1.0


def test_no_scores_and_nan_are_refused():
    with pytest.raises(ValueError, match="got 0 and 1"):
        auroc([], [1.0])
    with pytest.raises(ValueError, match="got NaN"):
        auroc([np.nan], [1.0])


def test_below_the_band_is_more_than_one_deviation_below_the_mean():
    found = below_band([9.0, 8.0, 7.999, 20.0, np.nan], mean=10.0, std=2.0)
    np.testing.assert_array_equal(found, [False, False, True, False, False])
