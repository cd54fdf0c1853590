"""What `advise` reports: the learning curve, the clips that are missing, the worth of synthesis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from skelaug.benchmark.learning_curve import CurveFit
from skelaug.benchmark.report import Estimate
from skelaug.benchmark.scores import CellScore, Gain, gains_over_best, rows_of
from skelaug.benchmark.verdict import Outcome, verdict_of

__all__ = [
    "AdviseReport",
    "Ahead",
    "ClassAdvice",
    "Expected",
    "Findings",
    "SizeReport",
    "SynthesisAdvice",
    "ahead_of",
    "synthesis_advice",
]


class SizeReport(BaseModel, frozen=True):
    """The trainings at one share of the clips.

    Attributes:
        fraction: Share of the clips that are left beside the validation part.
        clips: Clips per class, mean over draws.
        accuracy: On the validation parts.
        draws: Finished trainings.
    """

    fraction: float
    clips: float
    accuracy: Estimate
    draws: int


class Expected(BaseModel, frozen=True):
    """An accuracy that a curve gives.

    Attributes:
        mean: As a fraction.
        low: Lower end of the 95 % interval.
        high: Upper end.
    """

    mean: float
    low: float
    high: float


class Ahead(BaseModel, frozen=True):
    """Clips that a target takes beyond those that are there.

    Attributes:
        more: Per class, rounded up; null = out of reach as far as the curve tells.
        low: Lower end of the 95 % interval.
        high: Upper end; null = none below 100 times the clips that are there.
    """

    more: int | None
    low: int
    high: int | None


class ClassAdvice(BaseModel, frozen=True):
    """One class.

    Attributes:
        label: Its name.
        clips: Clips of it in the training part.
        accuracy: Of its validation clips, with all the clips that are there; by its curve.
        needed: Further clips of it to the target.
    """

    label: str
    clips: int
    accuracy: Expected
    needed: Ahead


class SynthesisAdvice(BaseModel, frozen=True):
    """Synthetic clips beside the real ones, against the real ones alone.

    Attributes:
        generator: What drew them.
        ratio: Synthetic clips over real ones.
        gain: Difference of accuracy, paired by draw.
        p: Of the paired t-test; null for one draw.
        corrected_p: The same corrected by Holm's rule for the number of ratios.
    """

    generator: str
    ratio: float
    gain: Estimate
    p: float | None
    corrected_p: float | None


@dataclass(frozen=True)
class Findings:
    """What finished trainings come to.

    Attributes:
        clips_per_class: Labelled clips of the training part, mean over classes.
        classes: The weakest first.
        accuracy: Expected of all clips that are there; None before two sizes are finished.
        needed: Further clips per class to the target; None likewise.
        synthesis: By ratio; empty without.
        outcome: Whether synthesis ``helped``, ``hurt`` or is ``undecided``; None without.
    """

    clips_per_class: float
    classes: tuple[ClassAdvice, ...] = ()
    accuracy: Expected | None = None
    needed: Ahead | None = None
    synthesis: tuple[SynthesisAdvice, ...] = ()
    outcome: Outcome | None = None


class AdviseReport(BaseModel, frozen=True):
    """All that a probe found out.

    Attributes:
        data: The sequence file.
        split: Its training part, which alone was looked at.
        target: Accuracy wanted.
        clips: Labelled clips of the training part.
        clips_per_class: Their mean over classes.
        curve: The trainings by size.
        law: ``a`` and ``b`` of error(n) = a n^-b; null before two sizes are finished.
        accuracy: Expected of all clips that are there; null likewise.
        needed: Further clips per class to the target; null likewise.
        classes: The weakest first.
        synthesis: By ratio; empty without.
        outcome: Whether synthesis ``helped``, ``hurt`` or is ``undecided``; null without.
        sentences: What it comes to.
        commands: What to do next.
        chance: Accuracy of guessing; null before the first training is finished.
        cells: Trainings of recognizers that are wanted.
        remaining: Of these, those that are not finished.
        seconds: Time of this command.
        dry_run: Whether nothing was to be trained.
        notes: What a reader should know.
        settings: The whole configuration.
    """

    data: str
    split: str
    target: float
    clips: int
    clips_per_class: float
    curve: tuple[SizeReport, ...]
    law: dict[str, float] | None
    accuracy: Expected | None
    needed: Ahead | None
    classes: tuple[ClassAdvice, ...]
    synthesis: tuple[SynthesisAdvice, ...]
    outcome: Outcome | None
    sentences: tuple[str, ...]
    commands: tuple[str, ...]
    chance: float | None
    cells: int
    remaining: int
    seconds: float
    dry_run: bool
    notes: tuple[str, ...]
    settings: dict[str, Any]


def ahead_of(fit: CurveFit, *, target: float, have: float) -> tuple[Expected, Ahead]:
    """What a curve expects of the clips that are there, and how many a target takes beyond them.

    Args:
        fit: The curve.
        target: Accuracy wanted.
        have: Clips per class.
    """
    low, high = fit.band(have)
    needed = fit.needed(target, have)
    expected = Expected(mean=float(fit.accuracy(have)), low=float(low), high=float(high))
    return expected, Ahead(more=needed.more, low=needed.low, high=needed.high)


def synthesis_advice(
    scores: Sequence[CellScore], generator: str
) -> tuple[tuple[SynthesisAdvice, ...], Outcome | None]:
    """The gain of synthetic clips at each ratio, and whether they helped.

    Args:
        scores: Of the arms with and without them.
        generator: What drew them.
    """
    gains = gains_over_best(rows_of(scores))
    if not gains:
        return (), None
    return tuple(_gain(gain, generator) for gain in gains), verdict_of(gains).outcome


def _gain(gain: Gain, generator: str) -> SynthesisAdvice:
    found = gain.difference
    several = found.count > 1
    return SynthesisAdvice(
        generator=generator,
        ratio=gain.row.ratio,
        gain=Estimate(mean=found.mean, half_width=found.half_width if several else None),
        p=found.p if several else None,
        corrected_p=gain.corrected_p if several else None,
    )
