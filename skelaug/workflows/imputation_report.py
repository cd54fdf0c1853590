"""What ``impute`` is told and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, Field, NonNegativeInt, PositiveFloat, PositiveInt

from skelaug.imputation.prior import Density
from skelaug.workflows.prediction_batches import Rejection

__all__ = ["METHODS", "GapReport", "ImputeConfig", "ImputeReport", "MethodError", "PriorRow"]

Method = Literal[
    "hold",
    "linear",
    "cubic",
    "mean",
    "reconstruction",
    "ascent",
    "motion-vae",
    "hm-vae",
    "hgvae",
]
METHODS: tuple[Method, ...] = get_args(Method)  # the simplest first


def _odd(frames: int) -> int:
    if frames % 2 == 0:
        raise ValueError(f"expected an odd number, got {frames}")
    return frames


class ImputeConfig(BaseModel, frozen=True, extra="forbid"):
    """What is filled in, by which methods.

    Attributes:
        data: The sequence file.
        out: The sequence file to write.
        models: Packaged models, run directories or safetensors files of motion priors, each of
            another kind, the main one first. None given takes the packaged one, and none at all
            where a method is asked for that needs none and the packaged one knows other joints.
        method: One of `METHODS`, or ``auto``: for each kind of gap what is best on this file.
        steps: Of an ascent.
        rate: Step size of an ascent in standard deviations of each coordinate.
        start: Where the ascents named by a kind of model begin; that of the method ``ascent`` is
            the published one, from the mean.
        climbs: The log-density that they climb; ``ascent`` climbs ``posterior``.
        span: Frames of the model that they move together, an odd number; ``ascent`` moves each
            entry by itself.
        min_confidence: A joint with less counts as missing.
        trial_clips: Clips per kind of gap in which known joints are hidden to measure the methods;
            0 measures nothing.
        samples: Posterior samples that the uncertainty of a model's inventions is made of.
        seed: Root of every random number.
        picture: PNG with some imputed clips to write.
    """

    data: Path
    out: Path
    models: tuple[str, ...] = ()
    method: Literal["auto"] | Method = "auto"
    steps: PositiveInt = 10
    rate: PositiveFloat = 0.1
    start: Literal["reconstruction", "mean", "linear"] = "reconstruction"
    climbs: Density = "joint"
    span: Annotated[PositiveInt, AfterValidator(_odd)] = 9
    min_confidence: float = Field(default=0.0, ge=0.0, le=1.0)
    trial_clips: NonNegativeInt = 24
    samples: int = Field(default=8, ge=2)
    seed: NonNegativeInt = 0
    picture: Path | None = None


class PriorRow(BaseModel, frozen=True):
    """A motion prior that took part.

    Attributes:
        name: What the user called it.
        kind: Its network, and the method that is an ascent of its density.
    """

    name: str
    kind: str


class MethodError(BaseModel, frozen=True):
    """How far a method was off where the truth is known.

    Attributes:
        method: Its name.
        rmse_mm: Root mean square distance between filled and true joints in millimetres.
        low_mm: Lower end of the 95 % interval over the hidden gaps, one per clip as long as
            there are clips; too narrow for a file of few clips, whose gaps are alike.
        high_mm: Its upper end.
    """

    method: str
    rmse_mm: float
    low_mm: float
    high_mm: float


class GapReport(BaseModel, frozen=True):
    """One kind of gap.

    Attributes:
        kind: ``short`` (at most 10 frames, measured at both ends), ``long``, ``open`` (up to the
            clip's first or last frame) or ``unseen`` (a joint that was never measured in the clip).
        missing: Joints of that kind, counted over all frames.
        filled: How many of them were filled.
        method: What they were filled with; None where nothing fills them.
        reason: Why this one.
        trial_clips: Clips, or stretches of few clips, in which such a gap was hidden to measure
            the methods.
        trial_joints: Joints hidden there, counted over all frames.
        errors: What each method did there, the best first.
    """

    kind: str
    missing: int
    filled: int
    method: str | None
    reason: str
    trial_clips: int
    trial_joints: int
    errors: list[MethodError]


class ImputeReport(BaseModel, frozen=True):
    """What was filled in.

    Attributes:
        data: The sequence file that was read.
        output: The one that was written.
        models: The motion priors, the main one first; empty if none took part.
        picture: The picture that was written.
        clips: Clips in the file.
        clips_with_gaps: How many lack something of a person who was measured at all.
        imputed: Clips in which something was filled.
        missing: Joints that were not measured, counted over all frames.
        filled: How many of them were filled; the others are NaN or what they were.
        gaps: The same by kind of gap, with the method of each and what it was measured to do.
        rejected: What could not be filled.
        warnings: What should be known beside.
        resumed_shards: Shards that an earlier run had finished.
        seconds: Time of this run.
        clips_per_second: Clips of this run by the time that filling took, the trial left out.
        dry_run: Whether nothing was written.
    """

    data: str
    output: str
    models: list[PriorRow]
    picture: str | None
    clips: int
    clips_with_gaps: int
    imputed: int
    missing: int
    filled: int
    gaps: list[GapReport]
    rejected: list[Rejection]
    warnings: list[str]
    resumed_shards: int
    seconds: float
    clips_per_second: float
    dry_run: bool
