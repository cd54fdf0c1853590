"""Train a refiner of noisy 3D poses, D3PRefiner: ``skelaug train refiner``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator, BaseModel, Field, PositiveInt, model_validator
from torch import Tensor, nn

from skelaug.errors import DataError, UsageError
from skelaug.files import sha256
from skelaug.learner import Batches
from skelaug.models import REFINERS
from skelaug.models.frame_estimate import FrameEstimate
from skelaug.models.pose_losses import joint_distance
from skelaug.optimisation import batch_indices
from skelaug.place import Place
from skelaug.progress import Progress, silent
from skelaug.refinement.process import cosine_process, flipped
from skelaug.seeds import Stream, generator
from skelaug.skeleton.windows import window_frames
from skelaug.workflows.frame_lessons import FrameEstimateConfig, fitted_frame_estimate
from skelaug.workflows.noise_file import load_noise
from skelaug.workflows.pose_pairs import NoisyClips, corrupted_clips, matching_clips, pose_pairs
from skelaug.workflows.refiner import RefinerForm, load_refiner
from skelaug.workflows.refiner_test import rival_correctors, tested
from skelaug.workflows.run_directory import RunDirectory
from skelaug.workflows.training_clips import TrainingClips
from skelaug.workflows.training_pairs import (
    PairConfig,
    TrainingPairs,
    stand_in_pairs,
    training_pairs,
)
from skelaug.workflows.training_run import Plan, TrainingConfig, TrainReport, known, run_plan
from skelaug.workflows.window_cache import sequences

__all__ = ["PRESETS", "RefinerLoss", "RefinerModelConfig", "TrainRefinerConfig", "run"]

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
        noise: What the network learns to undo: ``conditional``, errors drawn from the noise model
            given the noisy pose, or ``identity``, the errors themselves (Table III, wo CND).
        persistent: Whether drawn errors of neighbouring frames are correlated as the real ones.
        diffusion: Whether it learns at all steps; else at the last one alone, which makes it a
            regression of the error on the noisy pose (Table III, wo diffusion).
        diffusion_steps: T.
        steps: Steps of refining, K; 1 without diffusion.
        flip: Whether refining looks at mirror images too.
        mirror: Share of the windows that are mirrored.
    """

    noisy: Path | None = None
    noise_model: Path | None = None
    model: RefinerModelConfig = RefinerModelConfig()
    frames: PositiveInt = 27
    hop: PositiveInt = 9
    keypoints: Literal["auto"] | bool = "auto"
    frame_estimate: FrameEstimateConfig | None = None
    noise: Literal["conditional", "identity"] = "conditional"
    persistent: bool = True
    diffusion: bool = True
    diffusion_steps: PositiveInt = 50
    steps: PositiveInt = 2
    flip: bool = False
    mirror: float = Field(default=0.0, ge=0.0, le=1.0)

    @model_validator(mode="after")
    def _one_source(self) -> TrainRefinerConfig:
        if (self.noisy is None) == (self.noise_model is None):
            raise ValueError(
                "expected one source of noisy poses; give --noisy NOISY.h5, clips of the same "
                "names, or --noise RUN, a noise model"
            )
        if self.hop > self.frames or self.steps > self.diffusion_steps:
            raise ValueError(
                f"expected a hop of at most {self.frames} frames and at most "
                f"{self.diffusion_steps} steps, got {self.hop} and {self.steps}"
            )
        return self


