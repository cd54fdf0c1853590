"""What ``skelaug synth`` is told and what it tells: its settings and its report."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

__all__ = ["LabelCount", "SynthReport", "SynthesizeConfig"]


class SynthesizeConfig(BaseModel, frozen=True, extra="forbid"):
    """What is drawn, from which model, and how. None takes what the model recommends.

    Attributes:
        out: The sequence file to write.
        labels: Classes, by name or a unique part of it; empty with `like` takes all of its.
        n: Clips per label; with `like` and neither `n` nor `balance_to`, one per clip there.
        like: A sequence file whose label mix and durations are matched.
        balance_to: Draw as many of each class as `like` lacks to this number.
        model: Name of a packaged model, or a run directory.
        guide: A run directory of another guide than the model's own.
        sampler: ``ddpm``, ``ddim``, ``dpm++`` or ``dpm++sde``.
        steps: Denoiser evaluations per clip.
        spacing: Of the noise levels: ``uniform``, ``logsnr`` or ``karras``.
        quietest: Highest alpha_bar from which the last estimate is made.
        eta: Noise put back by ``ddim``.
        guidance_scale: Weight of the guide; 0 leaves it out.
        guidance_interval: Least and largest alpha_bar at which the guide acts.
        guidance_mode: ``xhat`` (the paper's), ``damped`` or ``exact``.
        guidance_max_shift: Bound of the guide's pull in units of the noise.
        label_weight: Of classifier-free guidance; 1 switches it off.
        subjects: Performers to imitate, of a model that knows its performers; None or empty takes
            all, each clip one of them.
        fps: Frames per second of the clips; None takes those of most training clips.
        seed: Root of every random number.
        no_copies: Draw a clip again that is too near to a training clip.
    """

    out: Path = Path("synth.h5")
    labels: tuple[str, ...] = ()
    n: PositiveInt | None = None
    like: Path | None = None
    balance_to: PositiveInt | None = None
    model: str = "kinect20"
    guide: str | None = None
    sampler: Literal["ddpm", "ddim", "dpm++", "dpm++sde"] | None = None
    steps: PositiveInt | None = None
    spacing: Literal["uniform", "logsnr", "karras"] | None = None
    quietest: float | None = Field(default=None, gt=0.0, le=1.0)
    eta: float | None = Field(default=None, ge=0.0, le=1.0)
    guidance_scale: NonNegativeFloat | None = None
    guidance_interval: tuple[float, float] | None = None
    guidance_mode: Literal["xhat", "damped", "exact"] | None = None
    guidance_max_shift: NonNegativeFloat | None = None
    label_weight: NonNegativeFloat | None = None
    subjects: tuple[int, ...] | None = None
    fps: PositiveFloat | None = None
    seed: NonNegativeInt = 0
    no_copies: bool = False


class LabelCount(BaseModel, frozen=True):
    """How many clips of a class were drawn."""

    label: str
    clips: int


class SynthReport(BaseModel, frozen=True):
    """What was drawn.

    Attributes:
        output: The file.
        clips: Clips in it.
        labels: Clips per class.
        model: The model's folder.
        sampler: The sampler that was used.
        steps: Denoiser evaluations per clip.
        guidance_scale: Weight of the guide; 0 = none.
        performers: Whom the clips imitate, each one of them, drawn with equal chances; empty where
            the model knows no performers. As clips of nobody they have no subject themselves.
        redrawn: Draws that were repeated because they were too near to a training clip; None
            where copies were not looked for.
        copies: Clips that still are after all attempts.
        resumed_shards: Shards that an earlier run had finished.
        seconds: Time of this run.
        dry_run: Whether nothing was written.
    """

    output: str
    clips: int
    labels: list[LabelCount]
    model: str
    sampler: str
    steps: int
    guidance_scale: float
    performers: list[int]
    redrawn: int | None
    copies: int | None
    resumed_shards: int
    seconds: float
    dry_run: bool
