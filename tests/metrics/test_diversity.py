import numpy as np
import pytest

from skelaug.metrics.diversity import action_diversity, overall_diversity

FEATURES = np.random.default_rng(0).normal(size=(30, 4))
LABELS = np.repeat([0, 1, 2], 10)
MANY = 40_000


def generator(seed=0):
    return np.random.default_rng(seed)


def pairwise(a, b):
    return np.linalg.norm(a[:, None] - b[None], axis=-1)


def test_identical_features_have_no_diversity():
    same = np.ones((12, 5))
    assert overall_diversity(same, generator()) == 0
    assert action_diversity(same, np.arange(12) % 3, generator()) == 0


def test_overall_diversity_tends_to_the_mean_over_all_ordered_pairs():
    distances = pairwise(FEATURES, FEATURES)
    found = overall_diversity(FEATURES, generator(), pairs=MANY)
    assert found == pytest.approx(distances.mean(), abs=5 * distances.std() / np.sqrt(MANY))


def test_action_diversity_tends_to_the_mean_within_classes_clip_with_itself_included():
    classes = np.split(FEATURES, 3)
    per_class = [pairwise(own, own) for own in classes]
    expected = np.mean([distances.mean() for distances in per_class])
    error = max(distances.std() for distances in per_class) / np.sqrt(3 * MANY)
    found = action_diversity(FEATURES, LABELS, generator(), pairs=MANY)
    assert found == pytest.approx(expected, abs=5 * error)


def test_across_sets_one_member_comes_from_each():
    other, other_labels = FEATURES[:20] + 100, LABELS[:20]
    distances = pairwise(FEATURES, other)
    found = overall_diversity(FEATURES, generator(), pairs=MANY, other=other)
    assert found == pytest.approx(distances.mean(), abs=5 * distances.std() / np.sqrt(MANY))
    assert action_diversity(
        FEATURES, LABELS, generator(), other=(other, other_labels)
    ) == pytest.approx(200, abs=10)


def test_an_absent_class_ends_and_counts_nowhere():
    with_gap = np.where(LABELS == 1, 7, LABELS)  # classes 1, 3, 4, 5 and 6 have no clip
    found = action_diversity(FEATURES, with_gap, generator(), pairs=MANY)
    assert found == pytest.approx(
        action_diversity(FEATURES, LABELS, generator(), pairs=MANY), rel=0.02
    )


def test_one_clip_per_class_has_no_action_diversity():
    assert action_diversity(FEATURES, np.arange(30), generator()) == 0


def test_it_grows_with_scale_and_ignores_a_shift():
    one = overall_diversity(FEATURES, generator(3))
    assert overall_diversity(5 * FEATURES + 7, generator(3)) == pytest.approx(5 * one)


def test_the_generator_decides_the_pairs():
    assert overall_diversity(FEATURES, generator(1)) == overall_diversity(FEATURES, generator(1))
    assert overall_diversity(FEATURES, generator(1)) != overall_diversity(FEATURES, generator(2))


def test_empty_sets_and_sets_without_a_common_class_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        overall_diversity(FEATURES[:0], generator())
    with pytest.raises(ValueError, match="D = 4"):
        overall_diversity(FEATURES, generator(), other=np.zeros((3, 5)))
    with pytest.raises(ValueError, match="class that is in both"):
        action_diversity(FEATURES, LABELS, generator(), other=(FEATURES, LABELS + 9))
