import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from skelaug.metrics.paired import (
    PairedDifference,
    draw_means,
    holm,
    nested_difference,
    paired_difference,
    ratio_of_means,
)


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_the_paired_test_is_that_of_scipy(n):
    rng = np.random.default_rng(n)
    control = rng.normal(0.8, 0.05, n)
    values = control + rng.normal(0.02, 0.01, n)
    found = paired_difference(values, control)
    expected = stats.ttest_rel(values, control)
    low, high = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(float(expected.pvalue), rel=1e-9)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)
    assert found.count == n


def test_a_paired_difference_by_hand():
    # d = 1, 2, 3: mean 2, s = 1, t = 2 sqrt(3) with 2 degrees of freedom, 4.302653 from a table
    found = paired_difference([11.0, 22.0, 33.0], [10.0, 20.0, 30.0])
    t = 2 * math.sqrt(3)
    assert found.mean == pytest.approx(2.0)
    assert found.half_width == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert found.p == pytest.approx(1 - t / math.sqrt(2 + t * t), rel=1e-9)  # closed form, df = 2


def test_a_p_below_a_twentieth_is_an_interval_that_leaves_zero_out():
    rng = np.random.default_rng(0)
    for values in rng.normal(0.7, 1.0, (200, 6)):
        found = paired_difference(values, np.zeros(6))
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_without_a_difference_one_test_in_twenty_finds_one():
    repeats = 2000
    values = np.random.default_rng(1).normal(size=(2, repeats, 5))
    found = np.mean([paired_difference(*pair).p < 0.05 for pair in zip(*values, strict=True)])
    assert found == pytest.approx(0.05, abs=5 * math.sqrt(0.05 * 0.95 / repeats))


def test_what_the_draws_share_does_not_widen_the_interval():
    rng = np.random.default_rng(2)
    gain, difficulty = rng.normal(0.02, 0.01, 5), rng.normal(0, 10.0, 5)
    shared = paired_difference(difficulty + gain, difficulty)
    assert shared.half_width == pytest.approx(paired_difference(gain, np.zeros(5)).half_width)


def test_one_pair_shows_nothing():
    assert paired_difference([0.9], [0.5]) == PairedDifference(pytest.approx(0.4), math.inf, 1.0, 1)


def test_equal_arms_differ_by_exactly_nothing_and_equal_gains_leave_no_doubt():
    values = np.array([0.1 + 0.2, 0.7, 0.9])
    assert paired_difference(values, [0.3, 0.7, 0.9]) == PairedDifference(0.0, 0.0, 1.0, 3)
    assert paired_difference([0.9, 0.6, 0.4], [0.8, 0.5, 0.3]).p == 0.0


def test_pairs_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        paired_difference([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="at least one"):
        paired_difference([], [])
    with pytest.raises(ValueError, match="NaN"):
        paired_difference([1, math.nan], [1, 2])


def test_a_draw_counts_once_however_often_it_was_repeated():
    values = {(0, 0): 0.5, (0, 1): 0.7, (1, 0): 0.9, (2, 3): 0.1}
    assert draw_means(values) == pytest.approx({0: 0.6, 1: 0.9, 2: 0.1})
    control = dict.fromkeys(values, 0.0)
    found = nested_difference(values, control)
    assert found == paired_difference([0.6, 0.9, 0.1], [0, 0, 0])


def test_repeats_of_two_draws_stay_two_samples():
    rng = np.random.default_rng(3)
    values = {(d, r): 0.05 * d + rng.normal(0, 1e-3) for d in range(2) for r in range(50)}
    found = nested_difference(values, dict.fromkeys(values, -0.1))
    assert found is not None
    assert found.count == 2
    assert found.p > 0.05


def test_an_unfinished_grid_compares_what_both_sides_have():
    values = {(0, 0): 1.0, (0, 1): 5.0, (1, 0): 2.0}
    control = {(0, 0): 0.5, (1, 0): 1.0, (2, 0): 9.0}
    assert nested_difference(values, control) == paired_difference([1.0, 2.0], [0.5, 1.0])
    assert nested_difference({(0, 0): 1.0}, {(1, 0): 1.0}) is None


def step_down(p_values: list[float], level: float) -> list[bool]:
    """Holm's rule as he states it: reject from the smallest on until one exceeds level / left."""
    rejected = [False] * len(p_values)
    left = len(p_values)
    for index in sorted(range(len(p_values)), key=lambda i: p_values[i]):
        if p_values[index] * left > level:
            break
        rejected[index] = True
        left -= 1
    return rejected


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=8),
    st.floats(0.001, 0.999),
)
def test_the_corrected_values_decide_as_the_rule_does(p_values, level):
    assert [p <= level for p in holm(p_values)] == step_down(p_values, level)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert holm([0.2]) == (0.2,)
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    assert holm([]) == ()


def test_a_p_value_beyond_one_is_refused():
    with pytest.raises(ValueError, match="from 0 to 1"):
        holm([0.5, math.nan])


def test_the_ratio_of_means_and_its_error_against_leaving_one_pair_out():
    # the jackknife: (n - 1) / n times the squared deviations of the ratios without one pair
    rng = np.random.default_rng(0)
    control = rng.uniform(1, 3, 400)
    values = 0.3 * control + rng.normal(0, 0.1, 400)
    found = ratio_of_means(values, control)
    assert found.mean == pytest.approx(values.sum() / control.sum(), rel=1e-12)
    kept = [np.arange(400) != k for k in range(400)]
    ratios = np.array([values[k].sum() / control[k].sum() for k in kept])
    error = math.sqrt(399 / 400 * ((ratios - ratios.mean()) ** 2).sum())
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, 399) * error, rel=0.02)


def test_a_constant_ratio_is_certain_whatever_the_pairs_weigh():
    control = np.array([1.0, 100.0, 3.0])
    found = ratio_of_means(0.25 * control, control)
    assert found.mean == pytest.approx(0.25)
    assert found.half_width == pytest.approx(0, abs=1e-12)


def test_a_ratio_needs_pairs_and_a_control():
    with pytest.raises(ValueError, match="equally long"):
        ratio_of_means([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="sum is not 0"):
        ratio_of_means([1.0, 2.0], [1.0, -1.0])
