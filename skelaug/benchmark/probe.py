"""The finished trainings of a probe, and what they come to: curves and gains."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from skelaug.benchmark.advice import ClassAdvice, Findings, SizeReport, ahead_of, synthesis_advice
from skelaug.benchmark.cells import Place
from skelaug.benchmark.draws import Draw, LabelledClips
from skelaug.benchmark.grid import Task
from skelaug.benchmark.learning_curve import CurveFit, CurvePoint, fit_class_curves, fit_curve
from skelaug.benchmark.report import Estimate
from skelaug.benchmark.scores import CellScore
from skelaug.data.splits import Split
from skelaug.metrics.intervals import interval_of

__all__ = ["Probe", "ProbeCell"]

Scores = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class ProbeCell:
    """A training of the probe.

    Attributes:
        place: Its arm, ratio and seed.
        fraction: Share of the clips beside the validation part.
        draw: Who sees which clips.
        task: Its task.
    """

    place: Place
    fraction: float
    draw: Draw
    task: Task


class Probe:
    """What the finished trainings scored.

    Args:
        file: All clips.
        split: Which of them may be looked at.
        target: Accuracy wanted.
        finished: By cell what ``scores.json`` says.

    Attributes:
        counts: Labelled clips of each class of the training part.
    """

    def __init__(
        self,
        file: LabelledClips,
        split: Split,
        target: float,
        finished: Mapping[ProbeCell, Scores],
    ) -> None:
        self._target, self._finished = target, finished
        labels = [int(label) for label in file.labels]
        self._labels = {
            name: file.classes[label]
            for name, label in zip(file.names, labels, strict=True)
            if label >= 0
        }
        found = Counter(labels[row] for row in split.train.tolist() if labels[row] >= 0)
        self.counts = {name: found[i] for i, name in enumerate(file.classes) if found[i]}
        self._real = {cell: told for cell, told in finished.items() if not cell.place.ratio}

    @cached_property
    def fit(self) -> CurveFit | None:
        """The law of all classes together; None before two sizes are finished."""
        points = [self._point(cell, told) for cell, told in self._real.items()]
        shares = {cell.fraction for cell in self._real}
        several = len(shares) > 1 and len({point.clips for point in points}) > 1
        return fit_curve(points) if several else None

    @property
    def steps(self) -> int | None:
        """Updates of each recognizer; None before the first is finished."""
        return next((int(told["steps"]) for told in self._finished.values()), None)

    @property
    def chance(self) -> float | None:
        """Accuracy of guessing; None before the first training is finished."""
        chances = [told["chance"] for told in self._finished.values()]
        return statistics.fmean(chances) if chances else None

    @property
    def sizes(self) -> tuple[SizeReport, ...]:
        """The trainings by share of the clips, without synthetic ones."""
        found = []
        for fraction in sorted({cell.fraction for cell in self._real}):
            own = {cell: told for cell, told in self._real.items() if cell.fraction == fraction}
            mean = interval_of([told["accuracy"] for told in own.values()])
            half_width = mean.half_width if mean.count > 1 else None
            found.append(
                SizeReport(
                    fraction=fraction,
                    clips=statistics.fmean(self._point(*one).clips for one in own.items()),
                    accuracy=Estimate(mean=mean.mean, half_width=half_width),
                    draws=len(own),
                )
            )
        return tuple(found)

    def findings(self, generator: str) -> Findings:
        """What all of it comes to.

        Args:
            generator: What drew the synthetic clips.
        """
        have = statistics.fmean(self.counts.values()) if self.counts else 0.0
        synthesis, outcome = synthesis_advice(self._compared(), generator)
        if self.fit is None:
            return Findings(have, synthesis=synthesis, outcome=outcome)
        accuracy, needed = ahead_of(self.fit, target=self._target, have=have)
        classes = self._classes(self.fit)
        return Findings(have, classes, accuracy, needed, synthesis, outcome)

    def _learned(self, cell: ProbeCell) -> Counter[str]:
        """Clips of each class that a cell learned from."""
        return Counter(self._labels[name] for name in cell.draw.recognizer)

    def _point(self, cell: ProbeCell, told: Scores) -> CurvePoint:
        clips = statistics.fmean(self._learned(cell).values())
        answers = len(cell.draw.test)
        right = round(told["accuracy"] * answers)
        return CurvePoint(clips, right, answers - right, cell.place.seed)

    def _classes(self, overall: CurveFit) -> tuple[ClassAdvice, ...]:
        """Every class that was tested, the weakest first."""
        points: dict[str, list[CurvePoint]] = {}
        for cell, told in self._real.items():
            learned, table = self._learned(cell), told["confusion"]
            for label, counts in zip(table["truths"], table["counts"], strict=True):
                right = counts[table["classes"].index(label)]
                wrong = sum(counts) - right
                if right + wrong:
                    point = CurvePoint(learned[label], right, wrong, cell.place.seed)
                    points.setdefault(label, []).append(point)
        found = []
        for label, fit in fit_class_curves(overall, points).items():
            have = self.counts[label]
            accuracy, needed = ahead_of(fit, target=self._target, have=have)
            found.append(ClassAdvice(label=label, clips=have, accuracy=accuracy, needed=needed))
        return tuple(sorted(found, key=lambda one: (one.accuracy.mean, one.label)))

    def _compared(self) -> list[CellScore]:
        """The cells that differ in synthetic clips alone; none where there are none of these."""
        synthetic = {cell.fraction for cell in self._finished if cell.place.ratio}
        return [
            CellScore(
                arm=cell.place.arm.name,
                ratio=cell.place.ratio,
                seed=cell.place.seed,
                repeat=cell.place.repeat,
                accuracy=told["accuracy"],
                class_accuracy=told["classes"],
                chance=told["chance"],
                steps=told["steps"],
                seconds=told["seconds"],
                is_synthetic=cell.place.arm.is_synthetic,
            )
            for cell, told in self._finished.items()
            if cell.fraction in synthetic
        ]
