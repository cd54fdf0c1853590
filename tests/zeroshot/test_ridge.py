import numpy as np
import pytest

from skelaug.zeroshot.ridge import fit_ridge


def linear_world(*, classes=14, per_class=12, size=8, text=5, noise=0.1, seed=0):
    """Features that are a linear function of the texts of their classes, and noise."""
    numbers = np.random.default_rng(seed)
    texts = numbers.standard_normal((classes, text))
    labels = np.repeat(np.arange(classes), per_class)
    centres = texts @ numbers.standard_normal((text, size)) + 3
    return centres[labels] + noise * numbers.standard_normal((len(labels), size)), labels, texts


@pytest.mark.parametrize("strength", [1e-3, 1.0, 50.0])
def test_the_ridge_is_the_least_squares_solution_of_the_extended_system(strength):
    features, labels, texts = linear_world()
    found = fit_ridge(features, labels, texts, strengths=[strength])
    means = np.stack([features[labels == y].mean(axis=0) for y in range(14)])
    t, f = texts - texts.mean(axis=0), means - means.mean(axis=0)
    penalty = strength * (t**2).sum(axis=1).mean()
    rows = np.vstack([t, np.sqrt(penalty) * np.eye(5)])
    expected = np.linalg.lstsq(rows, np.vstack([f, np.zeros((5, 8))]), rcond=None)[0]
    np.testing.assert_allclose(found.weights, expected, atol=1e-9)
    cosine = (features[3] - means.mean(axis=0)) @ (t[2] @ expected)
    cosine /= np.linalg.norm(features[3] - means.mean(axis=0)) * np.linalg.norm(t[2] @ expected)
    assert found.scores(features[3:4], texts)[0, 2] == pytest.approx(cosine)


def test_the_ridge_names_classes_it_has_not_seen():
    features, labels, texts = linear_world()
    seen = labels < 10
    ridge = fit_ridge(features[seen], labels[seen], texts)
    said = ridge.scores(features[~seen], texts[10:]).argmax(axis=1) + 10
    assert (said == labels[~seen]).mean() > 0.9


def test_the_strength_is_one_that_names_left_out_classes():
    features, labels, texts = linear_world(noise=1.0)
    assert fit_ridge(features, labels, texts, strengths=[1e9, 1e-3]).strength == 1e-3


def test_texts_of_classes_without_clips_do_not_matter():
    features, labels, texts = linear_world()
    seen = labels < 10
    other = texts.copy()
    other[10:] = np.nan
    one, two = (fit_ridge(features[seen], labels[seen], t).weights for t in (texts, other))
    np.testing.assert_array_equal(one, two)
