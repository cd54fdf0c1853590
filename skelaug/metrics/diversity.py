"""How much the clips of a set differ: over the whole set, and within each action.

Both follow the within-set definition of Action2Motion (Guo et al. 2020, "diversity" and
"multimodality"). A text that pairs synthetic with real features instead describes the cross-set
option, whose published values on real data agree with the within-set one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skelaug.shapes import check_shape

__all__ = ["action_diversity", "overall_diversity"]

PAIRS = 200
PAIRS_PER_CLASS = 20


def overall_diversity(
    features: NDArray[np.floating],
    generator: np.random.Generator,
    *,
    pairs: int = PAIRS,
    other: NDArray[np.floating] | None = None,
) -> float:
    """Mean of ||f_i - g_j||, both drawn with replacement; g is `features` itself by default.

    Args:
        features: N D.
        generator: Decides the pairs.
        pairs: Number of pairs, S_d in the paper.
        other: M D, pairs cross from `features` into this set.

    Raises:
        ValueError: A set is empty, or the widths differ.
    """
    second = features if other is None else other
    _check(features, second)
    i = generator.integers(len(features), size=pairs)
    j = generator.integers(len(second), size=pairs)
    return _mean_distance(features[i], second[j])


def action_diversity(
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    generator: np.random.Generator,
    *,
    pairs: int = PAIRS_PER_CLASS,
    other: tuple[NDArray[np.floating], NDArray[np.integer]] | None = None,
) -> float:
    """Mean of ||f_i - g_j|| over `pairs` pairs of each class, averaged over the classes present.

    The published loop draws clips until every class has its pairs, and so never ends if a class is
    absent. Drawing both members uniformly within each class has the same distribution and ends.
    Both members may be the same clip, as published: k clips of a class lower the expectation by the
    factor 1 - 1/k, so compare sets of equal counts.

    Args:
        features: N D.
        labels: N.
        generator: Decides the pairs.
        pairs: Pairs per class, S_l in the paper.
        other: Features M D and labels M of a second set to cross into.

    Raises:
        ValueError: No class is in both sets.
    """
    second, second_labels = (features, labels) if other is None else other
    _check(features, second)
    shared = np.intersect1d(labels, second_labels)
    if shared.size == 0:
        raise ValueError("labels: expected a class that is in both sets, got none")
    distances = []
    for label in shared:
        own, theirs = np.flatnonzero(labels == label), np.flatnonzero(second_labels == label)
        i = own[generator.integers(len(own), size=pairs)]
        j = theirs[generator.integers(len(theirs), size=pairs)]
        distances.append(_mean_distance(features[i], second[j]))
    return float(np.mean(distances))


def _check(features: NDArray[np.floating], other: NDArray[np.floating]) -> None:
    check_shape(features, "N D", what="features")
    check_shape(other, "M D", what="other", D=features.shape[1])
    if len(features) == 0 or len(other) == 0:
        raise ValueError("features: expected at least one, got none")


def _mean_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    return float(np.linalg.norm(a.astype(np.float64) - b.astype(np.float64), axis=1).mean())
