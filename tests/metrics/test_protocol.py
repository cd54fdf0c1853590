import numpy as np
import pytest

from skelaug.metrics.frechet import frechet_distance
from skelaug.metrics.intervals import Interval
from skelaug.metrics.protocol import (
    Comparison,
    ScoredClips,
    View,
    _halves,
    compare,
    plan_draws,
)

DIMENSIONS = 3
CENTRES = np.random.default_rng(9).normal(size=(4, DIMENSIONS)) * 4


def clips(counts, seed=0, shift=0.0, hits=1.0, **quantities):
    """Clips of classes 0, 1, ...: Gaussian clouds around fixed centres."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    features = CENTRES[labels] + rng.normal(size=(len(labels), DIMENSIONS)) + shift
    missed = rng.random(len(labels)) >= hits
    predictions = np.where(missed, (labels + 1) % 4, labels)
    return ScoredClips(
        features,
        labels,
        predictions,
        {name: np.full(len(labels), value, dtype=float) for name, value in quantities.items()},
    )


def test_a_draw_takes_half_of_the_real_clips_or_all_synthetic_ones_of_each_class():
    plan = plan_draws(
        np.repeat([0, 1, 2, 3], [10, 7, 1, 6]),
        np.repeat([0, 1, 2, 5], [99, 2, 9, 9]),
        np.repeat([0, 1], [3, 8]),
    )
    assert plan.counts == {0: 5, 1: 2}
    assert plan.held_out == {0: 3, 1: 2}
    assert (plan.size, plan.held_out_size) == (7, 5)


def test_a_perfect_generator_scores_as_the_floor_does():
    real, drawn = clips([60, 40, 80, 20], seed=1), clips([50] * 4, seed=2)
    scores = compare([View(real, drawn)], draws=40)
    for name in ("fid", "diversity", "action_diversity"):
        score = scores[name]
        slack = score.synthetic.half_width + score.real.half_width
        assert score.synthetic.mean == pytest.approx(score.real.mean, abs=3 * slack), name


def test_labels_of_another_prior_do_not_inflate_the_distance():
    real, uniform = clips([200, 20, 20, 20], seed=1), clips([100] * 4, seed=2)
    matched = compare([View(real, uniform)])["fid"].synthetic.mean
    assert frechet_distance(real.features, uniform.features) > 10 * matched


def test_shifted_features_add_the_squared_shift():
    real = clips([100] * 4, seed=1)
    plain = compare([View(real, clips([50] * 4, seed=2))])["fid"].synthetic.mean
    moved = compare([View(real, clips([50] * 4, seed=2, shift=3.0))])["fid"].synthetic.mean
    assert moved - plain == pytest.approx(9 * DIMENSIONS, rel=0.1)


def test_the_two_real_halves_have_no_clip_in_common_and_the_same_labels():
    labels = np.random.default_rng(0).integers(0, 4, 50)
    counts = plan_draws(labels, labels).counts
    for seed in range(20):
        first, second = _halves(labels, counts, np.random.default_rng(seed))
        assert len({*first, *second}) == 2 * sum(counts.values())
        np.testing.assert_array_equal(labels[first], labels[second])


def test_each_view_gets_its_turn():
    real = clips([20] * 4, seed=1)
    views = [View(real, clips([20] * 4, seed=2, hits=hits)) for hits in (1.0, 0.0)]
    accuracy = compare(views, draws=20)["accuracy"].synthetic
    assert accuracy.mean == pytest.approx(0.5)
    assert accuracy.count == 20


def test_quantities_come_as_mean_median_and_fifth_percentile():
    real, drawn = clips([40] * 4, seed=1, speed=2.0), clips([40] * 4, seed=2, speed=3.0)
    values = np.random.default_rng(0).exponential(size=len(drawn))
    drawn = ScoredClips(drawn.features, drawn.labels, drawn.predictions, {"speed": values})
    scores = compare([View(real, drawn)], draws=60)
    slack = 0.1
    assert scores["speed"].synthetic.mean == pytest.approx(values.mean(), abs=slack)
    assert scores["speed.median"].synthetic.mean == pytest.approx(np.median(values), abs=slack)
    assert scores["speed.p05"].synthetic.mean == pytest.approx(np.percentile(values, 5), abs=slack)
    assert scores["speed"].real == Interval(2.0, 0.0, 60)
    assert scores["speed"].ratio == pytest.approx(scores["speed"].synthetic.mean / 2)


def test_clips_without_a_number_are_skipped():
    real = clips([20] * 4, seed=1, speed=2.0)
    real.quantities["speed"][::2] = np.nan
    scores = compare([View(real, clips([20] * 4, seed=2, speed=1.0))])
    assert scores["speed"].real.mean == 2.0
    assert scores["speed"].synthetic.mean == 1.0


def test_held_out_clips_stand_beside_as_many_as_there_are():
    real, drawn = clips([40] * 4, seed=1), clips([40] * 4, seed=2)
    other = clips([3, 0, 30, 5], seed=3, shift=2.0, hits=0.5)
    scores = compare([View(real, drawn, other)])
    assert scores["fid"].held_out.mean > 4 * DIMENSIONS * 0.8
    assert scores["accuracy"].held_out.mean == pytest.approx(0.5, abs=0.2)
    assert scores["accuracy"].synthetic.mean == 1
    assert compare([View(real, drawn)])["fid"].held_out is None


def test_the_seed_decides():
    view = View(clips([40] * 4, seed=1), clips([40] * 4, seed=2))
    assert compare([view], seed=3) == compare([view], seed=3)
    assert compare([view], seed=3) != compare([view], seed=4)


def test_a_ratio_to_zero_is_not_a_number():
    assert np.isnan(Comparison(Interval(1.0, 0.0, 2), Interval(0.0, 0.0, 2)).ratio)


@pytest.mark.parametrize(
    ("real", "synthetic"), [([1, 1, 1], [9, 9, 9]), ([2], [9]), ([8, 0], [0, 8])]
)
def test_too_few_clips_are_refused(real, synthetic):
    with pytest.raises(ValueError, match="at least 2 clips"):
        compare([View(clips(real), clips(synthetic))])
