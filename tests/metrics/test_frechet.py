import numpy as np
import pytest
from scipy import linalg

from skelaug.metrics.frechet import frechet_distance, frechet_from_moments, moments

RNG = np.random.default_rng(0)


def random_covariance(size, rng, rank=None):
    root = rng.normal(size=(size, rank or size))
    return root @ root.T


def test_shifting_a_set_costs_the_squared_length_of_the_shift():
    features, shift = RNG.normal(size=(50, 6)), RNG.normal(size=6)
    assert frechet_distance(features, features + shift) == pytest.approx(shift @ shift, rel=1e-9)


def test_a_set_is_at_distance_zero_from_itself():
    features = RNG.normal(size=(40, 5))
    assert frechet_distance(features, features[::-1]) == pytest.approx(0.0, abs=1e-10)


def test_it_is_symmetric_and_a_rotation_of_both_changes_nothing():
    a, b = RNG.normal(size=(40, 5)), 2 * RNG.normal(size=(60, 5)) + 1
    turn = np.linalg.qr(RNG.normal(size=(5, 5)))[0]
    expected = frechet_distance(a, b)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-10)
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(expected, rel=1e-10)


def test_diagonal_covariances_have_a_closed_form():
    a, b = np.array([1.0, 4.0, 9.0]), np.array([4.0, 4.0, 0.25])
    mean_a, mean_b = np.zeros(3), np.array([1.0, 0.0, -2.0])
    expected = 5.0 + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    found = frechet_from_moments(mean_a, np.diag(a), mean_b, covariance_b=np.diag(b))
    assert found == pytest.approx(expected, rel=1e-12)


def test_it_equals_the_definition_by_the_matrix_square_root():
    for size in (2, 5, 12):
        a, b = random_covariance(size, RNG), random_covariance(size, RNG)
        mean_a, mean_b = RNG.normal(size=size), RNG.normal(size=size)
        root = linalg.sqrtm(a @ b).real
        expected = ((mean_a - mean_b) ** 2).sum() + np.trace(a + b - 2 * root)
        found = frechet_from_moments(mean_a, a, mean_b, covariance_b=b)
        assert found == pytest.approx(expected, rel=1e-8)


def test_fewer_clips_than_features_need_no_regularisation():
    # all features on one line: the distance is that of two one-dimensional Gaussians
    direction = RNG.normal(size=8)
    direction /= np.linalg.norm(direction)
    a, b = RNG.normal(size=4), 3 * RNG.normal(size=5) + 2
    expected = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
    found = frechet_distance(np.outer(a, direction), np.outer(b, direction))
    assert found == pytest.approx(expected, rel=1e-7)


def test_the_covariance_is_the_unbiased_one():
    features = RNG.normal(size=(7, 3)).astype(np.float32)
    mean, covariance = moments(features)
    assert covariance.dtype == np.float64
    np.testing.assert_allclose(mean, features.astype(np.float64).mean(axis=0))
    np.testing.assert_allclose(covariance, np.cov(features.astype(np.float64).T, ddof=1))


def test_smaller_sets_of_one_distribution_are_farther_apart():
    sizes = (20, 80, 320)
    means = [
        np.mean([frechet_distance(*RNG.normal(size=(2, n, 6))) for _ in range(20)]) for n in sizes
    ]
    assert means[0] > means[1] > means[2] > 0


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3)), "at least 2"),
        (np.zeros((5, 3)), np.zeros((5, 4)), "D = 3"),
        (np.full((5, 3), np.nan), np.zeros((5, 3)), "finite"),
    ],
)
def test_sets_without_a_covariance_are_refused(a, b, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(a, b)
