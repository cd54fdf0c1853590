"""What `bench` reports: the table, the gains and the sentence as plain values."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel

from skelaug.benchmark.scores import (
    CellScore,
    Gain,
    Measure,
    Row,
    class_gains,
    gains_over_best,
    gains_over_control,
    require_equal_steps,
    rows_of,
)
from skelaug.benchmark.settings import BenchConfig
from skelaug.benchmark.verdict import Mode, Outcome, Verdict, row_name, verdict_of
from skelaug.metrics.intervals import Interval
from skelaug.metrics.paired import PairedDifference

__all__ = [
    "BenchReport",
    "ClassReport",
    "Estimate",
    "GainReport",
    "RowReport",
    "VerdictReport",
    "bench_report",
]

_CONTROLS = ("classical", "real")  # the first one that takes part


class Estimate(BaseModel, frozen=True):
    """A mean over draws of clips.

    Attributes:
        mean: As a fraction.
        half_width: The 95 % t-interval is mean - half_width to mean + half_width; null for one
            draw, which has none.
    """

    mean: float
    half_width: float | None


class RowReport(BaseModel, frozen=True):
    """One arm at one ratio with one recognizer.

    Attributes:
        recognizer: The network; empty where there is only one.
        arm: Name of the arm.
        ratio: Further clips over real ones, or the share that is replaced or filled up.
        is_synthetic: Whether a generator took part.
        is_bound: Whether the arm uses clips that the user would not have.
        accuracy: Fraction of the test clips that are recognised.
        rare_accuracy: Of the test clips of rare classes; null without any.
        draws: Draws of clips with at least one finished training.
        trainings: Finished trainings.
        steps: Updates of each of them.
        seconds: Mean time of one.
    """

    recognizer: str
    arm: str
    ratio: float
    is_synthetic: bool
    is_bound: bool
    accuracy: Estimate
    rare_accuracy: Estimate | None
    draws: int
    trainings: int
    steps: int
    seconds: float


class GainReport(BaseModel, frozen=True):
    """A row against another one, paired by draw.

    Attributes:
        recognizer: Of both.
        arm: Of the row.
        ratio: Of the row.
        rival_arm: What it is compared with.
        rival_ratio: Its ratio.
        is_bound: Whether the row is an upper bound.
        accuracy: Accuracy of the row minus that of the rival.
        p: Of the paired t-test; null for one draw.
        corrected_p: After Holm's correction for all synthetic rows; null for other rows.
    """

    recognizer: str
    arm: str
    ratio: float
    rival_arm: str
    rival_ratio: float
    is_bound: bool
    accuracy: Estimate
    p: float | None
    corrected_p: float | None


class ClassReport(BaseModel, frozen=True):
    """One class in the row that the verdict is about, against the same class of its rival.

    Attributes:
        label: The class.
        accuracy: Fraction of its test clips that are recognised in the row.
        rival_accuracy: In the rival.
        gain: The difference, paired by draw.
    """

    label: str
    accuracy: float
    rival_accuracy: float
    gain: Estimate


class VerdictReport(BaseModel, frozen=True):
    """Whether synthetic data helped.

    Attributes:
        outcome: ``helped``, ``hurt`` or ``undecided``.
        sentence: The same with its numbers.
    """

    outcome: Outcome
    sentence: str


class BenchReport(BaseModel, frozen=True):
    """Every number of a benchmark.

    Attributes:
        data: The sequence file.
        mode: ``replacement`` or ``incremental``; ``filling`` where rare classes are filled up.
        regime: Who sees which clips.
        verdict: On the accuracy over all test clips.
        rare_verdict: On the accuracy on rare classes; null without any.
        chance: Accuracy of guessing; null before the first cell is finished.
        rows: The table.
        gains: Synthetic rows and upper bounds against the best row that is neither.
        rare_gains: The same for the accuracy on rare classes.
        control: Arm that every other one is compared with; empty without any.
        control_gains: Every row against the control.
        classes: Of the row that the verdict is about, the largest gain first.
        classes_of: Which rows these are, in words.
        cells: Trainings that are wanted.
        remaining: Of these, those that are not finished.
        seconds: Time of this command.
        dry_run: Whether nothing was to be trained.
        notes: What a reader should know.
        settings: The whole configuration.
    """

    data: str
    mode: Mode
    regime: str
    verdict: VerdictReport
    rare_verdict: VerdictReport | None
    chance: float | None
    rows: tuple[RowReport, ...]
    gains: tuple[GainReport, ...]
    rare_gains: tuple[GainReport, ...]
    control: str
    control_gains: tuple[GainReport, ...]
    classes: tuple[ClassReport, ...]
    classes_of: str
    cells: int
    remaining: int
    seconds: float
    dry_run: bool
    notes: tuple[str, ...]
    settings: dict[str, Any]


def bench_report(
    scores: Iterable[CellScore],
    *,
    config: BenchConfig,
    cells: int,
    remaining: int = 0,
    seconds: float = 0.0,
    notes: Sequence[str] = (),
    dry_run: bool = False,
) -> BenchReport:
    """The report on the finished cells.

    Args:
        scores: Of the finished cells.
        config: What was asked for.
        cells: Trainings that are wanted.
        remaining: Of these, those that are not finished.
        seconds: Time of the command.
        notes: What a reader should know.
        dry_run: Whether nothing was to be trained.

    Raises:
        CheckFailedError: Arms made different numbers of updates.
    """
    rows = rows_of(scores)
    require_equal_steps(rows)
    mode: Mode = "filling" if config.regime == "rare" else config.mode
    verdict, gains = _judged(rows, mode, "accuracy")
    has_rare = any(row.values("rare_accuracy") for row in rows)
    rare, rare_gains = _judged(rows, mode, "rare_accuracy") if has_rare else (None, [])
    control = next((arm for arm in _CONTROLS if arm in {row.arm for row in rows}), "")
    best = verdict.gain
    return BenchReport(
        data=str(config.data),
        mode=mode,
        regime=config.regime,
        verdict=_said(verdict),
        rare_verdict=None if rare is None else _said(rare),
        chance=statistics.fmean(c.chance for row in rows for c in row.cells) if rows else None,
        rows=tuple(_row_report(row) for row in rows),
        gains=tuple(map(_gain_report, gains)),
        rare_gains=tuple(map(_gain_report, rare_gains)),
        control=control,
        control_gains=tuple(map(_gain_report, gains_over_control(rows, control)))
        if control
        else (),
        classes=_class_reports(best) if best else (),
        classes_of=_compared(best, mode) if best else "",
        cells=cells,
        remaining=remaining,
        seconds=seconds,
        dry_run=dry_run,
        notes=tuple(notes),
        settings=config.model_dump(mode="json"),
    )


def _judged(rows: Sequence[Row], mode: Mode, measure: Measure) -> tuple[Verdict, Sequence[Gain]]:
    gains = gains_over_best(rows, measure)
    return verdict_of(gains, mode=mode, measure=measure), gains


def _said(verdict: Verdict) -> VerdictReport:
    return VerdictReport(outcome=verdict.outcome, sentence=verdict.sentence)


def _row_report(row: Row) -> RowReport:
    accuracy, rare = row.interval(), row.interval("rare_accuracy")
    if accuracy is None:
        raise ValueError(f"row {row.arm!r}: expected finished cells, got none")
    return RowReport(
        recognizer=row.recognizer,
        arm=row.arm,
        ratio=row.ratio,
        is_synthetic=row.is_synthetic,
        is_bound=row.is_bound,
        accuracy=_estimate(accuracy),
        rare_accuracy=None if rare is None else _estimate(rare),
        draws=row.draws,
        trainings=len(row.cells),
        steps=row.cells[0].steps,
        seconds=row.seconds,
    )


def _gain_report(gain: Gain) -> GainReport:
    return GainReport(
        recognizer=gain.row.recognizer,
        arm=gain.row.arm,
        ratio=gain.row.ratio,
        rival_arm=gain.rival.arm,
        rival_ratio=gain.rival.ratio,
        is_bound=gain.row.is_bound,
        accuracy=_estimate(gain.difference),
        p=gain.difference.p if gain.difference.count > 1 else None,
        corrected_p=gain.corrected_p if gain.difference.count > 1 else None,
    )


def _class_reports(gain: Gain) -> tuple[ClassReport, ...]:
    return tuple(
        ClassReport(
            label=one.label,
            accuracy=one.accuracy,
            rival_accuracy=one.rival_accuracy,
            gain=_estimate(one.difference),
        )
        for one in class_gains(gain.row, gain.rival)
    )


def _compared(gain: Gain, mode: Mode) -> str:
    return f"{row_name(gain.row, mode=mode)} against {row_name(gain.rival, mode=mode)}"


def _estimate(found: Interval | PairedDifference) -> Estimate:
    return Estimate(mean=found.mean, half_width=found.half_width if found.count > 1 else None)
