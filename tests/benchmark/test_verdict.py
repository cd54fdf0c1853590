import math

import numpy as np
import pytest

from skelaug.benchmark.scores import CellScore, gains_over_best, rows_of
from skelaug.benchmark.verdict import row_name, verdict_of


def scores(arm, accuracies, *, ratio=0.0, is_synthetic=None, is_bound=False, recognizer=""):
    synthetic = arm.startswith("synth") if is_synthetic is None else is_synthetic
    return [
        CellScore(
            arm=arm,
            ratio=ratio,
            seed=seed,
            repeat=0,
            accuracy=value,
            class_accuracy={},
            chance=0.1,
            steps=1,
            seconds=1.0,
            is_synthetic=synthetic,
            is_bound=is_bound,
            recognizer=recognizer,
        )
        for seed, value in enumerate(accuracies)
    ]


REAL = [0.70, 0.72, 0.68, 0.71, 0.69]


def shifted(*gains):
    return [value + gain for value, gain in zip(REAL, gains, strict=True)]


UP = shifted(0.02, 0.03, 0.025, 0.02, 0.03)
DOWN = shifted(-0.02, -0.03, -0.025, -0.02, -0.03)
EITHER = shifted(0.04, -0.03, 0.02, -0.01, 0.01)


def judge(*arms):
    return verdict_of(gains_over_best(rows_of([cell for arm in arms for cell in arm])))


def test_a_sure_gain_has_helped_and_the_sentence_has_the_numbers():
    found = judge(scores("real", REAL), scores("synthetic", UP, ratio=1.0))
    assert found.outcome == "helped"
    assert found.sentence == (
        "Synthetic data helped: 'synthetic' with 100 % more clips gains +2.5 points of accuracy "
        "over 'real', the best without synthetic clips (95 % interval +1.9 to +3.1, p = 0.00036, "
        "paired over 5 draws)."
    )


def test_a_sure_loss_has_hurt_and_anything_else_is_undecided():
    assert judge(scores("real", REAL), scores("synthetic", DOWN)).outcome == "hurt"
    found = judge(scores("real", REAL), scores("synthetic", EITHER))
    assert found.outcome == "undecided"
    assert "+0.6 points" in found.sentence


def test_helped_needs_an_interval_above_zero_and_hurt_one_below():
    rng = np.random.default_rng(0)
    outcomes = set()
    for shift in rng.normal(0, 0.03, 60):
        found = judge(
            scores("real", REAL), scores("synthetic", np.array(REAL) + rng.normal(shift, 0.02, 5))
        )
        low, high = found.gain.difference.low, found.gain.difference.high
        expected = "helped" if low > 0 else "hurt" if high < 0 else "undecided"
        assert found.outcome == expected
        outcomes.add(expected)
    assert outcomes == {"helped", "hurt", "undecided"}


def test_without_an_effect_many_rows_rarely_claim_one():
    """At 5 % for the whole family, six rows of noise claim a gain or a loss in at most 5 %."""
    rng, claims, grids = np.random.default_rng(1), 0, 200
    for _ in range(grids):
        arms = [scores("synthetic", rng.normal(0.7, 0.02, 5), ratio=k) for k in range(1, 7)]
        found = judge(scores("real", rng.normal(0.7, 0.02, 5)), *arms)
        claims += found.outcome == "helped"
    assert claims / grids < 0.05 + 3 * math.sqrt(0.05 * 0.95 / grids)


def test_a_gain_that_the_correction_takes_away_is_undecided_and_both_numbers_are_said():
    weak = shifted(0.03, 0.01, 0.02, 0.005, 0.035)
    alone = judge(scores("real", REAL), scores("synthetic", weak, ratio=1.0))
    assert alone.outcome == "helped"
    others = [scores("synthetic", EITHER, ratio=ratio) for ratio in (2.0, 3.0, 4.0)]
    among = judge(scores("real", REAL), scores("synthetic", weak, ratio=1.0), *others)
    assert among.outcome == "undecided"
    assert f"{4 * alone.gain.difference.p:.2g} after Holm's correction for 4 rows" in among.sentence


def test_one_good_ratio_has_helped_and_the_bad_ones_are_counted():
    found = judge(
        scores("real", REAL),
        scores("synthetic", UP, ratio=0.5),
        scores("synthetic", DOWN, ratio=3.0),
    )
    assert found.outcome == "helped"
    assert found.gain.row.ratio == 0.5
    assert found.sentence.endswith("; 1 of the 2 rows hurt.")


def test_a_bad_row_beside_an_open_one_has_not_hurt():
    found = judge(
        scores("real", REAL),
        scores("synthetic", EITHER, ratio=0.5),
        scores("synthetic", DOWN, ratio=3.0),
    )
    assert found.outcome == "undecided"
    assert "1 of the 2 rows hurt" in found.sentence


def test_an_upper_bound_neither_helps_nor_stands_in_the_way():
    bound = scores("generator-clips", shifted(*[0.2 + k / 100 for k in range(5)]), is_bound=True)
    assert judge(scores("real", REAL), scores("synthetic", UP), bound).outcome == "helped"
    assert judge(scores("real", REAL), bound).outcome == "undecided"


@pytest.mark.parametrize("draws", [1, 2])
def test_few_draws_say_so(draws):
    found = judge(scores("real", REAL[:draws]), scores("synthetic", UP[:draws]))
    assert found.outcome == "undecided"
    assert "can show nothing" in found.sentence or "which are few" in found.sentence
    assert "inf" not in found.sentence


def test_nothing_to_compare_is_undecided():
    assert judge(scores("synthetic", UP)).outcome == "undecided"
    assert verdict_of([]).gain is None


def test_a_row_is_named_by_arm_ratio_and_recognizer():
    (row,) = rows_of(scores("synthetic", UP, ratio=0.5, recognizer="CTR-GCN"))
    assert row_name(row) == "'synthetic' with 50 % more clips (CTR-GCN)"
    assert row_name(row, mode="replacement") == (
        "'synthetic' with 50 % of the clips replaced (CTR-GCN)"
    )
