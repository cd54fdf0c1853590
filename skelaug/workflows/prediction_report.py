"""What ``predict`` reports beside its answers: how many, how fast and, with labels, how right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from skelaug.workflows.prediction_batches import Rejection

__all__ = ["Chance", "ClassAccuracy", "ModelRow", "PredictReport", "Tally"]

_NAMED = 6


class ModelRow(BaseModel, frozen=True):
    """A model that took part: its network, its streams and the weight of its logits."""

    name: str
    kind: str
    streams: list[str]
    weight: float


class ClassAccuracy(BaseModel, frozen=True):
    """One class of the file: labelled answers, and the fraction of them that is right."""

    label: str
    clips: int
    accuracy: float


class Chance(BaseModel, frozen=True):
    """What knowing nothing scores.

    Attributes:
        uniform: Guessing among the model's classes.
        majority: Always naming the most frequent class of the file.
    """

    uniform: float
    majority: float


class PredictReport(BaseModel, frozen=True):
    """What was predicted.

    Attributes:
        data: The sequence file.
        output: The file that was written; None if the answers went elsewhere.
        confusion: The picture that was written.
        models: Who answered.
        classes: Class names that answers may take.
        clips: Clips with an answer.
        windows: Windows with an answer; None for whole clips.
        rejected: Clips or windows without one.
        accuracy: Fraction of the labelled answers that is right; an answer to a clip of a class
            that the model lacks is wrong. None without labels.
        known_accuracy: The same without clips of such classes.
        unseen_accuracy: The same as `accuracy`, without `training_clips`; None if there are none.
        class_accuracy: By class of the file, in its order.
        chance: What knowing nothing scores; None without labels.
        training_clips: Clips of the file that a model was trained on, as far as models tell.
        unknown_classes: Classes of labelled clips that the model lacks.
        warnings: What should be known beside the numbers.
        seconds: From the start of the workflow, loading included.
        clips_per_second: Clips over those seconds.
        predictions: The answers; None if they were written.
        dry_run: Whether nothing was computed.
    """

    data: str
    output: str | None
    confusion: str | None
    models: list[ModelRow]
    classes: list[str]
    clips: int
    windows: int | None
    rejected: list[Rejection]
    accuracy: float | None
    known_accuracy: float | None
    unseen_accuracy: float | None
    class_accuracy: list[ClassAccuracy]
    chance: Chance | None
    training_clips: int
    unknown_classes: list[str]
    warnings: list[str]
    seconds: float
    clips_per_second: float
    predictions: list[dict[str, Any]] | None
    dry_run: bool


class Tally:
    """Counts of answers by class of the file (rows R) and class of the model (columns K).

    Args:
        truths: Class names of the file.
        classes: Class names of the model.

    Attributes:
        counts: int64 R K.
    """

    def __init__(self, truths: Sequence[str], classes: Sequence[str]) -> None:
        self.truths, self.classes = tuple(truths), tuple(classes)
        self.counts: NDArray[np.int64] = np.zeros((len(truths), len(classes)), dtype=np.int64)

    def add(self, label: int, answer: int) -> None:
        """Count an answer to a clip of class `label` of the file; -1, unknown, is not counted."""
        if label >= 0:
            self.counts[label, answer] += 1

    @property
    def rows(self) -> list[int]:
        """Classes of the file with labelled answers."""
        return [int(row) for row in np.flatnonzero(self.counts.sum(axis=1))]

    def hits(self, row: int) -> int:
        """Right answers to clips of a class of the file; 0 if the model lacks it."""
        name = self.truths[row]
        return int(self.counts[row, self.classes.index(name)]) if name in self.classes else 0

    def fields(self) -> dict[str, Any]:
        """The fields of the report that labels decide."""
        totals = self.counts.sum(axis=1)
        unknown = [self.truths[row] for row in self.rows if self.truths[row] not in self.classes]
        known = [row for row in self.rows if self.truths[row] in self.classes]
        return {
            "accuracy": self.accuracy(),
            "known_accuracy": self.accuracy(known),
            "class_accuracy": [
                ClassAccuracy(
                    label=self.truths[row],
                    clips=int(totals[row]),
                    accuracy=self.hits(row) / int(totals[row]),
                )
                for row in self.rows
            ],
            "chance": Chance(
                uniform=1 / len(self.classes), majority=int(totals.max()) / int(totals.sum())
            )
            if self.rows
            else None,
            "unknown_classes": unknown,
        }

    def table(self) -> dict[str, Any]:
        """The counts as plain JSON: ``truths`` (rows), ``classes`` (columns), ``counts``."""
        return {
            "truths": list(self.truths),
            "classes": list(self.classes),
            "counts": self.counts.tolist(),
        }

    def accuracy(self, rows: Sequence[int] | None = None) -> float | None:
        """Fraction of right answers, of all or of these classes of the file; None of no clips."""
        chosen = self.rows if rows is None else list(rows)
        total = int(self.counts[chosen].sum())
        return sum(map(self.hits, chosen)) / total if total else None

    def warnings(self, name: str) -> list[str]:
        """A sentence about classes of the file `name` that the model lacks, if there are any."""
        unknown = [row for row in self.rows if self.truths[row] not in self.classes]
        if not unknown:
            return []
        clips = int(self.counts[unknown].sum())
        names = ", ".join(repr(self.truths[row]) for row in unknown[:_NAMED])
        more = " ..." if len(unknown) > _NAMED else ""
        return [
            f"{name}: {clips} labelled answers are about {len(unknown)} classes that the model "
            f"lacks ({names}{more}); they count as wrong"
        ]

    def draw(self, path: Path, *, title: str) -> None:
        """Write the confusion matrix as a PNG, whole or not at all."""
        from skelaug.plots.confusion import draw_confusion  # matplotlib loads here

        draw_confusion(
            path,
            {title: self.counts[self.rows]},
            rows=[self.truths[row] for row in self.rows],
            columns=self.classes,
        )
