import numpy as np
import pytest
from scipy import stats

from skelaug.benchmark.scores import (
    CellScore,
    best_rivals,
    class_gains,
    gains_over_best,
    gains_over_control,
    require_equal_steps,
    rows_of,
)
from skelaug.errors import CheckFailedError, UsageError
from skelaug.metrics.intervals import interval_of
from skelaug.metrics.paired import paired_difference


def cell(arm, accuracy, *, ratio=0.0, seed=0, repeat=0, classes=None, **fields):
    return CellScore(
        arm=arm,
        ratio=ratio,
        seed=seed,
        repeat=repeat,
        accuracy=accuracy,
        class_accuracy={"kick": accuracy} if classes is None else classes,
        chance=0.25,
        **{"steps": 100, "seconds": 2.0, "is_synthetic": arm.startswith("synth"), **fields},
    )


def arm(name, accuracies, **fields):
    """One cell per draw, or per draw and repeat."""
    return [
        cell(name, value, seed=seed, repeat=repeat, **fields)
        for seed, values in enumerate(accuracies)
        for repeat, value in enumerate(np.atleast_1d(values).tolist())
    ]


REAL = arm("real", [0.5, 0.6, 0.7])
CLASSICAL = arm("classical", [0.6, 0.6, 0.8])
SYNTHETIC = arm("synthetic", [0.7, 0.75, 0.8], ratio=1.0)


def test_cells_are_gathered_into_rows_with_rising_ratios():
    high, low = arm("synthetic", [0.1], ratio=3.0), arm("synthetic", [0.2], ratio=0.5)
    rows = rows_of([*high, *REAL, *low])
    assert [(row.arm, row.ratio, row.draws) for row in rows] == [
        ("synthetic", 0.5, 1),
        ("synthetic", 3.0, 1),
        ("real", 0.0, 3),
    ]
    assert not rows[2].is_synthetic
    assert rows[0].is_synthetic


def test_the_order_in_which_cells_finish_changes_nothing():
    assert rows_of(REAL) == rows_of(REAL[::-1])


def test_the_interval_of_a_row_is_over_draws_not_over_trainings():
    accuracies = np.array([[0.5, 0.7], [0.6, 0.62], [0.9, 0.92]])
    (row,) = rows_of(arm("real", accuracies))
    assert row.interval() == interval_of(accuracies.mean(axis=1).tolist())
    assert row.draws == 3
    assert len(row.cells) == 6


def test_one_training_counted_twice_is_refused():
    with pytest.raises(ValueError, match="one training twice"):
        rows_of([*REAL, REAL[0]])


def test_a_gain_is_the_paired_test_of_scipy_against_the_best_arm_without_synthetic_clips():
    (gain,) = gains_over_best(rows_of([*REAL, *CLASSICAL, *SYNTHETIC]))
    assert gain.rival.arm == "classical"
    expected = stats.ttest_rel([0.7, 0.75, 0.8], [0.6, 0.6, 0.8])
    assert gain.difference.p == pytest.approx(float(expected.pvalue))
    interval = expected.confidence_interval(0.95)
    assert (gain.difference.low, gain.difference.high) == pytest.approx(tuple(interval))
    assert gain.corrected_p == gain.difference.p


def test_several_synthetic_rows_are_corrected_for_their_number_and_bounds_are_not_among_them():
    more = arm("synthetic", [0.62, 0.61, 0.83], ratio=3.0)
    bound = arm("bound", [0.9, 0.95, 0.99], is_bound=True)
    gains = gains_over_best(rows_of([*CLASSICAL, *SYNTHETIC, *more, *bound]))
    p = {(gain.row.arm, gain.row.ratio): gain for gain in gains}
    one, other = p["synthetic", 1.0], p["synthetic", 3.0]
    small, large = sorted([one, other], key=lambda gain: gain.difference.p)
    assert small.corrected_p == pytest.approx(2 * small.difference.p)
    assert large.corrected_p == pytest.approx(max(large.difference.p, 2 * small.difference.p))
    assert p["bound", 0.0].corrected_p is None
    assert p["bound", 0.0].rival.arm == "classical"


