"""A root mean square: its value, and how often its interval holds the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from skelaug.metrics.paired import ratio_of_means
from skelaug.metrics.root_mean_square import root_mean_square


def test_it_is_the_root_of_the_mean_over_all_entries_not_over_clips():
    entries = [np.array([1.0, 2.0, 3.0]), np.array([5.0])]
    found = root_mean_square([np.square(x).sum() for x in entries], [len(x) for x in entries])
    assert found.value == pytest.approx(np.sqrt(np.square(np.concatenate(entries)).mean()))
    assert found.clips == 2


def test_the_interval_holds_the_truth_about_19_times_in_20():
    numbers = np.random.default_rng(0)
    # clips of unequal length with a level of their own; E x^2 = exp(2 * 0.4^2) by entry
    counts = numbers.integers(5, 40, (2000, 40))
    squares = np.exp(2 * 0.4 * numbers.standard_normal(counts.shape))
    truth = math.exp(0.4**2)
    found = [root_mean_square(s * c, c) for s, c in zip(squares, counts, strict=True)]
    share = np.mean([one.low <= truth <= one.high for one in found])
    assert 0.91 < share < 0.97


def test_a_narrow_interval_is_the_delta_rule():
    numbers = np.random.default_rng(1)
    sums = 10 + 0.01 * numbers.standard_normal(50)
    found, mean = root_mean_square(sums, np.full(50, 10)), ratio_of_means(sums, np.full(50, 10.0))
    half = mean.half_width / (2 * found.value)  # d sqrt(m) = dm / 2 sqrt(m)
    assert found.high - found.value == pytest.approx(half, rel=1e-3)
    assert found.value - found.low == pytest.approx(half, rel=1e-3)


def test_a_unit_scales_the_value_and_the_interval():
    sums, counts = [0.3, 1.2, 7.0], [4, 2, 9]
    one = root_mean_square(sums, counts)
    other = root_mean_square([1e6 * x for x in sums], counts)
    for name in ("value", "low", "high"):
        assert getattr(other, name) == pytest.approx(1e3 * getattr(one, name))
    assert 0 < one.low < one.value < one.high


def test_one_clip_shows_no_spread_and_no_error_has_none():
    assert root_mean_square([4.0], [1]).high == math.inf
    nothing = root_mean_square([0.0, 0.0], [1, 1])
    assert (nothing.value, nothing.low, nothing.high) == (0.0, 0.0, 0.0)


def test_negative_sums_are_refused():
    with pytest.raises(ValueError, match="at least 0"):
        root_mean_square([-1.0, 2.0], [1, 1])
