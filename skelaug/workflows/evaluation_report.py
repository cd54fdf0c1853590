"""What `eval` reports: plain values from the scores of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from skelaug.diffusion.spectral import low_band
from skelaug.metrics.accuracy import class_accuracy, confusion_matrix
from skelaug.metrics.intervals import Interval
from skelaug.metrics.protocol import Comparison
from skelaug.workflows.evaluation_data import EvaluationData
from skelaug.workflows.evaluation_scores import HIGH_BAND, ArrayScores, energy_key

__all__ = [
    "ClassRow",
    "ClipCounts",
    "CopyReport",
    "Estimate",
    "EvaluationReport",
    "RecognizerReport",
    "Score",
    "SpectrumReport",
    "class_rows",
    "confusions",
    "score_fields",
    "spectrum_report",
]


class Estimate(BaseModel, frozen=True):
    """A mean over draws; the 95 % t-interval is mean - half_width to mean + half_width."""

    mean: float
    half_width: float


class Score(BaseModel, frozen=True):
    """One number of the synthetic clips with the same number of real clips beside it.

    Attributes:
        unit: Of the numbers; empty for fractions and distances between features.
        synthetic: Of the synthetic clips.
        real: Of real training clips against other real training clips: the floor.
        held_out: Of the real test part; null without one.
        ratio: Synthetic over real; null where real is 0.
    """

    unit: str = ""
    synthetic: Estimate
    real: Estimate
    held_out: Estimate | None = None
    ratio: float | None = None


class CopyReport(BaseModel, frozen=True):
    """How many clips lie nearer to a training clip than real ones do to one another.

    Attributes:
        threshold_mm: 1st percentile of the distance from a training clip to its nearest other.
        synthetic: Fraction of synthetic clips below it.
        real: Fraction of training clips below it.
        held_out: Fraction of test clips below it.
    """

    threshold_mm: float
    synthetic: float
    real: float
    held_out: float | None


class SpectrumReport(BaseModel, frozen=True):
    """Energy of the motions by frequency; see `skelaug.metrics.spectrum`.

    Attributes:
        unit: Of the energies.
        low: The frequencies below this index are low, the others high.
        synthetic: Of each frequency, k half waves per clip, from k = 0 on.
        real: Of real training clips.
        held_out: Of the real test part; null without one.
        high_band: Sum of the high ones; its ratio is 1 where no fast motion is lost or invented.
    """

    unit: str = "mm²"
    low: int
    synthetic: list[Estimate]
    real: list[Estimate]
    held_out: list[Estimate] | None
    high_band: Score


class RecognizerReport(BaseModel, frozen=True):
    """The recognizers behind FID, accuracy and diversity.

    Attributes:
        source: ``trained``, or the file that they came from.
        held_out_accuracy: Fraction of all test clips that they recognise; null without any.
        unseen_accuracy: Fraction of training clips recognised by the member that has not seen them.
        seconds: Time of their training.
    """

    source: str
    held_out_accuracy: float | None
    unseen_accuracy: float
    seconds: float


class ClassRow(BaseModel, frozen=True):
    """One class: clips on each side, and the fraction recognised as it."""

    label: str
    train: int
    synthetic: int
    held_out: int
    synthetic_accuracy: float
    held_out_accuracy: float | None


class ClipCounts(BaseModel, frozen=True):
    """Clips on each side, and per set and draw."""

    train: int
    synthetic: int
    held_out: int
    per_draw: int


class EvaluationReport(BaseModel, frozen=True):
    """Every number of one evaluation.

    Attributes:
        real: The real file.
        synthetic: The synthetic file.
        split: The rule that divides the real clips; empty = all are the training part.
        split_hash: Of the names of the training clips.
        draws: Matched draws.
        clips: Clips used.
        fid: Frechet distance of recognizer features to real training clips.
        accuracy: Fraction recognised as their label.
        diversity: Mean feature distance between any two clips.
        action_diversity: The same within a class.
        bone_length_variation: Deviation of bone lengths over time over their mean.
        velocity_mm: Mean speed of joints per frame of the grid.
        acceleration_mm: Mean acceleration per squared frame of the grid.
        velocity_m_s: Mean speed at the clips' own frame rate.
        acceleration_m_s2: Mean acceleration at the clips' own frame rate.
        nearest_median_mm: Median distance to the nearest (other) training clip.
        nearest_p05_mm: 5th percentile of it.
        spectrum: Energy of the motions by frequency.
        copies: Clips that are nearer than real ones are to one another.
        recognizer: What looked at the clips.
        classes: One row per compared class.
        notes: What was left out or could not be checked.
        seconds: Time of the whole evaluation.
    """

    real: str
    synthetic: str
    split: str
    split_hash: str
    draws: int
    clips: ClipCounts
    fid: Score
    accuracy: Score
    diversity: Score
    action_diversity: Score
    bone_length_variation: Score
    velocity_mm: Score
    acceleration_mm: Score
    velocity_m_s: Score
    acceleration_m_s2: Score
    nearest_median_mm: Score
    nearest_p05_mm: Score
    spectrum: SpectrumReport
    copies: CopyReport
    recognizer: RecognizerReport
    classes: list[ClassRow]
    notes: list[str]
    seconds: float


_SCORES = {  # field of the report: (key of the scores, unit)
    "fid": ("fid", ""),
    "accuracy": ("accuracy", ""),
    "diversity": ("diversity", ""),
    "action_diversity": ("action_diversity", ""),
    "bone_length_variation": ("bone_length_variation", ""),
    "velocity_mm": ("velocity_mm", "mm/frame"),
    "acceleration_mm": ("acceleration_mm", "mm/frame²"),
    "velocity_m_s": ("velocity_m_s", "m/s"),
    "acceleration_m_s2": ("acceleration_m_s2", "m/s²"),
    "nearest_median_mm": ("nearest_mm.median", "mm"),
    "nearest_p05_mm": ("nearest_mm.p05", "mm"),
}


def score_fields(scores: Mapping[str, Comparison]) -> dict[str, Score]:
    """The scores under the names of the report's fields."""
    return {name: _score(scores[key], unit) for name, (key, unit) in _SCORES.items()}


