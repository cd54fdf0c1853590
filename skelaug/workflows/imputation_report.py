"""What ``impute`` is told and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, NonNegativeInt, PositiveFloat, PositiveInt

__all__ = ["METHODS", "GapReport", "ImputeConfig", "ImputeReport", "MethodError", "UnfilledClip"]

Method = Literal["hold", "linear", "cubic", "mean", "reconstruction", "ascent", "hgvae"]
METHODS: tuple[Method, ...] = (  # the simplest first
    "hold",
    "linear",
    "cubic",
    "mean",
    "reconstruction",
    "ascent",
    "hgvae",
)


class ImputeConfig(BaseModel, frozen=True, extra="forbid"):
    """What is filled in, by which methods.

    Attributes:
        data: The sequence file.
        out: The sequence file to write.
        model: Packaged model, run directory or safetensors file of a motion prior; None takes the
            packaged one, and none at all where a method is asked for that needs none and the
            packaged one knows other joints.
        method: One of `METHODS`, or ``auto``: for each kind of gap what is best on this file.
        steps: Of the posterior ascent.
        rate: Step size of the ascent in standard deviations of each coordinate.
        min_confidence: A joint with less counts as missing.
        trial_clips: Clips per kind of gap in which known joints are hidden to measure the methods;
            0 measures nothing.
        samples: Posterior samples that the uncertainty of a model's inventions is made of.
        seed: Root of every random number.
        picture: PNG with some imputed clips to write.
    """

    data: Path
    out: Path
    model: str | None = None
    method: Literal["auto"] | Method = "auto"
    steps: PositiveInt = 10
    rate: PositiveFloat = 0.1
    min_confidence: float = Field(default=0.0, ge=0.0, le=1.0)
    trial_clips: NonNegativeInt = 24
    samples: int = Field(default=8, ge=2)
    seed: NonNegativeInt = 0
    picture: Path | None = None


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
        method: What they were filled with.
        reason: Why this one.
        trial_clips: Clips, or stretches of few clips, in which such a gap was hidden to measure
            the methods.
        trial_joints: Joints hidden there, counted over all frames.
        errors: What each method did there, the best first.
    """

    kind: str
    missing: int
    filled: int
    method: str
    reason: str
    trial_clips: int
    trial_joints: int
    errors: list[MethodError]


class UnfilledClip(BaseModel, frozen=True):
    """A clip, or a person in it, that stays as it is, and why."""

    name: str
    reason: str


class ImputeReport(BaseModel, frozen=True):
    """What was filled in.

    Attributes:
        data: The sequence file that was read.
        output: The one that was written.
        model: The motion prior; None if none took part.
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
    model: str | None
    picture: str | None
    clips: int
    clips_with_gaps: int
    imputed: int
    missing: int
    filled: int
    gaps: list[GapReport]
    rejected: list[UnfilledClip]
    warnings: list[str]
    resumed_shards: int
    seconds: float
    clips_per_second: float
    dry_run: bool
