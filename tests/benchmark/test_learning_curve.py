"""Learning curves: exact answers give the curve back, and the intervals hold what they promise."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from skelaug.benchmark.learning_curve import LIMIT, CurvePoint, fit_class_curves, fit_curve

SIZES = (3, 6, 12)


def exact(a, b, *, sizes=SIZES, answers=1000.0, draws=1):
    """The answers that the law expects, fractions of clips included."""
    errors = [a * n**-b for n in sizes]
    return [
        CurvePoint(n, answers * (1 - e), answers * e, draw)
        for draw in range(draws)
        for n, e in zip(sizes, errors, strict=True)
    ]


def drawn(random, a, b, *, answers, draws=3, sigma=0.0, sizes=SIZES):
    """Answers of clips that are drawn, with draws that differ."""
    points = []
    for draw in range(draws):
        shift = math.exp(sigma * random.standard_normal())
        for n in sizes:
            wrong = int(random.binomial(answers, min(1.0, shift * a * n**-b)))
            points.append(CurvePoint(n, answers - wrong, wrong, draw))
    return points


def log_likelihood(points, log_a, b):
    return sum(
        p.wrong * (log_a - b * math.log(p.clips))
        + p.right * math.log1p(-math.exp(min(log_a - b * math.log(p.clips), -1e-12)))
        for p in points
    )


@settings(max_examples=30)
@given(st.floats(0.2, 1.2), st.floats(0.2, 2.0))
def test_exact_answers_give_the_law_back(a, b):
    fit = fit_curve(exact(a, b), simulations=2)
    assert fit.b == pytest.approx(b, abs=1e-4)
    assert fit.a == pytest.approx(a, rel=1e-3)
    assert fit.accuracy(50) == pytest.approx(1 - a * 50**-b, abs=1e-4)


def test_the_fit_is_the_maximum_that_a_general_optimiser_finds():
    points = drawn(np.random.default_rng(0), 0.8, 0.5, answers=60)
    fit = fit_curve(points, simulations=2)
    start = [math.log(0.5), 0.2]
    best = optimize.minimize(
        lambda v: -log_likelihood(points, *v), start, method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-10},
    )  # fmt: skip
    assert [math.log(fit.a), fit.b] == pytest.approx(best.x.tolist(), abs=1e-5)


def test_answers_at_one_size_count_together():
    points = exact(0.8, 0.6, answers=80)
    halves = [CurvePoint(p.clips, p.right / 2, p.wrong / 2, p.draw) for p in points]
    one, two = fit_curve(points, simulations=2), fit_curve([*halves, *halves], simulations=2)
    assert (one.a, one.b) == pytest.approx((two.a, two.b))


def test_clips_for_a_target_solve_the_law():
    fit = fit_curve(exact(0.8, 0.6), simulations=2)
    total = (0.8 / 0.1) ** (1 / 0.6)
    assert fit.needed(0.9, have=11.5).more == math.ceil(total - 11.5)
    assert fit.accuracy(total) == pytest.approx(0.9, abs=1e-6)


def test_a_higher_target_takes_no_fewer_clips():
    fit = fit_curve(drawn(np.random.default_rng(1), 0.8, 0.6, answers=200))
    found = [fit.needed(target, have=12) for target in (0.6, 0.8, 0.85, 0.9, 0.93)]
    for one, other in pairwise(found):
        assert one.more <= other.more
        assert one.low <= other.low
        assert one.high <= other.high
    assert found[0].more == 0
    assert found[-1].more > found[-2].more


def test_the_interval_holds_the_estimate():
    fit = fit_curve(drawn(np.random.default_rng(2), 0.8, 0.6, answers=150))
    needed = fit.needed(0.9, have=12)
    assert needed.low <= needed.more <= needed.high
    low, high = fit.band(np.array(SIZES))
    assert (low < fit.accuracy(np.array(SIZES))).all()
    assert (fit.accuracy(np.array(SIZES)) < high).all()
    assert fit.band(6.0) == (pytest.approx(low[1]), pytest.approx(high[1]))


def test_a_flat_curve_reaches_nothing_more():
    fit = fit_curve(exact(0.4, 0.0, answers=50.0, draws=3))
    assert fit.b == 0
    assert fit.is_flat
    needed = fit.needed(0.9, have=12)
    assert (needed.more, needed.high) == (None, None)
    assert fit.needed(0.5, have=12).more == 0, "it is there already"


def test_a_rising_error_is_a_flat_curve():
    points = [CurvePoint(n, 100 - wrong, wrong) for n, wrong in ((3, 30), (6, 35), (12, 40))]
    fit = fit_curve(points)
    assert fit.b == 0
    assert fit.accuracy(12) == pytest.approx(1 - 105 / 300, abs=1e-6)


def test_beyond_a_hundred_times_the_clips_a_curve_tells_nothing():
    fit = fit_curve(exact(0.8, 0.5, answers=1e6))
    have = 12
    at_limit = 1 - 0.8 * (LIMIT * have) ** -0.5
    assert fit.needed(at_limit - 0.001, have).more is not None
    assert fit.needed(at_limit + 0.001, have).more is None


def test_draws_that_differ_widen_the_interval():
    alike = exact(0.8, 0.6, answers=200, draws=3)
    apart = [
        CurvePoint(p.clips, 200 - p.wrong * factor, p.wrong * factor, p.draw)
        for p in alike
        for factor in ({0: 0.7, 1: 1.0, 2: 1.3}[p.draw],)
    ]
    one, two = fit_curve(alike), fit_curve(apart)
    assert one.sigma == 0
    # residual sums -0.3 s, 0, 0.3 s of three draws that expect s: 0.3 but for what is chance
    assert two.sigma == pytest.approx(0.3, abs=0.03)
    narrow, wide = one.needed(0.9, 12), two.needed(0.9, 12)
    assert wide.low <= narrow.low <= narrow.high
    assert wide.high is None or wide.high > narrow.high


def test_draws_that_differ_widen_the_interval_as_student_does():
    points = [
        CurvePoint(p.clips, p.right, p.wrong * factor, p.draw)
        for p in exact(0.4, 0.6, answers=1e6, draws=3)
        for factor in ({0: 0.9, 1: 1.0, 2: 1.1}[p.draw],)
    ]
    fit = fit_curve(points, simulations=4000)
    low, high = (math.log(1 - float(end)) for end in fit.band(6.0))
    # log errors of three draws have a standard deviation of 0.1 (less the share that is right)
    expected = stats.t.ppf(0.975, 2) * fit.sigma / math.sqrt(3)
    assert (low - high) / 2 == pytest.approx(expected, rel=0.1)


def test_a_slope_that_may_be_0_reaches_nothing_however_near_the_target_is():
    points = [CurvePoint(n, 40 - wrong, wrong) for n, wrong in ((3, 20), (6, 18), (12, 15))]
    fit = fit_curve(points)
    assert fit.b > 0.1
    assert (0.375 / 0.3) ** (1 / fit.b) < LIMIT / 2
    assert fit.is_flat
    assert fit.needed(0.7, have=12).more is None


def covered(repeats, *, sigma, seed):
    """In how many of so many experiments the interval holds the truth."""
    a, b, have = 0.8, 0.6, 12
    truth = (a / 0.1) ** (1 / b) - have
    random = np.random.default_rng(seed)
    held = 0
    for number in range(repeats):
        points = drawn(random, a, b, answers=120, sigma=sigma)
        needed = fit_curve(points, seed=number, simulations=100).needed(0.9, have)
        held += needed.low <= math.ceil(truth) and (needed.high is None or truth <= needed.high)
    return held


def within(held, repeats):
    """Whether so many of so many is a likely number for 95 %, at three standard deviations."""
    return abs(held - 0.95 * repeats) <= 3 * math.sqrt(repeats * 0.95 * 0.05)


def test_the_interval_covers_the_truth_in_95_of_100_experiments():
    assert within(covered(60, sigma=0.0, seed=3), 60)


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.0, 0.15, 0.4])
def test_the_interval_covers_the_truth_however_much_draws_differ(sigma):
    assert within(covered(300, sigma=sigma, seed=4), 300)


def test_equal_seeds_give_equal_intervals():
    points = drawn(np.random.default_rng(5), 0.8, 0.6, answers=50)
    one, two, other = (fit_curve(points, seed=seed) for seed in (0, 0, 1))
    assert (one.drawn == two.drawn).all()
    assert (one.drawn != other.drawn).any()


def test_a_class_with_many_answers_keeps_its_own_curve():
    overall = fit_curve(exact(0.8, 0.6))
    own = fit_class_curves(overall, {"kick": exact(0.5, 0.9, answers=1e6)})["kick"]
    assert (own.a, own.b) == (pytest.approx(0.5, rel=0.01), pytest.approx(0.9, rel=0.01))


def test_a_class_with_few_answers_has_the_slope_of_all():
    overall = fit_curve(exact(0.8, 0.6))
    few = [CurvePoint(3, 1, 1), CurvePoint(6, 1, 1), CurvePoint(12, 1, 1)]
    own = fit_class_curves(overall, {"kick": few})["kick"]
    assert 0.3 < own.b < 0.6, "flat by itself, drawn towards 0.6"
    assert fit_curve(few).b == 0


def test_a_class_at_one_size_and_one_without_a_mistake_have_a_curve():
    overall = fit_curve(exact(0.8, 0.6, draws=3))
    some = {
        "one size": [CurvePoint(12, 8, 2)],
        "faultless": [CurvePoint(n, 4, 0) for n in SIZES],
    }
    fits = fit_class_curves(overall, some)
    assert fits["one size"].b == pytest.approx(0.6, rel=0.1)
    assert fits["one size"].accuracy(12) == pytest.approx(0.8, abs=0.03)
    assert 0.93 < fits["faultless"].accuracy(12) < 1
    needed = fits["faultless"].needed(0.9, 12)
    assert needed.more == 0
    assert needed.high > 0, "twelve right answers are no proof"


def test_the_draw_towards_all_classes_is_the_stated_one():
    overall = fit_curve(exact(0.8, 0.6), simulations=2)
    points = [CurvePoint(3, 5, 5), CurvePoint(6, 7, 3), CurvePoint(12, 9, 1)]
    log_a, b = math.log(overall.a), overall.b

    def objective(values):
        error = [overall.a * p.clips**-b for p in points]
        more = [CurvePoint(p.clips, (1 - e) / 3, e / 3) for p, e in zip(points, error, strict=True)]
        pull = (values[1] - b) ** 2 / (2 * (b / 2) ** 2)
        return pull - log_likelihood([*points, *more], *values)

    best = optimize.minimize(
        objective, [log_a, b], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10}
    )
    own = fit_class_curves(overall, {"kick": points})["kick"]
    assert [math.log(own.a), own.b] == pytest.approx(best.x.tolist(), abs=1e-5)


@pytest.mark.parametrize(
    "points",
    [
        [],
        [CurvePoint(3, 1, 1)],
        [CurvePoint(3, 1, 1), CurvePoint(3, 1, 1, 1)],
        [CurvePoint(3, 1, 1), CurvePoint(6, 0, 0)],
        [CurvePoint(0, 1, 1), CurvePoint(6, 1, 1)],
        [CurvePoint(3, -1, 2), CurvePoint(6, 1, 1)],
    ],
)
def test_what_is_no_curve_is_refused(points):
    with pytest.raises(ValueError, match="points: expected"):
        fit_curve(points)


@pytest.mark.parametrize(("target", "have"), [(0, 5), (1, 5), (0.9, 0)])
def test_a_target_that_means_nothing_is_refused(target, have):
    with pytest.raises(ValueError, match="expected"):
        fit_curve(exact(0.8, 0.6), simulations=2).needed(target, have)