def spectrum_report(scores: Mapping[str, Comparison], frames: int) -> SpectrumReport:
    """The spectrum of clips of so many frames, from the scores of `evaluate_arrays`."""
    energies = [_score(scores[energy_key(k)], "mm²") for k in range(frames)]
    outside = [score.held_out for score in energies if score.held_out is not None]
    return SpectrumReport(
        low=low_band(frames),
        synthetic=[score.synthetic for score in energies],
        real=[score.real for score in energies],
        held_out=outside or None,
        high_band=_score(scores[HIGH_BAND], "mm²"),
    )


def _score(comparison: Comparison, unit: str) -> Score:
    ratio = comparison.ratio
    return Score(
        unit=unit,
        synthetic=_estimate(comparison.synthetic),
        real=_estimate(comparison.real),
        held_out=_estimate(comparison.held_out) if comparison.held_out else None,
        ratio=ratio if math.isfinite(ratio) else None,
    )


def _estimate(interval: Interval) -> Estimate:
    return Estimate(mean=interval.mean, half_width=interval.half_width)


def confusions(result: ArrayScores, num_classes: int) -> dict[str, NDArray[np.int64]]:
    """Counts K K of synthetic and held-out clips, one count per recognizer and clip."""
    sides = {"synthetic": [view.synthetic for view in result.views]}
    if result.views[0].held_out is not None:
        sides["held-out"] = [view.held_out for view in result.views if view.held_out]
    return {
        name: np.sum(
            [confusion_matrix(c.labels, c.predictions, num_classes) for c in clips], axis=0
        )
        for name, clips in sides.items()
    }


def class_rows(data: EvaluationData, result: ArrayScores) -> list[ClassRow]:
    """One row for each class that both training part and synthetic clips have."""
    matrices = confusions(result, len(data.classes))
    fractions = {name: class_accuracy(matrix) for name, matrix in matrices.items()}
    outside = data.held_out.labels if data.held_out else np.empty(0, dtype=np.int64)
    rows = []
    for label in np.intersect1d(data.synthetic.labels, data.train.labels).tolist():
        held_out = fractions["held-out"][label] if "held-out" in fractions else math.nan
        rows.append(
            ClassRow(
                label=data.classes[label],
                train=int((data.train.labels == label).sum()),
                synthetic=int((data.synthetic.labels == label).sum()),
                held_out=int((outside == label).sum()),
                synthetic_accuracy=float(fractions["synthetic"][label]),
                held_out_accuracy=None if math.isnan(held_out) else float(held_out),
            )
        )
    return rows