def run(
    config: TrainRefinerConfig,
    *,
    resume: bool = False,
    force: bool = False,
    dry_run: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> TrainReport:
    """Train a refiner into a run directory, and test it once beside its rivals.

    Args:
        config: What to train, on what.
        resume: Go on with the run that is there.
        force: Replace the run that is there.
        dry_run: Measure a few steps, write nothing.
        device: ``auto``, ``cpu``, ``cuda`` ...
        progress: Shows the steps.

    Raises:
        SkelaugError: See `skelaug.workflows.training_run.conduct`.
    """
    source = _Source(config)
    plan: Plan[TrainingPairs] = Plan(
        what="refiner",
        prepare=source.prepare,
        stand_in=source.stand_in,
        samples=source.samples,
        check=source.check,
        network=partial(_network, config),
        batches=partial(_batches, config),
        loss=lambda pairs: RefinerLoss(),
        initial=partial(_initial, config) if config.frame_estimate else None,
        meta={"noise": config.noise, "diffusion": config.diffusion},
        inputs=source.inputs(),
        conclude=source.test,
    )
    return run_plan(
        plan,
        config,
        resume=resume,
        force=force,
        dry_run=dry_run,
        device=device,
        progress=progress,
    )


class _Source:
    """True and noisy clips of one training."""

    def __init__(self, config: TrainRefinerConfig) -> None:
        self.config = config

    def inputs(self) -> dict[str, str]:
        """SHA-256 of the file that decides the noisy poses."""
        config = self.config
        if config.noise_model is not None:
            path = load_noise(config.noise_model, "noise").path
        else:
            assert config.noisy is not None
            path = config.noisy
        return {path.name: sha256(path)} if path.is_file() else {}

    def noisy(self, clips: TrainingClips) -> NoisyClips:
        """Where the noisy poses of these clips come from."""
        truth, config = sequences(clips), self.config
        if config.noise_model is not None:
            return corrupted_clips(truth, config.noise_model, seed=config.seed)
        assert config.noisy is not None
        return matching_clips(truth, config.noisy)

    def form(self, clips: TrainingClips) -> RefinerForm:
        """How the network is used; its unit is fitted later."""
        config, noisy = self.config, self.noisy(clips)
        wanted = noisy.has_keypoints if config.keypoints == "auto" else config.keypoints
        if wanted and not noisy.has_keypoints:
            raise DataError(
                f"{noisy.path}: expected 2D poses there or in {config.data}, got none; leave out "
                f"keypoints=true"
            )
        return RefinerForm(
            frames=config.frames,
            fps=clips.fps,
            unit=1.0,
            diffusion_steps=config.diffusion_steps,
            steps=config.steps if config.diffusion else 1,
            flip=config.flip,
            keypoints=wanted,
        )

    def check(self, clips: TrainingClips) -> list[str]:
        """Warnings; fails where the files do not fit each other."""
        self.form(clips)
        if not clips.split.test.size:
            return ["no clip is left to test on; keep some back with --split"]
        return []

    def samples(self, clips: TrainingClips) -> int:
        """Windows of an epoch."""
        lengths, config = sequences(clips).lengths[clips.rows].tolist(), self.config
        return sum(len(window_frames(n, config.frames, 1, config.hop)) for n in lengths if n)

    def prepare(
        self, clips: TrainingClips, directory: RunDirectory, place: Place, progress: Progress
    ) -> TrainingPairs:
        """The pairs of the training part."""
        return training_pairs(
            clips,
            self.noisy(clips),
            self.form(clips),
            PairConfig(self.config.hop, self.config.persistent),
            cache=directory.motions,
            place=place,
            progress=progress,
        )

    def stand_in(self, clips: TrainingClips, count: int) -> TrainingPairs:
        """Random pairs."""
        del count
        return stand_in_pairs(clips, self.form(clips), hop=self.config.hop)

    def test(
        self, pairs: TrainingPairs, directory: RunDirectory, progress: Progress
    ) -> dict[str, Any]:
        """The finished refiner and its rivals on the test part: once, with its last weights."""
        clips, file = pairs.clips, sequences(pairs.clips)
        device = torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")
        refiner = load_refiner(directory.model, device=device)
        noise = load_noise(directory.path, "corrector")
        found = tested(
            pose_pairs(
                file,
                clips.split.test.tolist(),
                self.noisy(clips),
                with_keypoints=pairs.form.keypoints,
            ),
            rival_correctors(refiner, noise),
            root=file.layout.root,
            total=len(clips.split.test),
            progress=progress,
        )
        if not found:
            return {}
        own, noisy = (
            found["methods"][name] for name in (f"diffusion, K = {pairs.form.steps}", "noisy")
        )
        heads = {
            "mpjpe_mm": own["mpjpe"],
            "mpjpe_mm_of_noisy": noisy["mpjpe"],
            "p_mpjpe_mm": own["p_mpjpe"],
            "p_mpjpe_mm_of_noisy": noisy["p_mpjpe"],
        }
        return {**heads, **found}


def _network(config: TrainRefinerConfig, pairs: TrainingPairs) -> tuple[str, dict[str, Any]]:
    sizes: dict[str, Any] = {
        "joints": pairs.layout.num_joints,
        "keypoints": pairs.form.keypoints,
    }
    if (estimate := config.frame_estimate) is not None:
        sizes["frame_estimate"] = {"steps": config.diffusion_steps, "width": estimate.width}
    taken = sorted({*sizes} & {*config.model.arguments})
    if taken:
        raise UsageError(
            f"model.arguments: {', '.join(taken)} follow from the files; leave them out"
        )
    return config.model.name, {**sizes, **config.model.arguments}


def _initial(config: TrainRefinerConfig, pairs: TrainingPairs, network: nn.Module) -> list[str]:
    """Fit the frame estimate that the network adds to."""
    estimate = network.get_submodule("estimate")
    assert isinstance(estimate, FrameEstimate)
    assert config.frame_estimate is not None
    fitted_frame_estimate(
        config.frame_estimate,
        estimate,
        _batches(config, pairs, config.optimisation.batch),
        cosine_process(config.diffusion_steps),
        unit=pairs.form.unit,
        last_only=not config.diffusion,
        seed=config.seed,
    )
    return [f"errors of single frames, {config.frame_estimate.updates} updates"]


def _batches(config: TrainRefinerConfig, pairs: TrainingPairs, batch: int) -> Batches:
    """From the number of an update to the arguments of `RefinerLoss`: x_t, t, e / s and y."""
    process, layout = cosine_process(config.diffusion_steps), pairs.layout
    count, mirrored = len(pairs.rows), layout.mirrored if layout.mirror else None

    def batches(step: int) -> tuple[Tensor, ...]:
        numbers = generator(config.seed, Stream.TRAIN_NOISE, step)
        chosen = batch_indices(config.seed, step, batch=batch, count=count)
        truth, noisy, keypoints = pairs.read(chosen)
        if config.noise == "conditional":
            white = torch.randn(batch, config.frames, pairs.corrector.size, generator=numbers)
            error = pairs.corrector.draw(noisy, keypoints, noise=white)
        else:
            error = noisy - truth
        t = torch.randint(1, process.steps + 1, (batch,), generator=numbers)
        if not config.diffusion:
            t = torch.full_like(t, process.steps)
        told = [truth, error, *([] if keypoints is None else [keypoints])]
        if mirrored is not None and config.mirror:
            is_turned = torch.rand(batch, generator=numbers) < config.mirror
            told = [
                torch.where(is_turned[:, None, None, None], flipped(x, mirrored), x) for x in told
            ]
        truth, error, *rest = told
        return process.noised(truth, error, t), t, error / pairs.form.unit, *rest

    return batches


@dataclass(frozen=True)
class RefinerLoss:
    """The distance of the predicted from the true error, in its mean size (eq. 7)."""

    def __call__(
        self,
        network: Callable[..., Tensor],
        x: Tensor,
        step: Tensor,
        error: Tensor,
        keypoints: Tensor | None = None,
        /,
    ) -> dict[str, Tensor]:
        """The loss, mean over joints, frames and samples.

        Args:
            network: See `skelaug.models.REFINERS`.
            x: x_t, N T V 3.
            step: t, N.
            error: e / s, N T V 3.
            keypoints: y, N T V 2, where the network reads them.
        """
        return {"loss": joint_distance(network(x, step, keypoints), error).mean()}
