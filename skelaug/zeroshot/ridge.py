"""A linear map from texts to where features of their classes lie: a rival, and a prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["STRENGTHS", "RidgeMap", "fit_ridge", "ridge_map"]

STRENGTHS = tuple(10.0**power for power in range(-3, 4))

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RidgeMap:
    """A linear map from texts to where the features of a class lie; the nearest by cosine wins.

    Attributes:
        weights: E D.
        text_mean: E.
        feature_mean: D; angles are measured about it.
        strength: Of the ridge, beside a mean squared length of a text of 1.
    """

    weights: Array
    text_mean: Array
    feature_mean: Array
    strength: float

    def centroids(self, texts: NDArray[np.floating]) -> Array:
        """Where the map expects the classes, relative to the features' mean: Y E to Y D."""
        return np.asarray((texts - self.text_mean) @ self.weights)

    def scores(self, features: NDArray[np.floating], texts: NDArray[np.floating]) -> Array:
        """Cosines between features N D and the classes of texts Y E: N Y."""
        x, expected = features - self.feature_mean, self.centroids(texts)
        return np.asarray(_unit(x) @ _unit(expected).T)


def fit_ridge(
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    texts: NDArray[np.floating],
    *,
    strengths: Sequence[float] = STRENGTHS,
) -> RidgeMap:
    """The ridge map of classes that have clips: ``min |T W - F|^2 + strength s |W|^2``.

    T are the centred texts and F the centred mean features of the classes, s is the mean squared
    length of a row of T. Of several strengths the one is taken with which classes that are left
    out one by one are best told from all others.

    Args:
        features: N D.
        labels: Class of each, N; classes without clips do not count.
        texts: Of all classes, Y E.
        strengths: What to choose from.
    """
    known = np.unique(labels)
    x, told = np.asarray(features, dtype=np.float64), np.asarray(texts, dtype=np.float64)[known]
    means = np.stack([x[labels == one].mean(axis=0) for one in known])
    rows = {int(one): place for place, one in enumerate(known)}
    places = np.array([rows[int(one)] for one in labels])

    def hits(strength: float) -> float:
        right = []
        for out in range(len(known)):
            kept = np.arange(len(known)) != out
            fitted = ridge_map(means[kept], told[kept], strength)
            said = fitted.scores(x[places == out], told).argmax(axis=1)
            right.append(float((said == out).mean()))
        return float(np.mean(right))

    choose = len(strengths) > 1 and len(known) > 2
    strength = max(strengths, key=hits) if choose else strengths[0]
    return ridge_map(means, told, strength)


def ridge_map(means: Array, texts: Array, strength: float) -> RidgeMap:
    """The map of one strength, by the kernel of the texts, of which there are few.

    Args:
        means: Mean features of classes, Y D.
        texts: Their texts, Y E.
        strength: See `fit_ridge`.
    """
    text_mean, feature_mean = texts.mean(axis=0), means.mean(axis=0)
    t, f = texts - text_mean, means - feature_mean
    penalty = strength * max(float((t**2).sum(axis=1).mean()), np.finfo(float).tiny)
    weights = t.T @ np.linalg.solve(t @ t.T + penalty * np.eye(len(t)), f)
    return RidgeMap(weights, text_mean, feature_mean, strength)


def _unit(x: Array) -> Array:
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.maximum(length, np.finfo(float).tiny))
