"""What ``skelaug score`` is told and what it tells: settings, scores as text, the report."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from skelaug.imputation.prior import Density
from skelaug.workflows.prediction_batches import Rejection

__all__ = [
    "ClipScore",
    "LabelScore",
    "ScoreConfig",
    "ScoreReport",
    "Tally",
    "UsualScore",
    "as_csv",
    "as_lines",
]


class ScoreConfig(BaseModel, frozen=True, extra="forbid"):
    """Which clips are scored by which prior, and where the scores go.

    Attributes:
        data: Sequence file.
        model: Packaged model, run directory or safetensors file.
        by: The log-density that decides, see `skelaug.imputation.typicality`.
        split: A protocol or rule; only clips outside its training part are scored. Empty takes all.
        min_confidence: A joint with less counts as missing.
        like: Sequence file of clips that nothing is wrong with: their mean and spread say what is
            usual, instead of those of the training clips.
        out: File to write; None hands the lines to the caller.
        format: Of the scores; ``auto`` is CSV where `out` ends in .csv, else JSON lines.
        picture: PNG of a histogram of the scores to write.
    """

    data: Path
    model: str = "kinect20"
    by: Density = "joint"
    split: str = ""
    min_confidence: float = Field(default=0.0, ge=0.0, le=1.0)
    like: Path | None = None
    out: Path | None = None
    format: Literal["auto", "jsonl", "csv"] = "auto"
    picture: Path | None = None

    @property
    def is_csv(self) -> bool:
        """Whether scores are written as CSV."""
        by_name = self.out is not None and self.out.suffix.lower() == ".csv"
        return self.format == "csv" or (self.format == "auto" and by_name)


class ClipScore(BaseModel, frozen=True):
    """How much one person of a clip looks like the usual clips.

    Attributes:
        name: Of the clip.
        person: Place along the file's axis of persons, from 0.
        label: Class that the file names; None where it names none.
        score: The log-density that was asked for in nats, mean over windows.
        standardised: Deviations of the usual clips that it lies above their mean.
        out_of_distribution: Whether it lies more than one deviation below.
        frames: Frames of the clip.
        missing: Joints of all its frames that were filled with the training mean.
    """

    name: str
    person: int
    label: str | None
    score: float
    standardised: float
    out_of_distribution: bool
    frames: int
    missing: int


class LabelScore(BaseModel, frozen=True):
    """The scores of one class of the file.

    Attributes:
        label: Its name; empty for clips without one.
        scores: Persons of clips.
        out_of_distribution: How many are flagged.
        standardised: Their mean, in deviations of the usual clips.
    """

    label: str
    scores: int
    out_of_distribution: int
    standardised: float


class UsualScore(BaseModel, frozen=True):
    """What the usual clips score.

    Attributes:
        mean: Mean over them, nats.
        std: Standard deviation.
        clips: Their number.
        threshold: Scores below it are flagged: one deviation below the mean.
    """

    mean: float
    std: float
    clips: int
    threshold: float


class ScoreReport(BaseModel, frozen=True):
    """What was scored.

    Attributes:
        data: The sequence file.
        output: The file that was written; None if the scores went elsewhere.
        picture: The histogram that was written.
        model: Name of the prior.
        kind: Its network.
        by: The log-density that decides.
        like: The file whose clips say what is usual; None for the prior's training clips.
        usual: What the usual clips score; None in a dry run that would have to compute it.
        clips: Clips with a score.
        persons: Scores, one for each person in them.
        out_of_distribution: How many scores are flagged.
        labels: By class, the one with the greatest share of flagged scores first.
        missing: Joints of all frames that were filled with the training mean.
        rejected: Clips, and persons in them, without a score.
        warnings: What should be known beside the numbers.
        seconds: From the start of the workflow, loading included.
        clips_per_second: Clips over those seconds.
        scores: If they were not written.
        dry_run: Whether nothing was computed.
    """

    data: str
    output: str | None
    picture: str | None
    model: str
    kind: str
    by: Density
    like: str | None
    usual: UsualScore | None
    clips: int
    persons: int
    out_of_distribution: int
    labels: list[LabelScore]
    missing: int
    rejected: list[Rejection]
    warnings: list[str]
    seconds: float
    clips_per_second: float
    scores: list[ClipScore] | None
    dry_run: bool


class Tally:
    """Scores counted by class; of each score only its number is kept, for the histogram.

    Attributes:
        standardised: Of every score.
        clips: Names of clips with a score, how many.
        flagged: Scores that are out of distribution.
        missing: Joints that were filled.
    """

    def __init__(self) -> None:
        self.standardised: list[float] = []
        self.clips = self.flagged = self.missing = 0
        self._labels: dict[str, tuple[int, int, float]] = {}

    def add(self, scores: Sequence[ClipScore]) -> None:
        """Count the scores of the persons of one clip."""
        self.clips += 1
        for one in scores:
            self.standardised.append(one.standardised)
            self.flagged += one.out_of_distribution
            self.missing += one.missing
            count, flagged, total = self._labels.get(one.label or "", (0, 0, 0.0))
            self._labels[one.label or ""] = (
                count + 1,
                flagged + one.out_of_distribution,
                total + one.standardised,
            )

    def labels(self) -> list[LabelScore]:
        """By class, the one with the greatest share of flagged scores first."""
        found = [
            LabelScore(
                label=label, scores=count, out_of_distribution=flagged, standardised=total / count
            )
            for label, (count, flagged, total) in self._labels.items()
        ]
        return sorted(found, key=lambda one: -one.out_of_distribution / one.scores)


def as_lines(scores: Sequence[ClipScore]) -> str:
    """A line of JSON for each score; what is None is left out."""
    return "".join(one.model_dump_json(exclude_none=True) + "\n" for one in scores)


def as_csv(scores: Sequence[ClipScore], *, header: bool = False) -> str:
    """A line of CSV for each score, empty where there is nothing to say.

    Args:
        scores: What is written.
        header: Whether the names of the columns come first.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(ClipScore.model_fields), lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(one.model_dump() for one in scores)
    return text.getvalue()
