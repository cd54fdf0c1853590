"""Choosing among the candidates of a clip: pure functions, arrays in, arrays out.

A candidate is asked up to four questions, in this order: does a judge see the wanted class in it,
could it be a body's motion, is it more than a copy of a training clip, and is it not farther from
all training clips than anything real. One that passes everything comes before one that does not;
where none does, one that passes an earlier question comes before one that passes a later one.
Equals are told apart by merit, and after that the earlier candidate wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["CRITERIA", "Evidence", "Standards", "Verdict", "is_better", "verdict"]

CRITERIA = ("judge", "plausible", "copy", "novel")

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Standards:
    """What a candidate must meet.

    Attributes:
        judge_least: Least probability that the judge gives to the wanted class.
        bounds: Least and largest plausible value of each quantity.
        copy_distance: Distance to the nearest training clip below which a candidate is a copy.
        novel_most: Largest novelty that is still within the data's range.
    """

    judge_least: float = 0.5
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    copy_distance: float = 0.0
    novel_most: float = 2.5


@dataclass(frozen=True)
class Evidence:
    """What was found about N candidates; None = not asked.

    Attributes:
        probability: Of the wanted class, by the judge, N.
        quantities: Values N of each quantity that has bounds.
        distance: Metres to the nearest training clip, N; asks whether they are copies.
        novelty: The same over the median distance of training clips to their nearest other, N.
    """

    probability: Numbers | None = None
    quantities: Mapping[str, Numbers] | None = None
    distance: Numbers | None = None
    novelty: Numbers | None = None


class Verdict(NamedTuple):
    """The answers to the questions that were asked.

    Attributes:
        passed: Of each criterion, in the order of `CRITERIA`, whether each candidate meets it, N.
        merit: What tells candidates apart that met the same criteria; larger is better, N.
    """

    passed: Mapping[str, NDArray[np.bool_]]
    merit: Numbers

    @property
    def passes(self) -> NDArray[np.bool_]:
        """Whether each candidate meets everything, N."""
        everything = np.ones(len(self.merit), dtype=np.bool_)
        return np.asarray(np.logical_and.reduce([everything, *self.passed.values()]))

    @property
    def ranks(self) -> Numbers:
        """N R: rows that compare like the candidates do, by their first difference."""
        return np.column_stack([self.passes, *self.passed.values(), self.merit]).astype(np.float64)


def verdict(evidence: Evidence, standards: Standards, *, count: int) -> Verdict:
    """How `count` candidates stand.

    The merit is the probability of the wanted class where the judge misses it; else the novelty,
    where that is asked for, up to `novel_most` and falling beyond it; else the distance of a copy.
    A quantity that is not a number is not plausible.
    """
    passed: dict[str, NDArray[np.bool_]] = {}
    merit: Numbers = np.zeros(count)
    if evidence.distance is not None:
        merit = np.minimum(evidence.distance, standards.copy_distance)
    if evidence.novelty is not None:
        in_range = evidence.novelty <= standards.novel_most
        merit = np.where(in_range, evidence.novelty, -evidence.novelty)
    if evidence.probability is not None:
        passed["judge"] = evidence.probability >= standards.judge_least
        merit = np.where(passed["judge"], merit, evidence.probability)
    if evidence.quantities is not None:
        within = [
            (low <= evidence.quantities[name]) & (evidence.quantities[name] <= high)
            for name, (low, high) in standards.bounds.items()
        ]
        passed["plausible"] = np.asarray(np.logical_and.reduce(within))
    if evidence.distance is not None:
        passed["copy"] = evidence.distance >= standards.copy_distance
    if evidence.novelty is not None:
        passed["novel"] = in_range
    return Verdict(passed, np.nan_to_num(merit, nan=-np.inf, neginf=-np.inf))


def is_better(ranks: Numbers, than: Numbers) -> NDArray[np.bool_]:
    """Whether each row of `Verdict.ranks` N R comes before that of another candidate; N.

    Rows compare by their first difference; equal ones are not better.
    """
    differs = ranks != than
    first = differs.argmax(axis=1)
    rows = np.arange(len(ranks))
    return np.asarray(ranks[rows, first] > than[rows, first], dtype=np.bool_)
