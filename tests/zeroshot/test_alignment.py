import numpy as np

from skelaug.zeroshot.alignment import fit_alignment


def linear_world(*, classes=14, per_class=12, size=8, text=5, noise=0.1, seed=0):
    """Features that are a linear function of the texts of their classes, and noise."""
    numbers = np.random.default_rng(seed)
    texts = numbers.standard_normal((classes, text))
    labels = np.repeat(np.arange(classes), per_class)
    centres = texts @ numbers.standard_normal((text, size)) + 3
    return centres[labels] + noise * numbers.standard_normal((len(labels), size)), labels, texts


def test_the_alignment_names_classes_it_has_not_seen_and_is_the_same_again():
    features, labels, texts = linear_world(classes=24)
    seen = labels < 20
    models = [fit_alignment(features[seen], labels[seen], texts, seed=3, steps=150) for _ in "ab"]
    scores = models[0].scores(features[~seen], texts[20:])
    assert ((scores.argmax(axis=1) + 20) == labels[~seen]).mean() > 0.6
    np.testing.assert_array_equal(scores, models[1].scores(features[~seen], texts[20:]))
    assert np.isfinite(scores).all()
