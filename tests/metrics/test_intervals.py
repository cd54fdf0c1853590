import math

import numpy as np
import pytest

from skelaug.metrics.intervals import Interval, interval_of, share_of


def test_the_t_interval_of_three_numbers_by_hand():
    # s = 1, t(0.975, 2) = 4.302653 from a table
    found = interval_of([1.0, 2.0, 3.0])
    assert found.mean == 2.0
    assert found.half_width == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert found.count == 3


def test_the_published_interval_uses_the_population_deviation():
    found = interval_of([1.0, 2.0, 3.0], kind="normal")
    assert found.half_width == pytest.approx(1.96 * math.sqrt(2 / 3) / math.sqrt(3), rel=1e-12)


@pytest.mark.parametrize("kind", ["t", "normal"])
def test_a_constant_list_has_no_width_and_neither_has_one_number(kind):
    assert interval_of([0.5] * 20, kind=kind) == Interval(0.5, 0.0, 20)
    assert interval_of([0.5], kind=kind) == Interval(0.5, 0.0, 1)


def test_the_t_interval_covers_the_truth_19_times_in_20():
    repeats, n = 4000, 4
    values = np.random.default_rng(0).normal(3.0, 2.0, (repeats, n))
    covered = np.mean(
        [abs(found.mean - 3.0) <= found.half_width for found in map(interval_of, values)]
    )
    assert covered == pytest.approx(0.95, abs=5 * math.sqrt(0.95 * 0.05 / repeats))


def test_scaling_the_values_scales_the_interval():
    values = np.random.default_rng(1).normal(size=20)
    one, ten = interval_of(values), interval_of(10 * values + 3)
    assert ten.mean == pytest.approx(10 * one.mean + 3)
    assert ten.half_width == pytest.approx(10 * one.half_width)


def test_no_values_and_an_unknown_kind_are_refused():
    with pytest.raises(ValueError, match="at least one repetition"):
        interval_of([])
    with pytest.raises(ValueError, match="'variance'"):
        interval_of([1.0, 2.0], kind="variance")


def test_it_reads_as_a_mean_with_its_interval():
    assert str(Interval(0.123456, 0.0123, 20)) == "0.1235 ± 0.012"


@pytest.mark.parametrize(("right", "total"), [(0, 9), (3, 10), (70, 100), (12, 12)])
def test_the_ends_of_a_share_are_what_would_just_make_it_unusual(right, total):
    found = share_of(np.arange(total) < right)
    assert (found.value, found.count) == (right / total, total)
    assert 0 <= found.low <= found.value <= found.high <= 1
    for end in (found.low, found.high):  # Wilson: (share - p)^2 = z^2 p (1 - p) / n
        distance = (right / total - end) ** 2
        assert distance == pytest.approx(1.959964**2 * end * (1 - end) / total, abs=1e-6)


def test_of_nothing_there_is_no_share():
    with pytest.raises(ValueError, match="at least one"):
        share_of([])
