"""How a refiner is trained: settings and presets of ``skelaug train refiner``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from skelaug.models import REFINERS
from skelaug.workflows.frame_lessons import FrameEstimateConfig
from skelaug.workflows.refinement_report import Bones, RootWay
from skelaug.workflows.training_run import TrainingConfig, known

__all__ = ["PRESETS", "RefinerModelConfig", "TrainRefinerConfig"]

# Of Yan et al. 2024, sec. IV: Adam with 1e-3, T = 50, K = 2; batch and epochs are those of
# STCFormer, whose rate falls by 4 % an epoch, to 4 % after 80. Here it falls along a cosine to 0.
# With half the heads and no dropout an update takes four tenths less time on a processor.
_SMALL = {"features": 96, "depth": 3, "heads": 4, "dropout": 0.0}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "cpu": {
        "model": {"name": "pose-denoiser", "arguments": _SMALL},
        "frames": 27,
        "hop": 9,
        "mirror": 0.5,
        "frame_estimate": {},
        "optimisation": {
            "steps": 1000,
            "max_epochs": 200,
            "batch": 24,
            "lr": 1e-3,
            "warmup": 100,
            "decay": "cosine",
            "clip": 1.0,
            "ema_decay": 0.995,
        },
    },
    "paper": {
        "model": {"name": "pose-denoiser", "arguments": {"features": 256, "depth": 8}},
        "frames": 81,
        "hop": 81,
        "mirror": 0.5,
        "flip": True,
        "persistent": False,
        "optimisation": {"epochs": 80, "batch": 128, "lr": 1e-3, "decay": "cosine"},
    },
}


class RefinerModelConfig(BaseModel, frozen=True, extra="forbid"):
    """Which network is trained.

    Attributes:
        name: ``pose-denoiser``.
        arguments: Further arguments of its constructor: features, depth, heads ...
    """

    name: Annotated[str, AfterValidator(partial(known, choices=REFINERS))] = "pose-denoiser"
    arguments: dict[str, Any] = {}


class TrainRefinerConfig(TrainingConfig, frozen=True, extra="forbid"):
    """How a refiner is trained.

    Attributes:
        noisy: A file of the same clips with noisy poses, e.g. from `skelaug lift`.
        noise_model: In its place a run of `skelaug train refiner`, or its ``noise.safetensors``,
            whose errors are put on the true poses.
        model: The network.
        frames: Frames of a window.
        hop: Frames between windows.
        keypoints: Whether the network reads 2D poses; ``auto`` if the files have some.
        frame_estimate: The estimate of the error from each frame alone that the network adds to,
            fitted before it; None = none, as in the paper.
        fps: Rate of the windows; of clips of a higher one every k-th frame is taken. None takes the
            most frequent rate of the file for that of all.
        hints: Whether the network reads where a low pass and rigid bones would put the joints; not
            together with 2D poses.
        noise: What the network learns to undo: ``conditional``, errors drawn from the noise model
            given the noisy pose; ``identity``, the errors themselves (Table III, wo CND); or, with
            `noise_model`, ``drawn``, errors drawn from that for each window anew.
        persistent: Whether drawn errors of neighbouring frames are correlated as the real ones are:
            by one number, or ``matrix``, each joint for as long as its own last.
        given_pose: Whether the noise that the run leaves behind depends on the true pose; what does
            fits no bodies and headings but those of its clips.
        strength: With `noise_model`, the least and the greatest factor of a clip's errors.
        turn: With `noise_model`, whether errors turn with the body, taken to have faced the sensor,
            and windows are turned about the vertical by any angle.
        diffusion: Whether it learns at all steps; else at the last one alone, which makes it a
            regression of the error on the noisy pose (Table III, wo diffusion).
        diffusion_steps: T.
        steps: Steps of refining, K; 1 without diffusion.
        flip: Whether refining looks at mirror images too.
        mirror: Share of the windows that are mirrored.
        root: What `skelaug refine` does to the root's way unless told: ``keep``, or a filter.
        low_pass: Hertz above which it cuts off poses in the end; 0 cuts nothing.
        bones: What it does to the bones: ``keep``, ``rigid`` or ``performer``.
    """

    noisy: Path | None = None
    noise_model: Path | None = None
    model: RefinerModelConfig = RefinerModelConfig()
    frames: PositiveInt = 27
    hop: PositiveInt = 9
    keypoints: Literal["auto"] | bool = "auto"
    frame_estimate: FrameEstimateConfig | None = None
    fps: PositiveFloat | None = None
    hints: bool = False
    noise: Literal["conditional", "identity", "drawn"] = "conditional"
    persistent: bool | Literal["matrix"] = True
    given_pose: bool = True
    strength: tuple[PositiveFloat, PositiveFloat] = (1.0, 1.0)
    turn: bool = False
    diffusion: bool = True
    diffusion_steps: PositiveInt = 50
    steps: PositiveInt = 2
    flip: bool = False
    mirror: float = Field(default=0.0, ge=0.0, le=1.0)
    root: RootWay = "keep"
    low_pass: NonNegativeFloat = 0.0
    bones: Bones = "keep"

    @model_validator(mode="after")
    def _one_source(self) -> TrainRefinerConfig:
        if (self.noisy is None) == (self.noise_model is None):
            raise ValueError(
                "expected one source of noisy poses; give --noisy NOISY.h5, clips of the same "
                "names, or --noise RUN, a noise model"
            )
        of_model = self.noise == "drawn" or self.turn or self.strength != (1.0, 1.0)
        if of_model and self.noise_model is None:
            raise ValueError(
                "noise=drawn, strength and turn are about a noise model; give one with --noise RUN"
            )
        if self.strength[0] > self.strength[1]:
            raise ValueError(f"strength: expected the lesser factor first, got {self.strength}")
        if self.hop > self.frames or self.steps > self.diffusion_steps:
            raise ValueError(
                f"expected a hop of at most {self.frames} frames and at most "
                f"{self.diffusion_steps} steps, got {self.hop} and {self.steps}"
            )
        return self
