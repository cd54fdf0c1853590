"""From prepared clips to scores: the recognizer's features, the body's rulers, matched draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skelaug.metrics.neighbours import nearest, nearest_other, root_relative
from skelaug.metrics.plausibility import bone_length_variation, mean_magnitude
from skelaug.metrics.protocol import DRAWS, Comparison, ScoredClips, compare
from skelaug.seeds import Stream, numpy_generator
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.workflows.evaluation_clips import PreparedClips, bones_of, roots_of
from skelaug.workflows.evaluation_network import Recognizer, train_recognizer

__all__ = ["ArrayScores", "Copies", "evaluate_arrays", "scored"]

NEIGHBOUR = "nearest_mm"
COPY_PERCENTILE = 1
_MM = 1000.0
_MOST_QUERIES = 2000


@dataclass(frozen=True)
class Copies:
    """How near synthetic clips come to training clips.

    Attributes:
        threshold_mm: 1st percentile of the distance from a real training clip to its nearest other.
        synthetic: Fraction of synthetic clips below it.
        real: Fraction of real training clips below it: about 0.01.
        held_out: Fraction of held-out clips below it; None without them.
    """

    threshold_mm: float
    synthetic: float
    real: float
    held_out: float | None


@dataclass(frozen=True)
class ArrayScores:
    """All numbers of one evaluation.

    Attributes:
        scores: See `skelaug.metrics.protocol.compare`.
        copies: How many clips are copies.
        train: The real training part as it was measured.
        synthetic: The synthetic clips.
        held_out: Real held-out clips, if any.
        recognizer: The recognizer that was used.
    """

    scores: dict[str, Comparison]
    copies: Copies
    train: ScoredClips
    synthetic: ScoredClips
    held_out: ScoredClips | None
    recognizer: Recognizer


def evaluate_arrays(
    train: PreparedClips,
    synthetic: PreparedClips,
    held_out: PreparedClips | None = None,
    *,
    layout: SkeletonLayout,
    recognizer: Recognizer | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> ArrayScores:
    """Score prepared clips; trains a recognizer on `train` if none is given.

    Keys of the scores: ``fid``, ``accuracy``, ``diversity``, ``action_diversity``,
    ``bone_length_variation`` (fraction), ``velocity_mm`` and ``acceleration_mm`` (per frame of the
    grid), the numbers of `PreparedClips.native`, and ``nearest_mm`` (distance to the nearest
    training clip, root-relative mean over joints and frames); each also with ``.median`` and
    ``.p05``.

    Args:
        train: The real training part.
        synthetic: The synthetic clips.
        held_out: Real clips of other subjects; their scores stand beside the others.
        layout: Joints of one person.
        recognizer: From an earlier call on the same training part.
        draws: Number of matched draws.
        seed: Decides recognizer and draws.
    """
    used = recognizer or train_recognizer(
        train.positions,
        train.labels,
        num_classes=int(train.labels.max()) + 1,
        roots=roots_of(layout, train.positions.shape[2] // layout.num_joints),
        seed=seed,
    )
    return score(train, synthetic, held_out, layout=layout, recognizer=used, draws=draws, seed=seed)


def score(
    train: PreparedClips,
    synthetic: PreparedClips,
    held_out: PreparedClips | None,
    *,
    layout: SkeletonLayout,
    recognizer: Recognizer,
    draws: int,
    seed: int,
) -> ArrayScores:
    """Score prepared clips through a given recognizer; see `evaluate_arrays`."""
    reference = root_relative(train.positions, layout.root)
    own = _queries(len(train), seed, 0)
    distances = np.full(len(train), np.nan)
    distances[own] = nearest_other(reference, own).distances * _MM
    real = scored(train, layout, recognizer, nearest_mm=distances)
    outside = [
        None
        if clips is None
        else scored(
            clips, layout, recognizer, nearest_mm=_to_nearest(clips, reference, layout, seed)
        )
        for clips in (synthetic, held_out)
    ]
    drawn, other = outside
    assert drawn is not None
    return ArrayScores(
        scores=compare(real, drawn, other, draws=draws, seed=seed),
        copies=_copies(real, drawn, other),
        train=real,
        synthetic=drawn,
        held_out=other,
        recognizer=recognizer,
    )


def scored(
    clips: PreparedClips,
    layout: SkeletonLayout,
    recognizer: Recognizer,
    *,
    nearest_mm: NDArray[np.float64],
) -> ScoredClips:
    """Prepared clips with features, predictions and everything that is measured on a clip."""
    reading = recognizer.read(clips.positions)
    persons = clips.positions.shape[2] // layout.num_joints
    return ScoredClips(
        features=reading.features,
        labels=clips.labels,
        predictions=reading.predictions,
        quantities={
            "bone_length_variation": bone_length_variation(
                clips.positions, bones_of(layout, persons)
            ),
            "velocity_mm": _MM * mean_magnitude(clips.positions, order=1),
            "acceleration_mm": _MM * mean_magnitude(clips.positions, order=2),
            **clips.native,
            NEIGHBOUR: nearest_mm,
        },
    )


def _to_nearest(
    clips: PreparedClips, reference: NDArray[np.float32], layout: SkeletonLayout, seed: int
) -> NDArray[np.float64]:
    """Millimetres from each clip to the nearest training clip; NaN for those not asked for."""
    chosen = _queries(len(clips), seed, 1)
    distances = np.full(len(clips), np.nan)
    relative = root_relative(clips.positions[chosen], layout.root)
    distances[chosen] = nearest(relative, reference).distances * _MM
    return distances


def _queries(count: int, seed: int, which: int) -> NDArray[np.int64]:
    """Which clips are searched for: all, or 2,000 of them, so that large files stay quick."""
    if count <= _MOST_QUERIES:
        return np.arange(count)
    order = numpy_generator(seed, Stream.EVALUATE, which).permutation(count)
    return np.sort(order[:_MOST_QUERIES])


def _copies(real: ScoredClips, synthetic: ScoredClips, held_out: ScoredClips | None) -> Copies:
    own = real.quantities[NEIGHBOUR]
    threshold = float(np.nanpercentile(own, COPY_PERCENTILE))

    def nearer(clips: ScoredClips) -> float:
        distances = clips.quantities[NEIGHBOUR]
        return float((distances[np.isfinite(distances)] < threshold).mean())

    return Copies(
        threshold_mm=threshold,
        synthetic=nearer(synthetic),
        real=nearer(real),
        held_out=nearer(held_out) if held_out else None,
    )
