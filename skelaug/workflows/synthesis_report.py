"""What ``skelaug synth`` is told and what it tells: its settings and its report."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from skelaug.workflows.weak_classes import WeakClass

__all__ = ["ChoiceReport", "LabelCount", "SynthReport", "SynthesizeConfig"]


class SynthesizeConfig(BaseModel, frozen=True, extra="forbid"):
    """What is drawn, from which model, and how. None takes what the model recommends.

    Attributes:
        out: The sequence file to write.
        labels: Classes, by name or a unique part of it; empty with `like` takes all of its.
        n: Clips per label; with `like` and neither `n` nor `balance_to`, one per clip there; with
            `where_it_hurts` clips in all.
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
        drawn_levels: Of an HG-VAE: how many latent levels are drawn, from the top; those below stay
            at their prior means. None draws all.
        fps: Frames per second of the clips; None takes those of most training clips.
        seed: Root of every random number.
        no_copies: Draw a clip again that is too near to a training clip.
        where_it_hurts: Run of a recognizer whose confused classes are drawn, in proportion to
            their errors.
        candidates: Draw up to so many candidates of each clip and keep the best; None = 1, and 9
            with `no_copies`.
        judge: Recognizer that must see the class in a clip, by name or run; ``guide`` = the guide
            of the model.
        judge_least: Least probability that it gives to the class.
        plausible: Bone lengths and accelerations must be like those of the training clips.
        plausible_like: A sequence file whose range counts instead, for a model that keeps none.
        novel: Keep the candidate that is farthest from the training clips, within their range.
        novel_most: End of that range, in median distances of training clips to their nearest other.
        drop_failed: Leave out clips none of whose candidates met all criteria.
        vary_bones: Largest relative change of bone lengths, another body for each clip.
        vary_tempo: Standard deviation of the logarithm of the tempo.
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
    drawn_levels: PositiveInt | None = None
    fps: PositiveFloat | None = None
    seed: NonNegativeInt = 0
    no_copies: bool = False
    where_it_hurts: Path | None = None
    candidates: PositiveInt | None = None
    judge: str | None = None
    judge_least: float = Field(default=0.5, ge=0.0, le=1.0)
    plausible: bool = False
    plausible_like: Path | None = None
    novel: bool = False
    novel_most: PositiveFloat = 2.5
    drop_failed: bool = False
    vary_bones: float = Field(default=0.0, ge=0.0, lt=1.0)
    vary_tempo: float = Field(default=0.0, ge=0.0, le=1.0)


class LabelCount(BaseModel, frozen=True):
    """How many clips of a class were drawn."""

    label: str
    clips: int


class ChoiceReport(BaseModel, frozen=True):
    """How clips were chosen among their candidates.

    Attributes:
        candidates: Most candidates of a clip.
        drawn: Candidates that were drawn.
        failed: How many of them failed each criterion.
        passed: Clips that meet all criteria.
        unmet: Clips none of whose candidates did.
        dropped: Whether those were left out.
    """

    candidates: int
    drawn: int
    failed: dict[str, int]
    passed: int
    unmet: int
    dropped: bool


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
        redrawn: Candidates beyond the first of each clip; None where copies were not looked for.
        copies: Clips that are too near to a training clip after all attempts.
        choice: How clips were chosen; None where nothing was asked.
        weak: What ``where_it_hurts`` found, and how many clips each class gets.
        warnings: What should be known beside the clips.
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
    choice: ChoiceReport | None
    weak: list[WeakClass]
    warnings: list[str]
    resumed_shards: int
    seconds: float
    dry_run: bool
