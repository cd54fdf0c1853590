"""Generalised zero-shot recognition: a constant taken off the classes that were learnt.

Classes with training clips win too often over those without. Calibrated stacking (Chao et al.
2016) subtracts one constant from their scores; it is chosen where learnt classes that were held
out play the unseen ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skelaug.metrics.accuracy import harmonic_mean

__all__ = ["Generalised", "calibrated", "choose_constant", "generalised_accuracy"]


class Generalised(NamedTuple):
    """How often clips are named rightly among all classes.

    Attributes:
        seen: Share of the clips of seen classes that are right.
        unseen: Share of the clips of unseen classes that are right.
        harmonic: Harmonic mean of the two.
    """

    seen: float
    unseen: float
    harmonic: float


def calibrated(
    scores: NDArray[np.floating], is_seen: NDArray[np.bool_], constant: float
) -> NDArray[np.float64]:
    """Scores N Y with the constant taken off the seen classes; the order among them stays.

    Args:
        scores: The higher, the likelier.
        is_seen: Which classes were learnt, Y.
        constant: What is taken off.
    """
    return np.asarray(scores, dtype=np.float64) - constant * np.asarray(is_seen, dtype=np.float64)


def generalised_accuracy(
    scores: NDArray[np.floating], labels: NDArray[np.integer], is_seen: NDArray[np.bool_]
) -> Generalised:
    """Accuracy among all classes, of clips of seen and of unseen classes apart.

    Args:
        scores: N Y.
        labels: True classes, N.
        is_seen: Which classes were learnt, Y.

    Raises:
        ValueError: One of the two groups has no clip.
    """
    right, known = np.argmax(scores, axis=1) == labels, np.asarray(is_seen)[labels]
    if known.all() or not known.any():
        raise ValueError("labels: expected clips of seen and of unseen classes, got one group")
    seen, unseen = float(right[known].mean()), float(right[~known].mean())
    return Generalised(seen, unseen, harmonic_mean(seen, unseen))


def choose_constant(
    scores: NDArray[np.floating], labels: NDArray[np.integer], is_seen: NDArray[np.bool_]
) -> float:
    """The constant with the highest harmonic mean; of an interval of best ones, its middle.

    The answer to a clip changes only where the constant passes the lead of its best seen over its
    best unseen class, so these leads are all that must be tried.

    Args:
        scores: Of clips kept from the training, N Y.
        labels: True classes, N.
        is_seen: Which classes count as learnt, Y; the others play the unseen ones.

    Raises:
        ValueError: One of the two groups has no clip, or no class.
    """
    seen = np.asarray(is_seen, dtype=np.bool_)
    leads = np.unique(scores[:, seen].max(axis=1) - scores[:, ~seen].max(axis=1))
    edges = np.concatenate([[leads[0] - 1], leads, [leads[-1] + 1]])
    middles = (edges[:-1] + edges[1:]) / 2
    means = np.array(
        [
            generalised_accuracy(calibrated(scores, seen, float(one)), labels, seen).harmonic
            for one in middles
        ]
    )
    best = np.flatnonzero(np.isclose(means, means.max()))
    run = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
    longest = max(run, key=lambda own: edges[own[-1] + 1] - edges[own[0]])
    return float((edges[longest[0]] + edges[longest[-1] + 1]) / 2)
