"""From the scores of trainings to what a benchmark says: rows, paired gains, one verdict.

A row is one arm at one ratio with one recognizer. Every draw of clips counts once, as the mean of
its repeats. A synthetic row is judged against the best row without synthetic clips: the best of
several is best partly by luck, which makes the comparison a strict one.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from skelaug.errors import CheckFailedError, UsageError, did_you_mean
from skelaug.metrics.intervals import Interval, interval_of
from skelaug.metrics.paired import PairedDifference, draw_means, holm, nested_difference

__all__ = [
    "CellScore",
    "ClassGain",
    "Gain",
    "Row",
    "best_rivals",
    "class_gains",
    "gains_over_best",
    "gains_over_control",
    "require_equal_steps",
    "rows_of",
]

Measure = Literal["accuracy", "rare_accuracy"]


@dataclass(frozen=True)
class CellScore:
    """What one training of a recognizer scored on the test clips.

    Attributes:
        arm: Name of the arm.
        ratio: Further clips over real ones, or the share that is replaced; 0 without any.
        seed: Number of the draw of clips.
        repeat: Number of the training on that draw.
        accuracy: Fraction of the test clips that are recognised.
        class_accuracy: Class to the fraction of its test clips that are recognised.
        chance: Accuracy of guessing.
        steps: Updates that the recognizer made.
        seconds: Time of the training and the test.
        rare_accuracy: Accuracy on the test clips of the rare classes; None without any.
        recognizer: Name of the network.
        is_synthetic: Whether a generator took part.
        is_bound: Whether the arm uses clips that the user would not have.
    """

    arm: str
    ratio: float
    seed: int
    repeat: int
    accuracy: float
    class_accuracy: Mapping[str, float]
    chance: float
    steps: int
    seconds: float
    rare_accuracy: float | None = None
    recognizer: str = ""
    is_synthetic: bool = False
    is_bound: bool = False


@dataclass(frozen=True)
class Row:
    """All trainings of one arm at one ratio with one recognizer.

    Attributes:
        cells: Their scores, by draw and repeat.
    """

    cells: tuple[CellScore, ...]

    @property
    def arm(self) -> str:
        """Name of the arm."""
        return self.cells[0].arm

    @property
    def ratio(self) -> float:
        """Further clips over real ones, or the share that is replaced."""
        return self.cells[0].ratio

    @property
    def recognizer(self) -> str:
        """Name of the network."""
        return self.cells[0].recognizer

    @property
    def is_bound(self) -> bool:
        """Whether the arm uses clips that the user would not have."""
        return self.cells[0].is_bound

    @property
    def is_synthetic(self) -> bool:
        """Whether a generator took part."""
        return self.cells[0].is_synthetic

    @property
    def draws(self) -> int:
        """Number of draws with at least one finished training."""
        return len({cell.seed for cell in self.cells})

    @property
    def seconds(self) -> float:
        """Mean time of a training."""
        return statistics.fmean(cell.seconds for cell in self.cells)

    def values(self, measure: Measure) -> dict[tuple[int, int], float]:
        """(draw, repeat) to the score; those without this measure are left out."""
        return {
            (cell.seed, cell.repeat): value
            for cell in self.cells
            if (value := getattr(cell, measure)) is not None
        }

    def interval(self, measure: Measure = "accuracy") -> Interval | None:
        """Mean and 95 % t-interval over draws; None where nothing has this measure."""
        means = draw_means(self.values(measure))
        return interval_of(list(means.values())) if means else None


@dataclass(frozen=True)
class Gain:
    """A row against another one, paired by draw.

    Attributes:
        row: What is judged.
        rival: What it is judged against.
        difference: Score of the row minus that of the rival.
        corrected_p: The p-value corrected by Holm's rule for all synthetic rows that are looked
            at; None for rows that are not synthetic or an upper bound.
    """

    row: Row
    rival: Row
    difference: PairedDifference
    corrected_p: float | None = None


@dataclass(frozen=True)
class ClassGain:
    """One class of a row against the same class of its rival.

    Attributes:
        label: The class.
        accuracy: Mean of the row over draws.
        rival_accuracy: Mean of the rival.
        difference: Row minus rival, paired by draw.
    """

    label: str
    accuracy: float
    rival_accuracy: float
    difference: PairedDifference


def rows_of(scores: Iterable[CellScore]) -> tuple[Row, ...]:
    """The rows that scores belong to: arms in the order of their first score, ratios rising.

    Raises:
        ValueError: Two scores are of the same training.
    """
    found: dict[tuple[str, str], dict[float, list[CellScore]]] = {}
    for score in scores:
        ratios = found.setdefault((score.recognizer, score.arm), {})
        ratios.setdefault(score.ratio, []).append(score)
    rows = []
    for ratios in found.values():
        for ratio in sorted(ratios):
            cells = sorted(ratios[ratio], key=lambda cell: (cell.seed, cell.repeat))
            if len({(cell.seed, cell.repeat) for cell in cells}) < len(cells):
                raise ValueError(f"scores: {cells[0].arm!r} at {ratio:g} has one training twice")
            rows.append(Row(tuple(cells)))
    return tuple(rows)


def require_equal_steps(rows: Iterable[Row]) -> None:
    """Refuse to compare trainings of different lengths.

    Raises:
        CheckFailedError: Two arms of one recognizer made different numbers of updates.
    """
    steps: dict[str, dict[int, str]] = {}
    for row in rows:
        for cell in row.cells:
            steps.setdefault(row.recognizer, {}).setdefault(cell.steps, cell.arm)
    for recognizer, arms in steps.items():
        if len(arms) > 1:
            counts = ", ".join(f"{count} in {arm!r}" for count, arm in sorted(arms.items()))
            raise CheckFailedError(
                f"bench {recognizer}: expected the same number of updates in every arm, "
                f"got {counts}; longer training alone can pass for a gain"
            )


def best_rivals(rows: Sequence[Row], measure: Measure = "accuracy") -> dict[str, Row]:
    """For each recognizer the best row without synthetic clips, by its mean.

    Upper bounds are no rivals: nobody who asks could have trained them. In an unfinished grid only
    rows with the most draws are considered.
    """
    best: dict[str, tuple[int, float, Row]] = {}
    for row in rows:
        interval = row.interval(measure)
        if row.is_synthetic or row.is_bound or interval is None:
            continue
        before = best.get(row.recognizer)
        if before is None or (interval.count, interval.mean) > before[:2]:
            best[row.recognizer] = (interval.count, interval.mean, row)
    return {recognizer: row for recognizer, (_, _, row) in best.items()}


def gains_over_best(rows: Sequence[Row], measure: Measure = "accuracy") -> tuple[Gain, ...]:
    """Every synthetic row and every upper bound against the best row that is neither."""
    best = best_rivals(rows, measure)
    pairs = [
        (row, best[row.recognizer])
        for row in rows
        if (row.is_synthetic or row.is_bound) and row.recognizer in best
    ]
    return _gains(pairs, measure)


def gains_over_control(
    rows: Sequence[Row], control: str, measure: Measure = "accuracy"
) -> tuple[Gain, ...]:
    """Every row against a named arm: at the same ratio where that has it, else at its lowest.

    Raises:
        UsageError: No row is of that arm.
    """
    controls: dict[str, list[Row]] = {}
    for row in rows:
        if row.arm == control:
            controls.setdefault(row.recognizer, []).append(row)
    if not controls:
        near = did_you_mean(control, {row.arm for row in rows})
        raise UsageError(f"control {control!r}: expected an arm of this benchmark; {near}")
    pairs = []
    for row in rows:
        own = controls.get(row.recognizer, []) if row.arm != control else []
        equal = [one for one in own if one.ratio == row.ratio]
        pairs += [(row, one) for one in (equal or own)[:1]]
    return _gains(pairs, measure)


def class_gains(row: Row, rival: Row) -> tuple[ClassGain, ...]:
    """The classes of a row against those of its rival, the largest gain first."""
    labels = dict.fromkeys(label for cell in row.cells for label in cell.class_accuracy)
    found = []
    for label in labels:
        one, other = _of_class(row, label), _of_class(rival, label)
        difference = nested_difference(one, other)
        if difference is not None:
            mean = statistics.fmean(draw_means(one).values())
            rival_mean = statistics.fmean(draw_means(other).values())
            found.append(ClassGain(label, mean, rival_mean, difference))
    return tuple(sorted(found, key=lambda gain: (-gain.difference.mean, gain.label)))


def _gains(pairs: Sequence[tuple[Row, Row]], measure: Measure) -> tuple[Gain, ...]:
    """The pairs that have common draws, with p-values corrected over the synthetic rows."""
    gains = []
    for row, rival in pairs:
        difference = nested_difference(row.values(measure), rival.values(measure))
        if difference is not None:
            gains.append(Gain(row, rival, difference))
    family = [i for i, gain in enumerate(gains) if gain.row.is_synthetic and not gain.row.is_bound]
    corrected = holm([gains[i].difference.p for i in family])
    for i, p in zip(family, corrected, strict=True):
        gains[i] = replace(gains[i], corrected_p=p)
    return tuple(gains)


def _of_class(row: Row, label: str) -> dict[tuple[int, int], float]:
    return {
        (cell.seed, cell.repeat): cell.class_accuracy[label]
        for cell in row.cells
        if label in cell.class_accuracy
    }
