import numpy as np
import pytest

from skelaug.metrics.accuracy import harmonic_mean
from skelaug.metrics.generalised import calibrated, choose_constant, generalised_accuracy


def biased(*, seed=0, bias=2.0, clips=300, classes=8, seen=5):
    """Scores in which learnt classes are favoured."""
    numbers = np.random.default_rng(seed)
    labels = numbers.integers(0, classes, clips)
    is_seen = np.arange(classes) < seen
    scores = numbers.normal(0, 1, (clips, classes)) + 2.5 * (labels[:, None] == np.arange(classes))
    return scores + bias * is_seen, labels, is_seen


def harmonic(scores, labels, is_seen, constant):
    return generalised_accuracy(calibrated(scores, is_seen, constant), labels, is_seen).harmonic


def test_the_constant_lifts_the_harmonic_mean():
    scores, labels, is_seen = biased()
    constant = choose_constant(scores, labels, is_seen)
    assert constant == pytest.approx(2, abs=0.7)
    assert harmonic(scores, labels, is_seen, constant) > 0.1 + harmonic(scores, labels, is_seen, 0)


def test_no_constant_of_a_fine_grid_is_better():
    for seed in range(4):
        scores, labels, is_seen = biased(seed=seed, clips=60)
        best = harmonic(scores, labels, is_seen, choose_constant(scores, labels, is_seen))
        grid = np.linspace(-6, 8, 1401)
        assert best >= max(harmonic(scores, labels, is_seen, one) for one in grid) - 1e-12


def test_the_order_within_each_group_stays():
    scores, _, is_seen = biased()
    moved = calibrated(scores, is_seen, 1.7)
    for group in (is_seen, ~is_seen):
        np.testing.assert_array_equal(
            np.argsort(scores[:, group], axis=1), np.argsort(moved[:, group], axis=1)
        )


def test_accuracies_of_the_groups_are_those_of_a_loop():
    scores, labels, is_seen = biased(clips=50)
    hits = {True: [], False: []}
    for row, label in zip(scores, labels, strict=True):
        hits[bool(is_seen[label])].append(row.argmax() == label)
    found = generalised_accuracy(scores, labels, is_seen)
    assert found.seen == pytest.approx(np.mean(hits[True]))
    assert found.unseen == pytest.approx(np.mean(hits[False]))
    assert found.harmonic == pytest.approx(1 / (0.5 / found.seen + 0.5 / found.unseen))


def test_the_harmonic_mean_is_zero_where_one_part_is():
    assert harmonic_mean(0.0, 0.9) == 0
    assert harmonic_mean(0.5, 0.5) == 0.5


def test_one_group_alone_cannot_be_scored():
    scores, _, is_seen = biased()
    with pytest.raises(ValueError, match="seen and of unseen"):
        generalised_accuracy(scores, np.zeros(len(scores), dtype=np.int64), is_seen)