def test_an_upper_bound_is_nobodys_rival():
    bound = arm("bound", [0.9, 0.95, 0.99], is_bound=True)
    assert best_rivals(rows_of([*REAL, *bound, *SYNTHETIC]))[""].arm == "real"


def test_a_rival_with_one_lucky_draw_does_not_stand_for_the_unfinished():
    lucky = arm("balanced", [0.99])
    assert best_rivals(rows_of([*REAL, *lucky, *CLASSICAL]))[""].arm == "classical"


def test_every_recognizer_has_its_own_rival():
    big = [
        cell(one.arm, 1 - one.accuracy, seed=one.seed, ratio=one.ratio, recognizer="big")
        for one in [*REAL, *CLASSICAL, *SYNTHETIC]
    ]
    gains = gains_over_best(rows_of([*REAL, *CLASSICAL, *SYNTHETIC, *big]))
    assert {gain.row.recognizer: gain.rival.arm for gain in gains} == {
        "": "classical",
        "big": "real",
    }
    assert all(gain.row.recognizer == gain.rival.recognizer for gain in gains)


def test_the_control_is_taken_at_the_same_ratio_where_it_has_it():
    copies = [*arm("copies", [0.1, 0.2], ratio=0.5), *arm("copies", [0.3, 0.2], ratio=1.0)]
    rows = rows_of([*copies, *SYNTHETIC, *arm("synthetic", [0.5, 0.6], ratio=3.0)])
    gains = gains_over_control(rows, "copies")
    assert [(gain.row.ratio, gain.rival.ratio) for gain in gains] == [(1.0, 1.0), (3.0, 0.5)]
    assert gains[0].difference == paired_difference([0.7, 0.75], [0.3, 0.2])


def test_a_control_that_is_no_arm_is_refused():
    with pytest.raises(UsageError, match="did you mean 'classical'"):
        gains_over_control(rows_of(CLASSICAL), "clasical")


def test_the_rare_classes_are_judged_by_their_own_score():
    real = arm("real", [0.9, 0.9], rare_accuracy=0.1)
    other = arm("classical", [0.5, 0.5], rare_accuracy=0.3)
    synthetic = arm("synthetic", [0.5, 0.6], rare_accuracy=0.5)
    rows = rows_of([*real, *other, *synthetic, *arm("self-training", [0.9, 0.9])])
    assert best_rivals(rows, "accuracy")[""].arm == "real"
    (gain,) = gains_over_best(rows, "rare_accuracy")
    assert gain.rival.arm == "classical"
    assert gain.difference.mean == pytest.approx(0.2)
    assert rows[3].interval("rare_accuracy") is None


def test_arms_of_different_length_are_not_compared():
    require_equal_steps(rows_of([*REAL, *SYNTHETIC, *arm("real", [0.3], recognizer="b", steps=7)]))
    with pytest.raises(CheckFailedError, match="100 in 'real', 200 in 'long'"):
        require_equal_steps(rows_of([*REAL, *arm("long", [0.9], steps=200)]))


def test_class_gains_are_paired_and_sorted():
    def clips(kick, walk):
        return {"kick": kick, "walk": walk}

    one = [cell("synthetic", 0, seed=s, classes=clips(0.2 + s / 10, 0.9)) for s in range(3)]
    other = [cell("real", 0, seed=s, classes=clips(0.4, 0.5 + s / 10)) for s in range(3)]
    row, rival = rows_of([*one, *other])
    gains = class_gains(row, rival)
    assert [gain.label for gain in gains] == ["walk", "kick"]
    assert gains[0].difference == paired_difference([0.9] * 3, [0.5, 0.6, 0.7])
    assert (gains[1].accuracy, gains[1].rival_accuracy) == pytest.approx((0.3, 0.4))


def test_a_copying_generator_gains_exactly_nothing():
    copies = arm("copies", [[0.31, 0.62], [0.7, 0.77], [0.9, 0.83]])
    same = arm("synthetic", [[0.31, 0.62], [0.7, 0.77], [0.9, 0.83]])
    (gain,) = gains_over_best(rows_of([*copies, *same]))
    assert (gain.difference.mean, gain.difference.half_width, gain.corrected_p) == (0.0, 0.0, 1.0)
