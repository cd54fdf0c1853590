"""Confusion matrix and what is read off it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["accuracy", "class_accuracy", "confusion_matrix", "harmonic_mean"]


def confusion_matrix(
    labels: NDArray[np.integer], predictions: NDArray[np.integer], num_classes: int
) -> NDArray[np.int64]:
    """Counts K K: row = true class, column = predicted class.

    Raises:
        ValueError: The two differ in length, or a class lies outside 0..num_classes - 1.
    """
    true, guess = np.asarray(labels, dtype=np.int64), np.asarray(predictions, dtype=np.int64)
    if true.shape != guess.shape or true.ndim != 1:
        raise ValueError(f"predictions: expected {true.shape} classes, got {guess.shape}")
    both = np.concatenate([true, guess])
    if both.size and (both.min() < 0 or both.max() >= num_classes):
        raise ValueError(
            f"classes: expected 0 to {num_classes - 1}, got {both.min()}..{both.max()}"
        )
    counts = np.bincount(true * num_classes + guess, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes).astype(np.int64)


def accuracy(confusion: NDArray[np.integer]) -> float:
    """trace(confusion) / sum(confusion), a fraction.

    Raises:
        ValueError: Nothing was counted.
    """
    total = int(confusion.sum())
    if total == 0:
        raise ValueError("confusion: expected at least one clip, got none")
    return float(np.trace(confusion)) / total


def class_accuracy(confusion: NDArray[np.integer]) -> NDArray[np.float64]:
    """Fraction of each class that was recognised, K; NaN for a class without clips."""
    totals = confusion.sum(axis=1)
    hits = np.diagonal(confusion).astype(np.float64)
    fractions = np.full(len(totals), np.nan)
    np.divide(hits, totals, out=fractions, where=totals > 0)
    return fractions


def harmonic_mean(one: float, other: float) -> float:
    """``2 a b / (a + b)``, which no fraction alone can lift: 0 where either is 0."""
    return 2 * one * other / (one + other) if one > 0 and other > 0 else 0.0
