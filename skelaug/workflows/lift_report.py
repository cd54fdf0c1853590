"""What ``lift`` is told and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, NonNegativeFloat, NonNegativeInt, PositiveFloat

from skelaug.workflows.lifter_input import KeypointNoiseConfig
from skelaug.workflows.prediction_batches import Rejection

__all__ = ["LiftConfig", "LiftReport"]


class LiftConfig(BaseModel, frozen=True, extra="forbid"):
    """What is lifted, by which model.

    Attributes:
        data: A sequence file with 2D poses, or an .npz of keypoints in pixels.
        out: The sequence file to write.
        model: Run directory or safetensors file of a lifter.
        folds: Further lifters, each trained without some performers of the model's training part:
            a clip that the model learnt from is lifted by one that does not know its performer.
        size: Of the image of an .npz, ``WxH`` in pixels.
        fps: Frames per second of an .npz.
        part: ``train`` or ``test``: only that part of the clips.
        split: The rule that says which part that is; empty = the one of the model.
        longest_gap: Seconds for which a joint that is not detected is made up along time.
        keypoint_noise: Errors of a detector that are drawn onto the 2D poses first, for files of
            exact ones; the output has the keypoints that were lifted.
        flip: Whether mirror images are averaged in; None = as the model was trained to.
        seed: Decides the noise.
    """

    data: Path
    out: Path
    model: str
    folds: tuple[str, ...] = ()
    size: str = ""
    fps: PositiveFloat | None = None
    part: Literal["all", "train", "test"] = "all"
    split: str = ""
    longest_gap: NonNegativeFloat = 0.5
    keypoint_noise: KeypointNoiseConfig = KeypointNoiseConfig()
    flip: bool | None = None
    seed: NonNegativeInt = 0


class LiftReport(BaseModel, frozen=True):
    """What was lifted.

    Attributes:
        data: The file that was read.
        output: The one that was written.
        model: What the user called the lifter.
        kind: Its network.
        part: Which clips were asked for.
        clips: How many these are.
        lifted: How many were written.
        by_folds: Clips that a fold lifted in place of the model.
        frames: Their frames.
        rejected: The others, and why.
        warnings: What should be known beside.
        resumed_shards: Shards that an earlier run had finished.
        seconds: Time of this run.
        frames_per_second: Frames of this run by the time that lifting took.
        dry_run: Whether nothing was written.
    """

    data: str
    output: str
    model: str
    kind: str
    part: str
    clips: int
    lifted: int
    by_folds: int
    frames: int
    rejected: list[Rejection]
    warnings: list[str]
    resumed_shards: int
    seconds: float
    frames_per_second: float
    dry_run: bool
