"""Train a lifter, from 2D poses to 3D ones: ``skelaug train lifter``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import AfterValidator, BaseModel, Field, PositiveInt
from torch import Tensor, nn

from skelaug.errors import UsageError
from skelaug.learner import Batches
from skelaug.models import LIFTERS
from skelaug.models.pose_losses import joint_distance, joint_weights, mixste_loss
from skelaug.optimisation import batch_indices
from skelaug.place import Place
from skelaug.progress import Progress, silent
from skelaug.refinement.process import flipped
from skelaug.seeds import Stream, generator
from skelaug.skeleton.layout import SkeletonLayout
from skelaug.workflows.lifter import lifting, load_lifter
from skelaug.workflows.lifter_input import KeypointNoiseConfig
from skelaug.workflows.lifter_scores import scores_on_test_part
from skelaug.workflows.lifter_windows import (
    LifterWindowConfig,
    LifterWindows,
    filmed_file,
    lifter_windows,
    stand_in_lifter_windows,
    windows_of,
)
from skelaug.workflows.run_directory import RunDirectory
from skelaug.workflows.training_clips import TrainingClips
from skelaug.workflows.training_run import Plan, TrainingConfig, TrainReport, known, run_plan

__all__ = ["PRESETS", "LifterConfig", "LifterLoss", "TrainLifterConfig", "run"]

_EXAMINED = 512  # windows
_MILLIMETRES = 1e3

_CPU: Mapping[str, Any] = {
    "windows": {"frames": 27, "hop": 9, "draws": 4},
    "mirror": 0.5,
    "optimisation": {
        "steps": 1200,
        "max_epochs": 120,
        "batch": 32,
        "lr": 1e-3,
        "warmup": 100,
        "decay_start": 0.3,
        "clip": 1.0,
        "ema_decay": 0.99,
    },
}
# The rate of both falls by a factor per epoch: STCFormer 0.96 in 80 epochs, MixSTE 0.99 in as many
# as its paper leaves open; 160 here. MixSTE learns 1024 frames per update.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "cpu": {
        **_CPU,
        "model": {
            "name": "stcformer",
            "arguments": {"features": 128, "depth": 3, "downsampling": 1},
        },
    },
    "cpu/mixste": {
        **_CPU,
        "model": {"name": "mixste", "arguments": {"features": 128, "depth": 2}},
    },
    "paper": {
        "windows": {"frames": 81},
        "mirror": 0.5,
        "held_out": 0.0,
        "model": {"name": "stcformer"},
        "optimisation": {
            "epochs": 80,
            "batch": 128,
            "lr": 1e-3,
            "decay": "exponential",
            "decay_to": 0.96**80,
        },
    },
    "paper/mixste": {
        "windows": {"frames": 81},
        "mirror": 0.5,
        "held_out": 0.0,
        "model": {"name": "mixste"},
        "optimisation": {
            "epochs": 160,
            "batch": 12,
            "lr": 4e-5,
            "weight_decay": 0.1,
            "decay": "exponential",
            "decay_to": 0.99**160,
        },
    },
}


class LifterConfig(BaseModel, frozen=True, extra="forbid"):
    """Which network is trained.

    Attributes:
        name: ``stcformer`` or ``mixste``.
        arguments: Further arguments of its constructor, e.g. its features and depth.
    """

    name: Annotated[str, AfterValidator(partial(known, choices=LIFTERS))] = "stcformer"
    arguments: dict[str, Any] = {}


class TrainLifterConfig(TrainingConfig, frozen=True, extra="forbid"):
    """How a lifter is trained.

    Attributes:
        model: The network.
        windows: What it sees of a clip.
        keypoint_noise: Errors of a detector that are drawn onto the 2D poses, for training and
            test; for files of exact ones.
        mirror: Share of the training windows that are mirrored; none where the layout has no mirror
            images.
        flip: Whether the finished model averages the poses of the keypoints and of their mirror
            image, as published lifters are tested; not where the layout has no mirror images.
        held_out: Share of the training motions that only judge.
        evaluate_every: Updates per look at them.
    """

    model: LifterConfig = LifterConfig()
    windows: LifterWindowConfig = LifterWindowConfig()
    keypoint_noise: KeypointNoiseConfig = KeypointNoiseConfig()
    mirror: float = Field(default=0.5, ge=0.0, le=1.0)
    flip: bool = True
    held_out: float = Field(default=0.1, ge=0.0, lt=1.0)
    evaluate_every: PositiveInt = 200


def run(
    config: TrainLifterConfig,
    *,
    resume: bool = False,
    force: bool = False,
    dry_run: bool = False,
    device: str = "auto",
    progress: Progress = silent,
) -> TrainReport:
    """Train a lifter into a run directory.

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
    plan: Plan[LifterWindows] = Plan(
        what="lifter",
        prepare=partial(_prepare, config),
        stand_in=lambda clips, count: stand_in_lifter_windows(clips, config.windows),
        samples=partial(_samples, config),
        check=partial(_check, config),
        network=partial(_network, config),
        batches=partial(_batches, config),
        loss=lambda material: LifterLoss(config.model.name, material.layout),
        meta={"flip": config.flip, "keypoint_noise": config.keypoint_noise.model_dump()},
        evaluate=partial(_judge, config),
        evaluate_every=config.evaluate_every,
        conclude=partial(_conclude, config),
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


def _check(config: TrainLifterConfig, clips: TrainingClips) -> list[str]:
    if config.model.name == "mixste" and config.windows.frames < 2:
        raise UsageError("windows.frames: expected at least 2 for mixste, got 1")
    layout = filmed_file(clips).layout
    if (config.flip or config.mirror) and not layout.mirror:
        return [f"layout {layout.name} says no joint's mirror image: nothing is mirrored"]
    return []


def _samples(config: TrainLifterConfig, clips: TrainingClips) -> int:
    lengths = filmed_file(clips).lengths[clips.rows]
    total = windows_of(lengths, np.ones_like(lengths), config.windows).sum()
    return max(1, round((1 - config.held_out) * int(total)))


def _prepare(
    config: TrainLifterConfig,
    clips: TrainingClips,
    directory: RunDirectory,
    place: Place,
    progress: Progress,
) -> LifterWindows:
    return lifter_windows(
        clips,
        config.windows,
        config.keypoint_noise,
        seed=config.seed,
        cache=directory.motions,
        place=place,
        progress=progress,
    )


def _network(config: TrainLifterConfig, material: LifterWindows) -> tuple[str, dict[str, Any]]:
    sizes = {"joints": material.layout.num_joints}
    if config.model.name == "mixste":  # its frames have embeddings
        sizes["frames"] = config.windows.frames
    return config.model.name, {**sizes, **config.model.arguments}


def _batches(config: TrainLifterConfig, material: LifterWindows, batch: int) -> Batches:
    """From the number of an update to keypoints N T V 2 and poses N T V 3."""
    taught, _ = material.parts(config.held_out, config.seed)
    total, draws = int(material.counts[taught].sum()), len(material.keypoints)
    share = config.mirror if material.layout.mirror else 0.0

    def batches(step: int) -> tuple[Tensor, ...]:
        numbers = generator(config.seed, Stream.AUGMENT, step)
        moved, drawn, turned = torch.rand((3, batch), generator=numbers, dtype=torch.float64)
        which = batch_indices(config.seed, step, batch=batch, count=total)
        rows = material.rows(which, taught, moved.numpy())
        pairs = material.read(rows, (draws * drawn).long().numpy())
        chosen = (turned < share)[:, None, None, None]
        return tuple(torch.where(chosen, flipped(x, material.layout.mirrored), x) for x in pairs)

    return batches


@dataclass(frozen=True)
class LifterLoss:
    """What a lifter learns from: MPJPE, for MixSTE its own loss with terms of velocities.

    Attributes:
        kind: Which lifter.
        layout: The joints, whose weights in MixSTE's loss it gives.
    """

    kind: str
    layout: SkeletonLayout

    def __call__(
        self, network: Callable[..., Tensor], keypoints: Tensor, poses: Tensor, /
    ) -> dict[str, Tensor]:
        """The loss, and MPJPE in mm, averaged over samples.

        Args:
            network: See `skelaug.models.LIFTERS`.
            keypoints: N T V 2.
            poses: The true ones, N T V 3, metres.
        """
        said = network(keypoints)
        distance = joint_distance(said, poses)
        loss = distance
        if self.kind == "mixste":
            loss = mixste_loss(said, poses, weights=joint_weights(self.layout).to(said))
        return {"loss": loss.mean(), "mpjpe_mm": _MILLIMETRES * distance.detach().mean()}


def _judge(
    config: TrainLifterConfig, material: LifterWindows
) -> Callable[[nn.Module], Mapping[str, float]] | None:
    """From a network to its MPJPE on the motions that are held out; None where there are none."""
    _, held_out = material.parts(config.held_out, config.seed)
    if not len(held_out):
        return None

    def judge(network: nn.Module) -> dict[str, float]:
        lift = lifting(network, material.layout, flip=False)
        device = next(network.parameters()).device
        total, count = 0.0, 0
        with torch.no_grad():
            for keypoints, poses in material.spread(held_out, _EXAMINED):
                off = joint_distance(lift(keypoints.to(device)), poses.to(device))
                total, count = total + float(off.sum()), count + len(off)
        error = _MILLIMETRES * total / count
        return {"score": -error, "held_out_mpjpe_mm": error}

    return judge


def _conclude(
    config: TrainLifterConfig, material: LifterWindows, directory: RunDirectory, progress: Progress
) -> dict[str, Any]:
    """The errors on the test part, looked at once."""
    device = torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")
    lifter = load_lifter(directory.model, device=device)
    return scores_on_test_part(
        material.clips, lifter, config.keypoint_noise, seed=config.seed, progress=progress
    )
