"""``synth --where-it-hurts``: more clips of the classes that a recognizer mistakes for others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from skelaug.errors import DataError, NotFoundError, UsageError
from skelaug.workflows.run_directory import SCORES, RunDirectory

__all__ = [
    "FLATTERY",
    "Confusion",
    "WeakClass",
    "allocated",
    "read_confusion",
    "weak_classes",
]

FLATTERY = (
    "the classes were chosen by the run's test part: a recognizer that learns from these clips "
    "must not be judged by the same part, which flatters it; train the run with --split (and "
    "--test) inside the training part, and keep the test part for the end"
)


@dataclass(frozen=True)
class Confusion:
    """What a recognizer answered to the clips that it was tested on.

    Attributes:
        truths: Class names of the rows.
        classes: Class names of the columns.
        counts: Clips by true class and answer.
    """

    truths: tuple[str, ...]
    classes: tuple[str, ...]
    counts: NDArray[np.int64]

    @property
    def square(self) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """All class names K and the counts K K with truths and answers in their order."""
        names = tuple(dict.fromkeys((*self.truths, *self.classes)))
        counts = np.zeros((len(names), len(names)), dtype=np.int64)
        rows = [names.index(name) for name in self.truths]
        columns = [names.index(name) for name in self.classes]
        counts[np.ix_(rows, columns)] = self.counts
        return names, counts


class WeakClass(BaseModel, frozen=True):
    """A class that is mistaken, and how many clips of it are drawn.

    Attributes:
        label: Its name.
        recall: Fraction of its test clips that were recognized; None of no clips.
        errors: Clips of it taken for others, plus others taken for it.
        confused_with: The class that it was confused with most, either way.
        clips: Clips to draw.
    """

    label: str
    recall: float | None
    errors: int
    confused_with: str
    clips: int


def read_confusion(run: Path) -> Confusion:
    """The confusion matrix in the ``scores.json`` of a run.

    Raises:
        NotFoundError: There is no such run, or it keeps no confusion matrix.
        DataError: The scores are damaged.
    """
    if not run.is_dir():
        raise NotFoundError(f"--where-it-hurts {run}: no such run; give a recognizer's folder")
    path = run / SCORES
    try:
        found = RunDirectory(run).scores().get("confusion")
        if found is None:
            raise NotFoundError(
                f"--where-it-hurts {run}: expected scores with a confusion matrix, got none; train "
                f"the recognizer again with this version, with clips left for a test"
            )
        truths, classes = (tuple(map(str, found[key])) for key in ("truths", "classes"))
        counts = np.array(found["counts"], dtype=np.int64)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{path}: expected a confusion matrix, got {error!r}") from error
    if counts.shape != (len(truths), len(classes)) or (counts < 0).any():
        raise DataError(
            f"{path}: expected {len(truths)} x {len(classes)} counts of clips, got {counts.shape}"
        )
    return Confusion(truths, classes, counts)


def weak_classes(
    confusion: Confusion, *, labels: Sequence[str] = (), total: int | None = None
) -> list[WeakClass]:
    """The classes with errors, and the clips of each in proportion to its errors.

    Args:
        confusion: What was answered.
        labels: Only these classes; empty = all.
        total: Clips in all; None = 100 for each class with errors.

    Raises:
        UsageError: No class has errors.
    """
    names, counts = confusion.square
    mistaken = counts * (1 - np.eye(len(names), dtype=np.int64))
    both = mistaken + mistaken.T
    errors = both.sum(axis=1)
    chosen = [i for i, name in enumerate(names) if errors[i] and (not labels or name in labels)]
    if not chosen:
        which = " among those of --label" if labels else ""
        raise UsageError(
            f"--where-it-hurts: expected classes that were mistaken, got none{which}; choose "
            f"classes with --label alone"
        )
    shares = allocated(errors[chosen], 100 * len(chosen) if total is None else total)
    tested = counts.sum(axis=1)
    return [
        WeakClass(
            label=names[i],
            recall=int(counts[i, i]) / int(tested[i]) if tested[i] else None,
            errors=int(errors[i]),
            confused_with=names[int(both[i].argmax())],
            clips=int(clips),
        )
        for i, clips in zip(chosen, shares, strict=True)
    ]


def allocated(weights: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """`total` divided in proportion to the weights, by largest remainder; equals to the first.

    Args:
        weights: Whole numbers, not all zero.
        total: What is divided; the result sums to it.
    """
    whole = weights.astype(object) * total // int(weights.sum())  # exact, however large
    remainder = weights.astype(object) * total % int(weights.sum())
    shares = whole.astype(np.int64)
    left = total - int(shares.sum())
    shares[np.argsort(-remainder.astype(np.float64), kind="stable")[:left]] += 1
    return shares
